//! Work along rows on the CPU's device: normalisation forward and backward, softmax, the loss of classes.
//!
//! ```text
//! cargo bench --bench rows -- --repeats 20 --only softmax --threads 2 --explain
//! cargo bench --bench rows -- --repeats 5 --only cross_entropy_backward --rows 4096
//! ```
//!
//! Milliseconds a step, median and least of the repeats. The steps compute values and gradients of what is there, and update nothing.
//! Logits of many classes and their gradient take 8 bytes a class of each row: 1.6 GB at 4,096 x 50,257.
//! `benches/peers/rows.py` times the same in PyTorch, in turns with this program.

use gradus::cpu::CpuSession;
use gradus::expr::Expr;
use gradus::graph::{Builder, Precision, Value, Var, gradients};
use gradus::kernels::Target;
use gradus::nn::{Init, LayerNorm, Module, RMSNorm, Scope};
use gradus::plan::{Arena, Blocking, BufferId, Caps, Part, Purpose, Request, Rule, Session, StateSet, Step, plan};
use gradus::tensor::Shape;
use std::sync::Arc;
use std::time::Instant;

const USAGE: &str =
    "usage: cargo bench --bench rows -- [--repeats N (20)] [--only TEXT] [--rows N] [--width N] [--threads N (2)] [--explain]";

/// A function of `[rows, width]` and of a class for each row, and whether its gradients are computed, too.
struct Task {
    name: &'static str,
    shape: [usize; 2],
    of: fn(&Scope, &Var, &Var) -> Var,
    backward: bool,
}

const TASKS: &[Task] = &[
    Task { name: "layer_norm", shape: [4096, 768], of: |s, x, _| LayerNorm::new().forward(&s.at("norm"), x), backward: false },
    Task { name: "layer_norm_backward", shape: [4096, 768], of: |s, x, _| LayerNorm::new().forward(&s.at("norm"), x), backward: true },
    Task { name: "rms_norm_backward", shape: [4096, 768], of: |s, x, _| RMSNorm::new().forward(&s.at("norm"), x), backward: true },
    Task { name: "softmax", shape: [4096, 1000], of: |_, x, _| x.softmax(), backward: false },
    Task { name: "softmax_backward", shape: [4096, 1000], of: |_, x, _| x.softmax(), backward: true },
    Task { name: "log_softmax", shape: [4096, 1000], of: |_, x, _| x.log_softmax(), backward: false },
    Task { name: "cross_entropy_backward", shape: [1024, 50_257], of: |_, x, y| x.cross_entropy(y), backward: true },
    // with a number on the gradient, as a loss scale is
    Task { name: "cross_entropy_scaled", shape: [65_536, 10], of: |s, x, y| x.cross_entropy(y) * number(s), backward: true },
];

fn number(s: &Scope) -> Var {
    s.param("scale", [1], Init::Constant(1.0)).reshape([]).detach()
}

/// The step as a graph, and the parameters that it reads.
fn step(task: &Task, shape @ [rows, _]: [usize; 2]) -> gradus::Result<(Step, Vec<(String, Shape)>)> {
    let b = Builder::new();
    let scope = Scope::root(&b, true);
    let (x, labels) = (b.parameter("x", shape.into()), b.parameter("labels", [rows, 3].into()));
    let y = (task.of)(&scope, &x, &labels.argmax(1));
    let mut all = vec![("x".to_string(), Shape::from(shape), x)];
    all.extend(scope.parameters().into_iter().map(|(p, v)| (p.name, p.shape, v)));
    let mut read: Vec<(String, Shape)> = all.iter().map(|(n, s, _)| (n.clone(), s.clone())).collect();
    read.push(("labels".into(), [rows, 3].into()));
    let loss = if y.shape().rank() == 0 {
        y.clone()
    } else {
        read.push(("g".into(), shape.into()));
        // what comes back waits for the result, as it does in a network: else both ways may become one launch
        (&y * b.parameter("g", shape.into())).sum() * y.slice(0, 0..1).cumsum(1).mean().detach()
    };
    let value = |v: &Var| -> Value { v.value().expect("a good graph") };
    let (y, loss) = (value(&y), value(&loss));
    let mut graph = b.finish()?;
    let mut outputs = vec![("y".to_string(), y)];
    if task.backward {
        let wrt: Vec<_> = all.iter().map(|(_, _, v)| value(v)).collect();
        let found = gradients(&mut graph, loss, &wrt)?;
        outputs.extend(all.iter().zip(found).filter_map(|((name, ..), g)| Some((name.clone(), g?))));
    }
    let (gradients, metrics, updates, precision) = (vec![], vec![], vec![], Precision::F32);
    Ok((Step { graph, loss: None, gradients, weight: None, metrics, outputs, updates, precision }, read))
}

/// Milliseconds of each repeat.
fn times(task: &Task, shape: [usize; 2], repeats: usize, threads: usize, explain: bool) -> gradus::Result<Vec<f64>> {
    let (step, read) = step(task, shape)?;
    let arena = Arena::new(read);
    let (rule, target) = (Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0), Target::Software);
    let (purpose, part, batch, caps) = (Purpose::Predict, Part::Whole, 1, Caps::default());
    let program = Arc::new(plan(&Request { step: &step, purpose, part, batch, arena: &arena, rule: &rule, target, caps })?);
    if explain {
        println!("{}", program.explain());
    }
    let mut session = CpuSession::new(program.layout(), threads)?;
    let values: Vec<u32> = (0..1013 * 256).map(|i| (((i * 7919) % 1013) as f32 / 506.5 - 1.0).to_bits()).collect();
    for e in &arena.entries {
        let size = e.shape.size();
        for at in (0..size).step_by(values.len()) {
            session.write(BufferId::Parameters, e.offset + at, &values[..values.len().min(size - at)])?;
        }
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
    let (mut rows, mut width) = (None, None);
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let mut next = || args.next().unwrap_or_else(|| panic!("{arg} needs a value\n{USAGE}"));
        let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{text} is no number\n{USAGE}"));
        match arg.as_str() {
            "--repeats" => repeats = number(next()),
            "--threads" => threads = number(next()),
            "--rows" => rows = Some(number(next())),
            "--width" => width = Some(number(next())),
            "--only" => only = next(),
            "--explain" => explain = true,
            _ => panic!("there is no {arg}\n{USAGE}"),
        }
    }
    let exact = TASKS.iter().any(|t| t.name == only);
    for task in TASKS.iter().filter(|t| if exact { t.name == only } else { t.name.contains(&only) }) {
        let shape = [rows.unwrap_or(task.shape[0]), width.unwrap_or(task.shape[1])];
        let mut ms = times(task, shape, repeats, threads, explain)?;
        ms.sort_by(f64::total_cmp);
        println!("{:22} {shape:?} {:8.3} ms, least {:.3}", task.name, ms[ms.len() / 2], ms[0]);
    }
    Ok(())
}
