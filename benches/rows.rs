//! Work along rows on the CPU's device: normalisation forward and backward, softmax.
//!
//! ```text
//! cargo bench --bench rows -- --repeats 20 --only softmax --threads 2 --explain
//! ```
//!
//! Milliseconds a step, median and least of the repeats. The steps compute values and gradients of what is there, and update nothing.
//! `benches/peers/rows.py` times the same in PyTorch, in turns with this program.

use gradus::cpu::CpuSession;
use gradus::expr::Expr;
use gradus::graph::{Builder, Precision, Var, gradients};
use gradus::kernels::Target;
use gradus::nn::{LayerNorm, Module, RMSNorm, Scope};
use gradus::plan::{Arena, Blocking, BufferId, Caps, Part, Purpose, Request, Rule, Session, StateSet, Step, plan};
use gradus::tensor::Shape;
use std::sync::Arc;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench rows -- [--repeats N (20)] [--only TEXT] [--threads N (2)] [--explain]";

/// A function of `[rows, width]`, and whether its gradients are computed, too.
struct Task {
    name: &'static str,
    shape: [usize; 2],
    of: fn(&Scope, &Var) -> Var,
    backward: bool,
}

const TASKS: &[Task] = &[
    Task { name: "layer_norm", shape: [4096, 768], of: |s, x| LayerNorm::new().forward(&s.at("norm"), x), backward: false },
    Task { name: "layer_norm_backward", shape: [4096, 768], of: |s, x| LayerNorm::new().forward(&s.at("norm"), x), backward: true },
    Task { name: "rms_norm_backward", shape: [4096, 768], of: |s, x| RMSNorm::new().forward(&s.at("norm"), x), backward: true },
    Task { name: "softmax", shape: [4096, 1000], of: |_, x| x.softmax(), backward: false },
    Task { name: "softmax_backward", shape: [4096, 1000], of: |_, x| x.softmax(), backward: true },
    Task { name: "log_softmax", shape: [4096, 1000], of: |_, x| x.log_softmax(), backward: false },
];

/// Milliseconds of each repeat.
fn times(task: &Task, repeats: usize, threads: usize, explain: bool) -> gradus::Result<Vec<f64>> {
    let b = Builder::new();
    let scope = Scope::root(&b, true);
    let (x, g) = (b.parameter("x", task.shape.into()), b.parameter("g", task.shape.into()));
    let y = (task.of)(&scope, &x);
    // what comes back waits for the result, as it does in a network: else both ways may become one launch
    let behind = y.slice(0, 0..1).cumsum(1).mean().detach();
    let loss = (&y * &g).sum() * behind;
    let mut all = vec![("x".to_string(), Shape::from(task.shape), x)];
    all.extend(scope.parameters().into_iter().map(|(p, v)| (p.name, p.shape, v)));
    let value = |v: &Var| v.value().expect("a good graph");
    let (y, loss) = (value(&y), value(&loss));
    let mut graph = b.finish()?;
    let mut outputs = vec![("y".to_string(), y)];
    if task.backward {
        let wrt: Vec<_> = all.iter().map(|(_, _, v)| value(v)).collect();
        let found = gradients(&mut graph, loss, &wrt)?;
        outputs.extend(all.iter().zip(found).filter_map(|((name, ..), g)| Some((name.clone(), g?))));
    }
    let (gradients, metrics, updates, precision) = (vec![], vec![], vec![], Precision::F32);
    let step = Step { graph, loss: None, gradients, weight: None, metrics, outputs, updates, precision };
    let arena = Arena::new(all.iter().map(|(n, s, _)| (n.clone(), s.clone())).chain([("g".to_string(), task.shape.into())]));
    let (rule, target) = (Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0), Target::Software);
    let (purpose, part, batch, caps) = (Purpose::Predict, Part::Whole, 1, Caps::default());
    let program = Arc::new(plan(&Request { step: &step, purpose, part, batch, arena: &arena, rule: &rule, target, caps })?);
    if explain {
        println!("{}", program.explain());
    }
    let mut session = CpuSession::new(program.layout(), threads)?;
    for e in &arena.entries {
        let values: Vec<u32> = (0..e.shape.size()).map(|i| (((i * 7919) % 1013) as f32 / 506.5 - 1.0).to_bits()).collect();
        session.write(BufferId::Parameters, e.offset, &values)?;
    }
    let handle = session.prepare(&program, &[])?;
    let mut out = Vec::new();
    for i in 0..repeats + 2 {
        let start = Instant::now();
        session.queue(handle, 1, i as u32)?;
        session.next_log(StateSet::Eval)?;
        out.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(out.split_off(2))
}

fn main() -> gradus::Result<()> {
    let (mut repeats, mut only, mut threads, mut explain) = (20, String::new(), 2, false);
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let mut next = || args.next().unwrap_or_else(|| panic!("{arg} needs a value\n{USAGE}"));
        let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{text} is no number\n{USAGE}"));
        match arg.as_str() {
            "--repeats" => repeats = number(next()),
            "--threads" => threads = number(next()),
            "--only" => only = next(),
            "--explain" => explain = true,
            _ => panic!("there is no {arg}\n{USAGE}"),
        }
    }
    let exact = TASKS.iter().any(|t| t.name == only);
    for task in TASKS.iter().filter(|t| if exact { t.name == only } else { t.name.contains(&only) }) {
        let mut ms = times(task, repeats, threads, explain)?;
        ms.sort_by(f64::total_cmp);
        println!("{:20} {:?} {:8.3} ms, least {:.3}", task.name, task.shape, ms[ms.len() / 2], ms[0]);
    }
    Ok(())
}
