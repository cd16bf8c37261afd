//! A ladder of matrix products: checked first, then timed, with the share of the machine's peak.
//!
//! ```text
//! cargo bench --bench gemm -- --device cpu|software|gpu --repeats 5 --sizes 512,1024 --tiles --coop
//! ```
//!
//! Rows are m x n x k in the three layouts that a training step has: `nt` forward, `nn` the gradient of the input, `tn` that of the weights
//! (with the bias' sums). `control` is the first row once more at the end of each round: it must not move. `--tiles` times every tile
//! that a device of this kind could use in the place of the chosen one: the measurements that stand beside the rules in `kernels/gemm.rs`.
//! `--coop` adds each product on the device's cooperative matrices (tensor cores), operands in f16 and sums in f32, where they pass the self-test.
//! On a processor the peak is measured, as fused multiply-adds in registers on all threads; on a GPU the best row of its kind
//! stands for it.

use gradus::cpu::CpuSession;
use gradus::gpu::{AdapterKind, Gpu, GpuSession, adapters};
use gradus::kernels::{CoopCaps, CoopTile, Gemm, GemmCoop, GemmSpec, Halves, Kernel, Matrix, Registers, Target, Tile};
use gradus::plan::{Blocking, BufferId, DataId, Handle, Launch, Layout, Phase, Program, Purpose, Session};
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::HostTensor;
use half::f16;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench gemm -- [--device cpu|software|gpu (cpu)] [--threads N (cpu)] [--repeats N (5)]
       [--sizes 256,512,1024 (cubes)] [--tiles] [--coop]";

/// The products of a wide network's step, batch 512, and of the article's, batch 32: m, n, k.
const STEPS: [(&str, [usize; 3]); 8] = [
    ("nt", [512, 1024, 784]),
    ("nn", [512, 1024, 1024]),
    ("tn", [1024, 784, 512]),
    ("nt", [512, 10, 1024]),
    ("tn", [10, 1024, 512]),
    ("nn", [512, 1024, 10]),
    ("nt", [32, 64, 784]),
    ("tn", [64, 784, 32]),
];
const LAYOUTS: [&str; 3] = ["nn", "nt", "tn"];
/// Elements of C that the check computes in f64.
const CHECKED: usize = 500;

struct Options {
    device: String,
    threads: usize,
    repeats: usize,
    sizes: Vec<usize>,
    tiles: bool,
    coop: bool,
}

fn options() -> Result<Options, String> {
    let mut o = Options { device: "cpu".into(), threads: 0, repeats: 5, sizes: vec![256, 512, 1024], tiles: false, coop: false };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--bench" => continue, // cargo says it
            "--tiles" => o.tiles = true,
            "--coop" => o.coop = true,
            _ => {
                let value = args.next().ok_or_else(|| format!("{flag}: a value is missing, or it is unknown"))?;
                let number = |v: &str| v.parse::<usize>().map_err(|_| format!("{flag} {value}: not a number that can be used"));
                match flag.as_str() {
                    "--device" => o.device = value,
                    "--threads" => o.threads = number(&value)?,
                    "--repeats" => o.repeats = number(&value)?.max(1),
                    "--sizes" => o.sizes = value.split(',').filter(|v| !v.is_empty()).map(number).collect::<Result<_, _>>()?,
                    _ => return Err(format!("{flag}: unknown")),
                }
            }
        }
    }
    Ok(o)
}

/// A product with its tile.
struct Row {
    name: String,
    layout: &'static str,
    gemm: Gemm,
    /// The same on cooperative matrices, in its place.
    coop: Option<GemmCoop>,
    /// The tile is the one that training takes.
    chosen: bool,
}

fn row(layout: &'static str, [m, n, k]: [usize; 3], tile: Tile, chosen: bool) -> Row {
    let (ta, tb) = (layout.starts_with('t'), layout.ends_with('t'));
    let mut gemm = Gemm::new(GemmSpec::new([ta, tb], tile), [m, n, k]);
    let fours = |x: &Matrix| x.pitch.is_multiple_of(4);
    (gemm.spec.va, gemm.spec.vb) = (fours(&gemm.a), fours(&gemm.b));
    Row { name: format!("{layout} {m} x {n} x {k}"), layout, gemm: gemm.by_vectors(), coop: None, chosen }
}

/// The product cut by this tile of cooperative matrices: f16 in, f32 out.
fn coop_row(layout: &'static str, shape: [usize; 3], tile: CoopTile, chosen: bool) -> Option<Row> {
    let mut plain = row(layout, shape, Tile::Split, chosen);
    plain.gemm.spec.halves = Halves::new(vec![true, true], vec![false]);
    let coop = GemmCoop::with_tile(&plain.gemm, tile)?;
    Some(Row { coop: Some(coop), ..plain })
}

impl Row {
    fn tile(&self) -> String {
        self.coop.as_ref().map_or(self.gemm.spec.tile.to_string(), |c| c.tile.to_string())
    }

    fn kernel(&self) -> Kernel {
        self.coop.as_ref().map_or_else(|| Kernel::Gemm(self.gemm.clone()), |c| Kernel::GemmCoop(c.clone()))
    }
}

fn rows(o: &Options, (target, registers): (Target, Registers), coop: Option<CoopCaps>) -> Vec<Row> {
    let cubes = o.sizes.iter().flat_map(|&s| LAYOUTS.map(|l| (l, [s; 3])));
    let mut all = Vec::new();
    for (layout, shape) in cubes.chain(STEPS) {
        let tile = Tile::choose(target, registers, shape);
        all.push(row(layout, shape, tile, true));
        if o.tiles {
            all.extend(Tile::all(target).into_iter().filter(|t| *t != tile).map(|t| row(layout, shape, t, false)));
        }
        let Some(caps) = coop else { continue };
        let tile = CoopTile::choose(&caps, shape, 1);
        all.extend(tile.and_then(|t| coop_row(layout, shape, t, true)));
        if o.tiles {
            all.extend(CoopTile::all(&caps).into_iter().filter(|t| Some(*t) != tile).filter_map(|t| coop_row(layout, shape, t, false)));
        }
    }
    all
}

/// A program of these products alone: that of a small model with other launches.
fn program(rows: &[Row]) -> gradus::Result<Program> {
    let data = Dataset::new(HostTensor::f32([1, 4], vec![0.0; 4])?, HostTensor::f32([1, 1], vec![0.0])?)?;
    let net = Sequential::new().add(Linear::new(1));
    let model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu()))?;
    let mut p = (*model.prepare(&data, 1)?).clone();
    let launch = |r: &Row| Launch {
        kernel: r.kernel(),
        buffers: if r.coop.is_some() {
            vec![BufferId::Data(2), BufferId::Data(3), BufferId::Slot(0)]
        } else {
            vec![BufferId::Data(0), BufferId::Data(1), BufferId::Slot(0)]
        },
        label: r.name.clone(),
        flops: 2 * (r.gemm.m * r.gemm.n * r.gemm.k) as u64,
        bytes: 0,
    };
    p.launches = rows.iter().map(launch).collect();
    p.phases = vec![(Phase::Compute, 0..rows.len())];
    p.slots = vec![4 * rows.iter().map(|r| r.gemm.m * r.gemm.n).max().unwrap_or(1)];
    p.purpose = Purpose::Predict;
    p.outputs.clear();
    p.units.clear();
    Ok(p)
}

/// Numbers from -1 to 1.
fn draw(name: &str, n: usize) -> Vec<f32> {
    let mut rng = Philox::new(0, name);
    (0..n).map(|_| (rand::Rng::next_u32(&mut rng) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn words(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

/// In f16, two a word.
fn halves(x: &[f32]) -> Vec<u32> {
    let half = |v: Option<&f32>| v.map_or(0, |v| u32::from(f16::from_f32(*v).to_bits()));
    x.chunks(2).map(|c| half(c.first()) | half(c.get(1)) << 16).collect()
}

/// The product against sums in f64, at elements all over C and in its last row and column.
fn check(r: &Row, a: &[f32], b: &[f32], c: &[f32]) -> Result<(), String> {
    let g = &r.gemm;
    let places = (0..CHECKED).map(|i| (i * 7919 % g.m, i * 104_729 % g.n)).chain([(g.m - 1, g.n - 1), (0, g.n - 1), (g.m - 1, 0)]);
    for (i, j) in places {
        let at = |p: usize| {
            let held = |x: f32| if r.coop.is_some() { f16::from_f32(x).to_f32() } else { x };
            let x = a[if g.spec.ta { p * g.a.pitch + i } else { i * g.a.pitch + p }];
            let y = b[if g.spec.tb { j * g.b.pitch + p } else { p * g.b.pitch + j }];
            f64::from(held(x)) * f64::from(held(y))
        };
        let (want, got) = ((0..g.k).map(at).sum::<f64>(), f64::from(c[i * g.n + j]));
        // an addition rounds by the size of the sum that it is made to: sums that come out large are off by more; tensor cores cut off what
        // they add. NaN fails too
        let off = (want - got).abs();
        let scale = if r.coop.is_some() { 1e-5 } else { 1e-6 };
        if off.is_nan() || off > scale * ((g.k as f64).sqrt() + 1.0 + want.abs()) {
            return Err(format!("{} {}: C[{i}, {j}] is {got} for {want}", r.name, r.tile()));
        }
    }
    Ok(())
}

struct Fma([f32; 16 * 12]);

impl pulp::NullaryFnOnce for Fma {
    type Output = f32;
    #[inline(always)]
    fn call(self) -> f32 {
        let (a, b) = (black_box(0.999f32), black_box(0.001f32));
        let mut x = self.0;
        for _ in 0..1_000_000 {
            for v in &mut x {
                *v = v.mul_add(a, b);
            }
        }
        x.iter().sum()
    }
}

/// GFLOP/s of fused multiply-adds in registers on so many threads, the best of three.
fn peak(threads: usize) -> f64 {
    let run = |_| {
        let began = Instant::now();
        std::thread::scope(|s| {
            for _ in 0..threads {
                s.spawn(|| black_box(pulp::Arch::new().dispatch(Fma([1.0; 192]))));
            }
        });
        threads as f64 * 2.0 * 192.0 * 1e6 / began.elapsed().as_secs_f64() * 1e-9
    };
    (0..3).map(run).fold(0.0, f64::max)
}

/// Median, least, most.
fn spread(times: &[f64]) -> [f64; 3] {
    let mut t = times.to_vec();
    t.sort_by(f64::total_cmp);
    [(t[(t.len() - 1) / 2] + t[t.len() / 2]) / 2.0, t[0], t[t.len() - 1]]
}

/// A session, how its kernels are shaped, its name, its threads, and what its cooperative matrices can do.
type Opened = (Box<dyn Session>, (Target, Registers), String, Option<usize>, Option<CoopCaps>);

fn open(o: &Options) -> Result<Opened, String> {
    let layout = Layout { parameters: 128, ..Layout::default() };
    if o.device == "cpu" {
        let s = CpuSession::new(layout, o.threads).map_err(|e| e.to_string())?;
        let threads = s.threads();
        return Ok((Box::new(s), (Target::Software, Registers::Many), format!("the CPU, {threads} threads"), Some(threads), None));
    }
    let software = o.device == "software";
    let fits = |k: AdapterKind| (k == AdapterKind::Software) == software;
    let found = adapters().into_iter().find(|a| fits(a.kind)).ok_or(format!("--device {}: there is none", o.device))?;
    let gpu = Gpu::open(&found).map_err(|e| e.to_string())?;
    let (target, name) = ((gpu.target(), found.registers()), format!("{}, {}", found.name, found.driver));
    let coop = if o.coop {
        println!("tensor    cooperative matrices: {}", gpu.coop());
        gpu.coop().caps()
    } else {
        None
    };
    let session = GpuSession::new(gpu, layout, false).map_err(|e| e.to_string())?;
    // lavapipe on the calling thread, or on as many as there are
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = std::env::var("LP_NUM_THREADS").ok().and_then(|v| v.parse::<usize>().ok()).map_or(cores, |n| n.max(1));
    Ok((Box::new(session), target, name, software.then_some(threads), coop))
}

fn bench(o: &Options) -> Result<(), String> {
    let text = |e: gradus::Error| e.to_string();
    let (mut session, target, name, threads, coop) = open(o)?;
    println!("device    {name}");
    let (limit, all) = (session.data_limit(), rows(o, target, coop));
    let fits = |r: &Row| [r.gemm.m * r.gemm.k, r.gemm.k * r.gemm.n, r.gemm.m * r.gemm.n].iter().all(|&n| n <= limit);
    let (rows, large): (Vec<Row>, Vec<Row>) = all.into_iter().partition(fits);
    large.iter().for_each(|r| println!("left out  {}: a matrix is larger than a binding of this device", r.name));
    if rows.is_empty() {
        return Err("no product is left".into());
    }
    let most = |f: fn(&Gemm) -> usize| rows.iter().map(|r| f(&r.gemm)).max().unwrap_or(1);
    let (a, b) = (draw("a", most(|g| g.m * g.k)), draw("b", most(|g| g.k * g.n)));
    let mut given = vec![words(&a), words(&b)];
    if coop.is_some() {
        given.extend([halves(&a), halves(&b)]);
    }
    let data: Vec<DataId> = given.iter().map(|x| session.add_data(x)).collect::<gradus::Result<_>>().map_err(text)?;
    drop(given);
    // each alone, checked
    for r in &rows {
        let one = Arc::new(program(std::slice::from_ref(r)).map_err(text)?);
        let handle = session.prepare(&one, &data).map_err(text)?;
        session.profile(handle, None).map_err(text)?;
        let c = session.read(BufferId::Slot(0), 0, r.gemm.m * r.gemm.n).map_err(text)?;
        check(r, &a, &b, &c.into_iter().map(f32::from_bits).collect::<Vec<_>>())?;
    }
    // the ladder with its control
    let first = &rows[0];
    let control = row(first.layout, [first.gemm.m, first.gemm.n, first.gemm.k], first.gemm.spec.tile, true);
    let rows: Vec<Row> = rows.into_iter().chain([Row { name: "control".into(), ..control }]).collect();
    let all = Arc::new(program(&rows).map_err(text)?);
    let handle: Handle = session.prepare(&all, &data).map_err(text)?;
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..o.repeats {
        let timing = session.profile(handle, None).map_err(text)?;
        times.iter_mut().zip(timing.seconds).for_each(|(t, s)| t.push(s));
    }
    let speed = |r: &Row, seconds: f64| 2e-9 * (r.gemm.m * r.gemm.n * r.gemm.k) as f64 / seconds;
    let medians: Vec<f64> = times.iter().map(|t| spread(t)[0]).collect();
    let best = |coop: bool| {
        let own = rows.iter().zip(&medians).filter(|(r, _)| r.coop.is_some() == coop);
        own.map(|(r, t)| speed(r, *t)).fold(0.0, f64::max)
    };
    let top = threads.map_or(best(false), peak);
    let of = if threads.is_some() { "measured, in registers" } else { "the best row's" };
    println!("peak      {top:.1} GFLOP/s, {of}");
    let top_coop = best(true);
    if top_coop > 0.0 {
        println!("          {top_coop:.1} GFLOP/s on cooperative matrices, the best row's; {:.2} times f32's best", top_coop / best(false));
    }
    println!("{:<24}{:<24}{:>12}{:>12}{:>12}{:>12}{:>9}", "", "tile", "median ms", "min ms", "max ms", "GFLOP/s", "of peak");
    for (r, t) in rows.iter().zip(&times) {
        let [median, least, most] = spread(t);
        let (g, mark) = (speed(r, median), if r.chosen { "" } else { "  " });
        let tile = if o.device == "cpu" { String::new() } else { format!("{mark}{}", r.tile()) };
        let top = if r.coop.is_some() { top_coop } else { top };
        let [median, least, most] = [median, least, most].map(|t| t * 1e3);
        println!("{:<24}{tile:<24}{median:>12.3}{least:>12.3}{most:>12.3}{g:>12.2}{:>8.0}%", r.name, 100.0 * g / top);
    }
    let moved = (medians[0] / medians[rows.len() - 1] - 1.0).abs();
    if moved > 0.1 {
        println!("the control is {:.0} % from its row: the machine was not quiet, trust nothing finer", moved * 100.0);
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
        Ok(o) => bench(&o).unwrap_or_else(fail),
    }
}
