//! How long it takes until a deep network is planned: compile, build the graph, derive, simplify, fuse, lower, colour. All of it grows with the
//! number of nodes and no faster, which the column of the time for a node shows.
//!
//! ```text
//! cargo bench --bench plan -- --repeats 5 --only chain --part 0.1 --explain
//! ```
//!
//! Milliseconds on the CPU's device, medians of the repeats: `compile` makes the model with its parameters, `plan` builds and plans the training
//! step and makes it ready, `again` does the same for a second batch size, and `step` runs one. `launches` are those of the training step, `µs` is
//! `plan` for each of them. With `--explain` the whole programs are printed, so that two versions of the planner can be held side by side.

use gradus::nn::Reshape;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench plan -- [--repeats N (5)] [--only TEXT] [--part OF_THE_DEPTH (1)] [--explain]";
const BATCH: usize = 4;

/// A network: its name, its input's width, its layers, and how it is made.
struct Network {
    name: &'static str,
    width: usize,
    depth: usize,
    make: fn(usize, usize, &Scope, &Var) -> Var,
}

const NETWORKS: &[Network] = &[
    Network { name: "chain of 4,000 maps and products", width: 4, depth: 2_000, make: chain },
    Network { name: "10,000 tiny layers", width: 2, depth: 10_000, make: layers },
    Network { name: "2,000 residual blocks", width: 4, depth: 2_000, make: residual },
    Network { name: "3,000 maps of one value", width: 4, depth: 3_000, make: fan },
    Network { name: "a sum of all layers, 500", width: 4, depth: 500, make: dense },
    Network { name: "a recurrence of 96 steps", width: 96, depth: 96, make: recurrence },
    Network { name: "200 layers with statistics", width: 8, depth: 200, make: normalised },
    // whole, whatever part of the depth is asked for
    Network { name: "ResNet-18, images of 224", width: 3 * 224 * 224, depth: 18, make: resnet18 },
];

/// Products with a matrix each, a function behind each.
fn chain(width: usize, depth: usize, s: &Scope, x: &Var) -> Var {
    (0..depth).fold(x.clone(), |x, i| x.matmul(&s.param(&format!("w{i}"), [width, width], Init::Normal(0.1))).tanh())
}

fn layers(width: usize, depth: usize, s: &Scope, x: &Var) -> Var {
    (0..depth).fold(x.clone(), |x, i| s.at(i).call(&Linear::new(width), &x))
}

fn residual(width: usize, depth: usize, s: &Scope, x: &Var) -> Var {
    (0..depth).fold(x.clone(), |x, i| &x + s.at(i).call(&Linear::new(width), &x).tanh() * 1e-3)
}

fn fan(_: usize, depth: usize, _: &Scope, x: &Var) -> Var {
    let x = x.tanh();
    (0..depth).fold(x.clone(), |sum, i| sum + (&x * (1.0 + i as f64)).sin())
}

/// Each layer reads the mean of all before it.
fn dense(width: usize, depth: usize, s: &Scope, x: &Var) -> Var {
    let mut all = vec![x.clone()];
    for i in 0..depth {
        let sum = all.iter().skip(1).step_by(25).fold(all[0].clone(), |sum, h| sum + h);
        all.push(s.at(i).call(&Linear::new(width), &(sum * 0.1)).tanh());
    }
    all.pop().unwrap_or_else(|| x.clone())
}

/// A gated recurrence, every step of it.
fn recurrence(width: usize, depth: usize, s: &Scope, x: &Var) -> Var {
    let (rows, hidden) = (x.shape()[0], 8);
    let of = |name: &str, shape: [usize; 2]| s.param(name, shape, Init::Normal(0.1));
    let (w, u, b) = (of("w", [1, 4 * hidden]), of("u", [hidden, 4 * hidden]), s.param("b", [4 * hidden], Init::Zeros));
    let zeros = x.slice(1, 0..1).broadcast_to([rows, hidden]) * 0.0;
    let (mut h, mut c) = (zeros.clone(), zeros);
    for t in 0..depth.min(width) {
        let gates = x.slice(1, t..t + 1).matmul(&w) + h.matmul(&u) + &b;
        let gate = |i: usize| gates.slice(1, i * hidden..(i + 1) * hidden);
        c = gate(0).sigmoid() * &c + gate(1).sigmoid() * gate(2).tanh();
        h = gate(3).sigmoid() * c.tanh();
    }
    h
}

fn normalised(width: usize, depth: usize, s: &Scope, x: &Var) -> Var {
    (0..depth).fold(x.clone(), |x, i| {
        let h = s.at(format!("{i}.fc")).call(&Linear::new(width), &x);
        let h = s.at(format!("{i}.norm")).call(&BatchNorm1d::new(), &h).relu();
        &x + s.at(format!("{i}.drop")).call(&Dropout::new(0.1), &h) * 1e-3
    })
}

fn resnet18(_: usize, _: usize, s: &Scope, x: &Var) -> Var {
    let image = s.at("image").call(&Reshape::new([3, 224, 224]), x);
    s.call(&models::resnet18(1000), &image)
}

fn data(width: usize) -> gradus::Result<Dataset> {
    let rows = 4 * BATCH;
    let x: Vec<f32> = (0..rows * width).map(|i| (i % 7) as f32 * 0.1).collect();
    Dataset::new(HostTensor::f32([rows, width], x)?, HostTensor::f32([rows, 1], vec![0.5; rows])?)
}

/// Milliseconds of compile, plan, plan again and step; launches.
fn once(n: &Network, part: f64, explain: bool) -> gradus::Result<([f64; 4], usize)> {
    let (width, depth, make) = (n.width, ((n.depth as f64 * part) as usize).max(1), n.make);
    let net = module(move |s, x| s.at("head").call(&Linear::new(1), &make(width, depth, &s.at("body"), x)));
    let data = data(width)?;
    let compile = Compile::new(Adam::default(), Mse::new()).input([width]).device(Device::cpu_threads(1));
    let mut times = vec![Instant::now()];
    let mut model = net.compile(compile)?;
    times.push(Instant::now());
    let program = model.prepare(&data, BATCH)?;
    times.push(Instant::now());
    model.prepare(&data, 2 * BATCH)?;
    times.push(Instant::now());
    model.trainer(&data, Fit::new().batch_size(BATCH).verbose(0))?.steps(1)?;
    times.push(Instant::now());
    if explain {
        println!("{}\n{}", n.name, program.explain());
        program.launches.iter().for_each(|l| println!("{:?} {:?}", l.kernel, l.buffers));
        println!("{:?}", program.units);
        println!("{}", model.prepare_evaluation(&data, BATCH)?.explain());
    }
    let ms = |i: usize| (times[i + 1] - times[i]).as_secs_f64() * 1e3;
    Ok(([ms(0), ms(1), ms(2), ms(3)], program.launches.len()))
}

fn median(mut t: Vec<f64>) -> f64 {
    t.sort_by(f64::total_cmp);
    (t[(t.len() - 1) / 2] + t[t.len() / 2]) / 2.0
}

fn main() -> anyhow::Result<()> {
    let (mut repeats, mut only, mut part, mut explain) = (5, String::new(), 1.0, false);
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--explain" => explain = true,
            "--repeats" => repeats = args.next().and_then(|v| v.parse().ok()).filter(|n| *n > 0).ok_or_else(|| anyhow::anyhow!(USAGE))?,
            "--part" => part = args.next().and_then(|v| v.parse().ok()).ok_or_else(|| anyhow::anyhow!(USAGE))?,
            "--only" => only = args.next().ok_or_else(|| anyhow::anyhow!(USAGE))?,
            _ => anyhow::bail!(USAGE),
        }
    }
    println!("{:<36}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}", "ms", "compile", "plan", "again", "step", "launches", "µs");
    for n in NETWORKS.iter().filter(|n| n.name.contains(&only)) {
        let mut runs = Vec::new();
        let mut launches = 0;
        for i in 0..repeats {
            let (times, count) = once(n, part, explain && i == 0)?;
            launches = count;
            runs.push(times);
        }
        let [compile, plan, again, step] = [0, 1, 2, 3].map(|k| median(runs.iter().map(|r| r[k]).collect()));
        let each = plan * 1e3 / launches as f64;
        println!("{:<36}{compile:>10.1}{plan:>10.1}{again:>10.1}{step:>10.1}{launches:>10}{each:>8.1}", n.name);
    }
    Ok(())
}
