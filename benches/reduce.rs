//! Sums of columns, of rows and by index: checked first, then timed, with the bytes that they read a second.
//!
//! ```text
//! cargo bench --bench reduce -- --device cpu|software|gpu --threads 2 --repeats 9 --only 64
//! ```
//!
//! Rows are sums over the middle of `[outer, length, inner]`, in as many launches as a plan takes for them. Below stand other
//! ways to share out the first. Then the launches of a sum by index, as the gradient of a large table has them: what 8,192 places of a text with
//! words as frequent as in a language add to 50,257 rows. `control` is the first row once more at the end of each round: it must not move.

use gradus::cpu::CpuSession;
use gradus::expr::Expr;
use gradus::gpu::{AdapterKind, Gpu, GpuSession, adapters};
use gradus::kernels::{Join, Kernel, Lanes, Map, Reduce, ScatterAdd, ScatterLinks, Target, Term};
use gradus::plan::{Blocking, BufferId, DataId, Launch, Layout, Phase, Program, Purpose, Session};
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::HostTensor;
use std::sync::Arc;

const SHAPES: [[usize; 3]; 8] =
    [[1, 131_072, 64], [1, 4096, 128], [1, 73_728, 64], [1, 8192, 768], [1, 131_072, 3], [4096, 128, 1], [4096, 768, 1], [1, 8_388_608, 1]];

/// Other ways to share the first of them out: partial sums of a lane, pieces.
const TRIED: [[usize; 2]; 8] = [[1, 128], [4, 128], [8, 128], [16, 128], [4, 512], [8, 256], [4, 256], [16, 1]];

/// Rows of the table, its width, places: GPT-2's vocabulary.
const TABLE: [usize; 3] = [50_257, 256, 8192];

struct Row {
    name: String,
    extents: [usize; 3],
    /// Partial sums of a lane and pieces, in place of the chosen ones.
    tried: Option<[usize; 2]>,
    /// The launch of a sum by index, in place of other sums.
    by_index: Option<usize>,
}

/// The launches of a sum by index: zeros, segments of equal ones, sums.
fn by_index(target: Target) -> Vec<(Kernel, Vec<BufferId>)> {
    let ([rows, width, count], [values, indices, links, table]) =
        (TABLE, [BufferId::Data(0), BufferId::Data(1), BufferId::Slot(1), BufferId::Slot(0)]);
    let piece = ScatterLinks::piece(target);
    vec![
        (Kernel::Map(Map::new(Expr::of(0, |_| vec![0.0.into()]), &[rows * width], vec![], vec![0])), vec![table]),
        (Kernel::ScatterLinks(ScatterLinks { count, rows, width, padding: None, offsets: [0, 0], piece }), vec![indices, links, table]),
        (Kernel::ScatterAdd(ScatterAdd::new(target, [count, width, rows], [0, 0, 0])), vec![values, indices, links, table]),
    ]
}

/// Words as frequent as in a language: the n-th a n-th as often as the first.
fn words() -> Vec<u32> {
    let mut rng = Philox::new(0, "words");
    let mut reached = Vec::with_capacity(TABLE[0]);
    (1..=TABLE[0]).fold(0.0, |sum, n| {
        reached.push(sum + 1.0 / n as f64);
        sum + 1.0 / n as f64
    });
    let all = reached.last().copied().unwrap_or(1.0);
    (0..TABLE[2]).map(|_| reached.partition_point(|&r| r < rng.uniform() * all).min(TABLE[0] - 1) as u32).collect()
}

/// The launches of a sum, with what they bind.
fn launches(target: Target, row: &Row) -> Vec<(Kernel, Vec<BufferId>)> {
    if let Some(at) = row.by_index {
        return by_index(target).drain(at..=at).collect();
    }
    let [outer, length, inner] = row.extents;
    let terms = |length: usize| vec![Term { offset: 0, outer: length * inner, along: inner, inner: 1 }];
    let reduce =
        |length, pieces| Reduce::new(target, Expr::identity(), vec![Join::Sum], [outer, length, inner], pieces, terms(length), vec![0]);
    let chosen = Lanes::pieces(target, row.extents, Reduce::fours_for(row.extents, &terms(length), &[]));
    let pieces = row.tried.map_or(chosen, |t| t[1]);
    let [from, to, between] = [BufferId::Data(0), BufferId::Slot(0), BufferId::Slot(1)];
    let mut first = reduce(length, pieces);
    first.spec.lanes.parts = row.tried.map_or(first.spec.lanes.parts, |t| t[0]);
    if pieces == 1 {
        return vec![(Kernel::Reduce(first), vec![from, to])];
    }
    vec![(Kernel::Reduce(first), vec![from, between]), (Kernel::Reduce(reduce(pieces, 1)), vec![between, to])]
}

/// A program of these sums alone: that of a small model with other launches. And which launches are whose.
fn program(target: Target, rows: &[Row]) -> gradus::Result<(Program, Vec<usize>)> {
    let data = Dataset::new(HostTensor::f32([1, 4], vec![0.0; 4])?, HostTensor::f32([1, 1], vec![0.0])?)?;
    let net = Sequential::new().add(Linear::new(1));
    let model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu()))?;
    let mut p = (*model.prepare(&data, 1)?).clone();
    let (mut owner, mut sizes) = (Vec::new(), vec![4, 4]);
    p.launches.clear();
    for (i, row) in rows.iter().enumerate() {
        for (kernel, buffers) in launches(target, row) {
            for (b, bound) in buffers.iter().zip(kernel.bindings()) {
                if let BufferId::Slot(s) = *b {
                    sizes[s] = sizes[s].max(4 * bound.span.end.next_multiple_of(4));
                }
            }
            owner.push(i);
            p.launches.push(Launch { kernel, buffers, label: row.name.clone(), flops: 0, bytes: 0 });
        }
    }
    p.phases = vec![(Phase::Compute, 0..owner.len())];
    p.slots = sizes;
    p.purpose = Purpose::Predict;
    p.outputs.clear();
    p.units.clear();
    Ok((p, owner))
}

fn open(device: &str, threads: usize) -> Result<(Box<dyn Session>, Target, String), String> {
    let (layout, text) = (Layout { parameters: 128, ..Layout::default() }, |e: gradus::Error| e.to_string());
    if device == "cpu" {
        let s = CpuSession::new(layout, threads).map_err(text)?;
        let name = format!("the CPU, {} threads", s.threads());
        return Ok((Box::new(s), Target::Software, name));
    }
    let fits = |k: AdapterKind| (k == AdapterKind::Software) == (device == "software");
    let found = adapters().into_iter().find(|a| fits(a.kind)).ok_or(format!("--device {device}: there is none"))?;
    let gpu = Gpu::open(&found).map_err(text)?;
    let (target, name) = (gpu.target(), format!("{}, {}", found.name, found.driver));
    Ok((Box::new(GpuSession::new(gpu, layout, false).map_err(text)?), target, name))
}

fn bench(device: &str, threads: usize, repeats: usize, only: &str) -> Result<(), String> {
    let text = |e: gradus::Error| e.to_string();
    let (mut session, target, name) = open(device, threads)?;
    println!("device    {name}, kernels for {target:?}");
    let mut rows: Vec<Row> =
        SHAPES.iter().map(|&extents| Row { name: format!("{extents:?}"), extents, tried: None, by_index: None }).collect();
    for t in TRIED {
        rows.push(Row { name: format!("  {} parts, {} pieces", t[0], t[1]), extents: SHAPES[0], tried: Some(t), by_index: None });
    }
    let [table, width, count] = TABLE;
    let parts = [("zeros", [1, table, width]), ("segments", [1, count, 1]), ("sums", [1, count, width])];
    for (i, (name, extents)) in parts.into_iter().enumerate() {
        rows.push(Row { name: format!("by index: {name}"), extents, tried: None, by_index: Some(i) });
    }
    rows.push(Row { name: "control".into(), extents: SHAPES[0], tried: None, by_index: None });
    rows.retain(|r| r.name.contains(only));
    let most = SHAPES.iter().map(|e| e.iter().product()).max().unwrap_or(0);
    let mut rng = Philox::new(0, "terms");
    let x: Vec<f32> = (0..most).map(|_| (rng.uniform() * 2.0 - 1.0) as f32).collect();
    let words = words();
    let mut data: Vec<DataId> = vec![session.add_data(&x.iter().map(|v| v.to_bits()).collect::<Vec<_>>()).map_err(text)?];
    data.push(session.add_data(&words).map_err(text)?);
    let indexed: Vec<Row> = (0..3).map(|i| Row { name: "by index".into(), extents: [1; 3], tried: None, by_index: Some(i) }).collect();
    let handle = session.prepare(&Arc::new(program(target, &indexed).map_err(text)?.0), &data).map_err(text)?;
    session.profile(handle, None).map_err(text)?;
    for at in (0..table * width).step_by(4999) {
        let found = f32::from_bits(session.read(BufferId::Slot(0), at, 1).map_err(text)?[0]);
        let want: f32 = (0..count).filter(|i| words[*i] as usize == at / width).map(|i| x[i * width + at % width]).sum();
        if (want - found).abs() > 1e-4 {
            return Err(format!("by index: {at} is {found} for {want}"));
        }
    }
    for r in rows.iter().filter(|r| r.by_index.is_none()) {
        let (one, _) = program(target, std::slice::from_ref(r)).map_err(text)?;
        let handle = session.prepare(&Arc::new(one), &data).map_err(text)?;
        session.profile(handle, None).map_err(text)?;
        let [outer, length, inner] = r.extents;
        let found = session.read(BufferId::Slot(0), 0, outer * inner).map_err(text)?;
        for (i, word) in found.into_iter().enumerate().step_by(1 + outer * inner / 100) {
            let term = |j: usize| f64::from(x[(i / inner * length + j) * inner + i % inner]);
            let (want, got) = ((0..length).map(term).sum::<f64>(), f64::from(f32::from_bits(word)));
            let off = (want - got).abs();
            if off.is_nan() || off > 1e-5 * (length as f64).sqrt() {
                return Err(format!("{}: sum {i} is {got} for {want}", r.name));
            }
        }
    }
    let (all, owner) = program(target, &rows).map_err(text)?;
    let handle = session.prepare(&Arc::new(all), &data).map_err(text)?;
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..repeats {
        let timing = session.profile(handle, None).map_err(text)?;
        let mut sums = vec![0.0; rows.len()];
        owner.iter().zip(timing.seconds).for_each(|(&i, s)| sums[i] += s);
        times.iter_mut().zip(sums).for_each(|(t, s)| t.push(s));
    }
    println!("{:<24}{:>10}{:>12}{:>12}{:>12}{:>10}", "", "launches", "median ms", "min ms", "max ms", "GB/s");
    for (i, (r, t)) in rows.iter().zip(&mut times).enumerate() {
        t.sort_by(f64::total_cmp);
        let [median, least, most] = [t[t.len() / 2], t[0], t[t.len() - 1]];
        let (bytes, launches) = (4.0 * r.extents.iter().product::<usize>() as f64, owner.iter().filter(|o| **o == i).count());
        let speed = bytes / median * 1e-9;
        println!("{:<24}{launches:>10}{:>12.3}{:>12.3}{:>12.3}{speed:>10.2}", r.name, 1e3 * median, 1e3 * least, 1e3 * most);
    }
    Ok(())
}

fn main() -> Result<(), String> {
    let (mut device, mut threads, mut repeats, mut only) = (String::from("cpu"), 0, 9, String::new());
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("{flag} {value}: no number"));
        match flag.as_str() {
            "--device" => device = value,
            "--threads" => threads = number()?,
            "--only" => only = value,
            "--repeats" => repeats = number()?.max(1),
            _ => {
                return Err(format!(
                    "usage: cargo bench --bench reduce -- [--device cpu|software|gpu] [--threads N] [--repeats N] [--only PART OF A NAME]; not {flag}"
                ));
            }
        }
    }
    bench(&device, threads, repeats, &only)
}
