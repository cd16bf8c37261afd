//! The loss of many classes on the CPU's device: a mean cross-entropy and its gradient.
//!
//! ```text
//! cargo bench --bench classes -- --rows 4096 --classes 50257 --repeats 5 --threads 2
//! ```
//!
//! Milliseconds a step, median and least of the repeats. Logits and gradient take 8 bytes a class of each row: 1.6 GB at 4,096 x 50,257.

use gradus::cpu::CpuSession;
use gradus::expr::Expr;
use gradus::graph::{Builder, Precision, gradients};
use gradus::kernels::Target;
use gradus::plan::{Arena, Blocking, BufferId, Caps, Part, Purpose, Request, Rule, Session, StateSet, Step, plan};
use std::sync::Arc;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench classes -- [--rows N (1024)] [--classes N (50257)] [--repeats N (5)] [--threads N (2)]";

/// Milliseconds of each repeat.
fn times([rows, classes]: [usize; 2], repeats: usize, threads: usize) -> gradus::Result<Vec<f64>> {
    let b = Builder::new();
    let (x, y) = (b.parameter("x", [rows, classes].into()), b.parameter("y", [rows, 3].into()));
    let loss = x.cross_entropy(&y.argmax(1));
    let (x, loss) = (x.value().expect("a good graph"), loss.value().expect("a good graph"));
    let mut graph = b.finish()?;
    let slope = gradients(&mut graph, loss, &[x])?[0].expect("a gradient");
    let outputs = vec![("loss".to_string(), loss), ("slope".to_string(), slope)];
    let (gradients, metrics, updates, precision) = (vec![], vec![], vec![], Precision::F32);
    let step = Step { graph, loss: None, gradients, weight: None, metrics, outputs, updates, precision };
    let arena = Arena::new([("x".to_string(), [rows, classes].into()), ("y".to_string(), [rows, 3].into())]);
    let (rule, target) = (Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0), Target::Software);
    let (purpose, part, batch, caps) = (Purpose::Predict, Part::Whole, 1, Caps::default());
    let program = Arc::new(plan(&Request { step: &step, purpose, part, batch, arena: &arena, rule: &rule, target, caps })?);
    println!("{}", program.explain());
    let mut session = CpuSession::new(program.layout(), threads)?;
    for e in &arena.entries {
        let values: Vec<u32> = (0..classes).map(|i| (((i * 7919) % 1013) as f32 / 506.5 - 1.0).to_bits()).collect();
        let size = e.shape.size();
        for at in (0..size).step_by(classes) {
            session.write(BufferId::Parameters, e.offset + at, &values[..classes.min(size - at)])?;
        }
    }
    let handle = session.prepare(&program, &[])?;
    let mut out = Vec::new();
    for i in 0..repeats + 1 {
        let start = Instant::now();
        session.queue(handle, 1, i as u32)?;
        session.next_log(StateSet::Eval)?;
        out.push(1e3 * start.elapsed().as_secs_f64());
    }
    Ok(out.split_off(1))
}

fn main() -> gradus::Result<()> {
    let [mut rows, mut classes, mut repeats, mut threads] = [1024, 50_257, 5, 2];
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{arg} needs a number\n{USAGE}"));
        match arg.as_str() {
            "--rows" => rows = number,
            "--classes" => classes = number,
            "--repeats" => repeats = number,
            "--threads" => threads = number,
            _ => panic!("there is no {arg}\n{USAGE}"),
        }
    }
    let mut ms = times([rows, classes], repeats, threads)?;
    ms.sort_by(f64::total_cmp);
    println!("cross_entropy of {rows} x {classes} with its gradient: {:.1} ms, least {:.1}", ms[ms.len() / 2], ms[0]);
    Ok(())
}
