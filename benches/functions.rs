//! Nanoseconds a value, on one core: the functions of formulas on the CPU, words of the generator, and dropout.
//!
//! ```text
//! cargo bench --bench functions -- --repeats 400
//! ```
//!
//! Each repeat takes some microseconds, and the least of them counts: what other programs take from the core is left out. `plain` is the standard
//! library's function over the same values in a loop (of `sigmoid`, `softplus` and `erf` a formula of them), the control of the same run.

use gradus::cpu::CpuSession;
use gradus::expr::{CHUNK, Evaluator, Expr, Scalar, vector};
use gradus::graph::Distribution;
use gradus::kernels::{Draw, Kernel, Map, Strided};
use gradus::plan::{BufferId, Launch, Layout, Phase, Program, Purpose, Session};
use gradus::prelude::*;
use gradus::rng;
use gradus::tensor::HostTensor;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench functions -- [--repeats N (400)]";
/// Rows of values that a repeat goes through.
const ROWS: usize = 16;
const DROPOUT: usize = 1_000_000;

/// A function: its name, its formula, the plain one, and the values from -range to range, or from 0 if it has none below.
type Function = (&'static str, fn(&Scalar) -> Scalar, fn(f32) -> f32, f32);

const FUNCTIONS: [Function; 10] = [
    ("exp", Scalar::exp, f32::exp, 10.0),
    ("expm1", Scalar::expm1, f32::exp_m1, 2.0),
    ("log", Scalar::log, f32::ln, 10.0),
    ("tanh", Scalar::tanh, f32::tanh, 3.0),
    ("sigmoid", Scalar::sigmoid, |v| 1.0 / (1.0 + (-v).exp()), 6.0),
    ("softplus", Scalar::softplus, |v| v.max(0.0) + (-v.abs()).exp().ln_1p(), 6.0),
    ("erf", Scalar::erf, libm::erff, 3.0),
    ("sin", Scalar::sin, f32::sin, 10.0),
    ("cos", Scalar::cos, f32::cos, 10.0),
    ("pow 2.3", |x| x.pow(2.3), |v| v.powf(2.3), 10.0),
];

/// The least time of so many, in nanoseconds for each of `n`.
fn least(repeats: usize, n: usize, mut work: impl FnMut()) -> f64 {
    let once = |_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    };
    (0..repeats).map(once).fold(f64::INFINITY, f64::min) * 1e9 / n as f64
}

/// Numbers from 0 to 1.
fn units(n: usize) -> Vec<f32> {
    let mut blocks = vec![[0; 4]; n.div_ceil(4)];
    rng::blocks(1, 2, 3, 0, &mut blocks);
    blocks.as_flattened()[..n].iter().map(|w| (w >> 8) as f32 / (1 << 24) as f32).collect()
}

fn rows(range: f32, below_0: bool) -> Vec<[f32; CHUNK]> {
    let x: Vec<f32> = units(ROWS * CHUNK).iter().map(|u| if below_0 { range * (2.0 * u - 1.0) } else { range * u }).collect();
    x.chunks_exact(CHUNK).filter_map(|c| c.try_into().ok()).collect()
}

fn functions(repeats: usize) {
    println!("{:<12}{:>12}{:>12}{:>8}", "", "ns a value", "plain", "ratio");
    for (name, formula, plain, range) in FUNCTIONS {
        let x = rows(range, !["log", "pow 2.3"].contains(&name));
        let mut e = Evaluator::new(&Expr::of(1, |x| vec![formula(&x[0])]));
        let mut out = [0.0; CHUNK];
        let ours = least(repeats, ROWS * CHUNK, || {
            for row in black_box(&x) {
                e.run(CHUNK, |_, _| Some(&row[..]), &mut [&mut out[..]]);
                black_box(&mut out);
            }
        });
        let theirs = least(repeats, ROWS * CHUNK, || {
            for row in black_box(&x) {
                out.iter_mut().zip(row).for_each(|(o, v)| *o = plain(*v));
                black_box(&mut out);
            }
        });
        println!("{name:<12}{ours:>12.3}{theirs:>12.3}{:>8.1}", theirs / ours);
    }
}

/// What is no formula: slices in place, and Philox.
fn others(repeats: usize) {
    // one row again and again: its exponentials would grow
    let x = units(4 * CHUNK);
    let mut values = x.clone();
    let slices = least(repeats, x.len(), || {
        values.copy_from_slice(black_box(&x));
        vector::exp(black_box(&mut values));
    });
    println!("{:<32}{slices:>8.3} ns a value", "a slice's exp, and a copy");
    let mut blocks = [[0; 4]; CHUNK / 4];
    let four = least(repeats, blocks.len(), || rng::blocks(black_box(1), 2, 3, 0, black_box(&mut blocks)));
    let one_by_one = least(repeats, blocks.len(), || {
        for (of, b) in (0..).zip(&mut blocks) {
            *b = rng::words(black_box(1), 2, 3, black_box(of));
        }
    });
    println!("{:<32}{four:>8.3} ns, one by one {one_by_one:.3}", "four words of Philox");
}

/// A map alone: the program of a small model with another launch.
fn program(map: Map, buffers: Vec<BufferId>) -> gradus::Result<Program> {
    let data = Dataset::new(HostTensor::f32([1, 4], vec![0.0; 4])?, HostTensor::f32([1, 1], vec![0.0])?)?;
    let model = Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu()))?;
    let mut p = (*model.prepare(&data, 1)?).clone();
    p.slots = vec![4 * map.size()];
    p.launches = vec![Launch { kernel: Kernel::Map(map), buffers, label: "drawn".into(), flops: 0, bytes: 0 }];
    p.phases = vec![(Phase::Compute, 0..1)];
    p.purpose = Purpose::Predict;
    p.outputs.clear();
    p.units.clear();
    Ok(p)
}

/// Draws of a million elements and a formula with them, on one thread.
fn draws(repeats: usize) -> gradus::Result<()> {
    let mut session = CpuSession::new(Layout { parameters: 128, ..Layout::default() }, 1)?;
    let words: Vec<u32> = units(DROPOUT).iter().map(|v| v.to_bits()).collect();
    let data = [session.add_data(&words)?];
    for (name, distribution) in
        [("dropout", Distribution::bernoulli(0.5)), ("uniform noise", Distribution::Uniform), ("normal noise", Distribution::Normal)]
    {
        let f = if name == "dropout" { Expr::of(2, |x| vec![&x[0] * &x[1] * 2.0]) } else { Expr::of(2, |x| vec![&x[0] + &x[1] * 0.1]) };
        let map = Map::new(f, &[DROPOUT], vec![Strided::new(0, vec![1])], vec![0]).drawing(vec![Draw { distribution, stream: 9 }]);
        let state = BufferId::State(Purpose::Predict.state_set());
        let handle = session.prepare(&Arc::new(program(map, vec![state, BufferId::Data(0), BufferId::Slot(0)])?), &data)?;
        let mut best = f64::INFINITY;
        for _ in 0..repeats.div_ceil(10) {
            best = best.min(session.profile(handle, None)?.seconds[0]);
        }
        println!("{:<32}{:>8.3} ms", format!("{name} of {DROPOUT} elements"), best * 1e3);
    }
    Ok(())
}

fn repeats() -> Option<usize> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(400),
        ["--repeats", n] => n.parse().ok().filter(|n| *n > 0),
        _ => None,
    }
}

fn main() -> anyhow::Result<()> {
    let repeats = repeats().ok_or_else(|| anyhow::anyhow!(USAGE))?;
    functions(repeats);
    others(repeats);
    draws(repeats)?;
    Ok(())
}
