//! What a launch costs when there is next to nothing to compute.
//!
//! ```text
//! cargo bench --bench dispatch -- --device cpu|software|gpu --repeats 7
//! ```
//!
//! Each row submits steps of launches that fill 64 elements, and waits. `host` is the time that the submit keeps the caller, `all` the
//! time until the steps have ended, in microseconds a launch; medians of the repeats. `apart`: each launch writes a buffer of its own;
//! `chained`: all write the same one, so that a GPU must put a barrier between them. `control` is the first row again: it must not move.

use gradus::cpu::CpuSession;
use gradus::expr::Expr;
use gradus::gpu::{AdapterKind, Gpu, GpuSession, adapters};
use gradus::kernels::{Kernel, Map};
use gradus::plan::{Blocking, BufferId, Handle, Launch, Layout, Phase, Program, Purpose, Session, StateSet};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::sync::Arc;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench dispatch -- [--device cpu|software|gpu (cpu)] [--repeats N (7)]";
const ELEMENTS: usize = 64;

/// Launches a step, steps a submit, whether they write one buffer.
const ROWS: [(&str, usize, usize, bool); 5] = [
    ("12 launches x 32, apart", 12, 32, false),
    ("12 launches x 32, chained", 12, 32, true),
    ("12 launches x 1, chained", 12, 1, true),
    ("100 launches x 8, chained", 100, 8, true),
    ("control", 12, 32, false),
];

fn options() -> Result<(String, usize), String> {
    let (mut device, mut repeats) = ("cpu".to_string(), 7);
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing, or it is unknown"))?;
        match flag.as_str() {
            "--device" => device = value,
            "--repeats" => repeats = value.parse().ok().filter(|n| *n > 0).ok_or(format!("--repeats {value}: not a number"))?,
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    Ok((device, repeats))
}

/// That of a small model with other launches.
fn program(launches: usize, chained: bool) -> gradus::Result<Program> {
    let data = Dataset::new(HostTensor::f32([1, 4], vec![0.0; 4])?, HostTensor::f32([1, 1], vec![0.0])?)?;
    let net = Sequential::new().add(Linear::new(1));
    let model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu()))?;
    let mut p = (*model.prepare(&data, 1)?).clone();
    let fill = Map::new(Expr::of(0, |_| vec![1.0.into()]), &[ELEMENTS], vec![], vec![0]);
    let launch = |i: usize| Launch {
        kernel: Kernel::Map(fill.clone()),
        buffers: vec![BufferId::Slot(if chained { 0 } else { i })],
        label: "fill".into(),
        flops: 0,
        bytes: 0,
    };
    p.launches = (0..launches).map(launch).collect();
    p.phases = vec![(Phase::Compute, 0..launches)];
    p.slots = vec![4 * ELEMENTS; if chained { 1 } else { launches }];
    p.purpose = Purpose::Predict;
    p.outputs.clear();
    p.units.clear();
    Ok(p)
}

fn open(device: &str) -> Result<(Box<dyn Session>, String), String> {
    let layout = Layout { parameters: 128, ..Layout::default() };
    let text = |e: gradus::Error| e.to_string();
    if device == "cpu" {
        let s = CpuSession::new(layout, 0).map_err(text)?;
        let name = format!("the CPU, {} threads", s.threads());
        return Ok((Box::new(s), name));
    }
    let fits = |k: AdapterKind| (k == AdapterKind::Software) == (device == "software");
    let found = adapters().into_iter().find(|a| fits(a.kind)).ok_or(format!("--device {device}: there is none"))?;
    let name = format!("{}, {}", found.name, found.driver);
    Ok((Box::new(GpuSession::new(Gpu::open(&found).map_err(text)?, layout, false).map_err(text)?), name))
}

/// Host and whole time of one submit.
fn once(s: &mut dyn Session, handle: Handle, steps: usize) -> gradus::Result<[f64; 2]> {
    let began = Instant::now();
    s.queue(handle, steps, 0)?;
    let host = began.elapsed().as_secs_f64();
    while s.next_log(StateSet::Eval)?.is_some() {}
    Ok([host, began.elapsed().as_secs_f64()])
}

fn median(mut t: Vec<f64>) -> f64 {
    t.sort_by(f64::total_cmp);
    (t[(t.len() - 1) / 2] + t[t.len() / 2]) / 2.0
}

fn bench(device: &str, repeats: usize) -> Result<(), String> {
    let text = |e: gradus::Error| e.to_string();
    let (mut session, name) = open(device)?;
    println!("device    {name}");
    let mut handles = Vec::new();
    for (_, launches, steps, chained) in ROWS {
        let handle = session.prepare(&Arc::new(program(launches, chained).map_err(text)?), &[]).map_err(text)?;
        once(&mut *session, handle, steps).map_err(text)?;
        handles.push((handle, Vec::new(), Vec::new()));
    }
    for _ in 0..repeats {
        for ((handle, host, all), (_, _, steps, _)) in handles.iter_mut().zip(ROWS) {
            let [h, a] = once(&mut *session, *handle, steps).map_err(text)?;
            host.push(h);
            all.push(a);
        }
    }
    println!("{:<28}{:>14}{:>14}", "us a launch", "host", "all");
    for ((_, host, all), (name, launches, steps, _)) in handles.into_iter().zip(ROWS) {
        let each = 1e6 / (launches * steps) as f64;
        println!("{name:<28}{:>14.3}{:>14.3}", median(host) * each, median(all) * each);
    }
    Ok(())
}

fn main() {
    let fail = |text: String| {
        eprintln!("{text}");
        std::process::exit(2)
    };
    match options() {
        Err(problem) => fail(format!("{problem}\n{USAGE}")),
        Ok((device, repeats)) => bench(&device, repeats).unwrap_or_else(fail),
    }
}
