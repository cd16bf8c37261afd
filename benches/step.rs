//! Times whole training steps: forward, loss, backward, update, on data that lies on the device.
//!
//! ```text
//! cargo bench --bench step -- --device cpu|software|gpu --seconds 2 --only article
//! ```
//!
//! The rows of the table take turns, `--repeats` times over, so that a machine that slows down slows all of them; `control` is a fixed
//! piece of arithmetic on every CPU core, without gradus, and must not move. Each repeat is the mean over its steps. After the table comes
//! one JSON object a line, with the keys of `peers/pytorch_step.py`. `RESULTS.md` says how to read it.

use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::HostTensor;
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;

const PIXELS: usize = 28 * 28;
const CLASSES: usize = 10;
const USAGE: &str = "usage: cargo bench --bench step -- [--device auto|gpu|gpu:INDEX|gpu:NAME|software|cpu|list] [--threads N (cpu)]
       [--seconds S a row (2)] [--repeats N (5)] [--only article,wide,tiny (article,wide)] [--profile (a table of launches instead)]";

/// A network and a batch.
struct Case {
    name: &'static str,
    inputs: usize,
    hidden: &'static [usize],
    batch: usize,
    rows: usize,
}

/// `rows` are whole batches; `tiny` does next to nothing, so that its time is what launches and submits cost.
const CASES: [Case; 3] = [
    Case { name: "article", inputs: PIXELS, hidden: &[64, 32], batch: 32, rows: 60_000 },
    Case { name: "wide", inputs: PIXELS, hidden: &[1024, 1024], batch: 512, rows: 117 * 512 },
    Case { name: "tiny", inputs: 1, hidden: &[], batch: 1, rows: 60_000 },
];

struct Options {
    device: String,
    threads: usize,
    seconds: f64,
    repeats: usize,
    only: Vec<String>,
    profile: bool,
}

fn options() -> Result<Options, String> {
    let device = std::env::var("GRADUS_DEVICE").unwrap_or("auto".into());
    let mut o = Options { device, threads: 0, seconds: 2.0, repeats: 5, only: vec!["article".into(), "wide".into()], profile: false };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        if flag == "--bench" {
            continue; // cargo says it
        }
        if flag == "--profile" {
            o.profile = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing, or it is unknown"))?;
        let bad = || format!("{flag} {value}: not a number that can be used");
        match flag.as_str() {
            "--device" => o.device = value,
            "--threads" => o.threads = value.parse().map_err(|_| bad())?,
            "--seconds" => o.seconds = value.parse().ok().filter(|s| *s > 0.0).ok_or_else(bad)?,
            "--repeats" => o.repeats = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
            "--only" => o.only = value.split(',').map(String::from).collect(),
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    match o.only.iter().find(|n| CASES.iter().all(|c| c.name != **n)) {
        Some(name) => Err(format!("--only {name}: there are article, wide, tiny")),
        None => Ok(o),
    }
}

/// Random images and labels of MNIST's shape.
fn random_data(case: &Case) -> gradus::Result<Dataset> {
    let mut rng = Philox::new(0, "bench");
    let mut bytes = |n: usize| {
        let mut v = vec![0u8; n];
        rand::Rng::fill_bytes(&mut rng, &mut v);
        v
    };
    let x = HostTensor::u8([case.rows, case.inputs], bytes(case.rows * case.inputs))?;
    let y = HostTensor::u8([case.rows], bytes(case.rows).into_iter().map(|b| b % CLASSES as u8).collect())?;
    Ok(Dataset::new(x, y)?.named("random").scale(1.0 / 255.0).one_hot(CLASSES))
}

/// A fixed number of f32 multiply-adds on every core; seconds.
fn control() -> f64 {
    let began = Instant::now();
    std::thread::scope(|s| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            s.spawn(|| {
                let (a, b) = (black_box([0.999f32; 64]), black_box([0.001f32; 64]));
                let mut x = [1.0f32; 64];
                for _ in 0..1_000_000 {
                    for i in 0..64 {
                        x[i] = x[i] * a[i] + b[i];
                    }
                }
                black_box(x)
            });
        }
    });
    began.elapsed().as_secs_f64()
}

/// Seconds that this process has computed, all threads together; by the wall clock where the system does not tell. Unlike the wall clock
/// it counts nothing that others did on the machine meanwhile.
fn busy(since: Instant) -> f64 {
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    match std::fs::read_dir("/proc/self/task").map(|tasks| tasks.filter_map(of).sum::<f64>()) {
        Ok(nanoseconds) if nanoseconds > 0.0 => nanoseconds * 1e-9,
        _ => since.elapsed().as_secs_f64(),
    }
}

/// A training loop that goes on for ever.
struct Runner<'a> {
    case: &'a Case,
    run: Trainer<'a>,
    launches: usize,
    steps: usize,
    first_step: f64,
    times: Vec<f64>,
    busy: Vec<f64>,
}

impl Runner<'_> {
    /// At least this many steps; seconds a step, and of them how many it computed on any thread.
    fn time(&mut self, steps: usize) -> gradus::Result<[f64; 2]> {
        let (began, mut done) = (Instant::now(), 0);
        let computed = busy(began);
        while done < steps {
            let Some(report) = self.run.steps(steps - done)? else { break };
            done += report.losses.len();
        }
        Ok([began.elapsed().as_secs_f64(), busy(began) - computed].map(|t| t / done as f64))
    }

    /// The first step, then as many as a repeat has time for.
    fn warm_up(&mut self, began: Instant, seconds: f64) -> gradus::Result<()> {
        self.time(1)?;
        self.first_step += began.elapsed().as_secs_f64();
        let ([mut step, _], warm) = (self.time(1)?, Instant::now());
        while warm.elapsed().as_secs_f64() + step < seconds {
            [step, _] = self.time(((seconds / 4.0 / step) as usize).max(1))?;
        }
        self.steps = ((seconds / step) as usize).max(1);
        Ok(())
    }
}

/// Median, least, most.
fn spread(times: &[f64]) -> [f64; 3] {
    let mut t = times.to_vec();
    t.sort_by(f64::total_cmp);
    [(t[(t.len() - 1) / 2] + t[t.len() / 2]) / 2.0, t[0], t[t.len() - 1]]
}

fn bench(o: &Options) -> gradus::Result<()> {
    let device = if o.device == "cpu" { Device::cpu_threads(o.threads) } else { Device::select(&o.device)? };
    println!("device    {}  {}  {}", device.name(), device.driver(), device.note());
    let cases: Vec<&Case> = CASES.iter().filter(|c| o.only.iter().any(|n| n == c.name)).collect();
    let data = cases.iter().map(|c| random_data(c)).collect::<gradus::Result<Vec<_>>>()?;
    let mut models = Vec::new();
    for case in &cases {
        let began = Instant::now();
        let net = case.hidden.iter().fold(Sequential::new(), |net, &n| net.add(Linear::new(n)).add(Relu));
        let net = net.add(Linear::new(CLASSES)).add(Softmax);
        let compile = Compile::new(Adam::default(), CrossEntropy::new()).input([case.inputs]).metric(Accuracy::new());
        models.push((net.compile(compile.device(device.clone()))?, began.elapsed().as_secs_f64()));
    }
    if o.profile {
        for ((case, (model, _)), data) in cases.iter().zip(&mut models).zip(&data) {
            println!("\n{}: {}", case.name, model.profile(data, case.batch)?);
        }
        return Ok(());
    }
    let mut runners = Vec::new();
    for ((case, (model, compiled)), data) in cases.iter().zip(&mut models).zip(&data) {
        let began = Instant::now();
        let launches = model.prepare(data, case.batch)?.launches.len();
        let run = model.trainer(data, Fit::new().epochs(usize::MAX).batch_size(case.batch).verbose(0))?;
        let mut r = Runner { case, run, launches, steps: 0, first_step: *compiled, times: vec![], busy: vec![] };
        r.warm_up(began, o.seconds / o.repeats as f64)?;
        runners.push(r);
    }
    let mut fixed = Vec::new();
    for _ in 0..o.repeats {
        fixed.push(control());
        for r in &mut runners {
            let [t, computed] = r.time(r.steps)?;
            r.times.push(t);
            r.busy.push(computed);
        }
    }
    let [control_median, control_min, control_max] = spread(&fixed).map(|t| t * 1e3);
    println!(
        "{:<10}{:>12}{:>12}{:>12}{:>12}{:>12}{:>10}{:>15}",
        "", "median ms", "min ms", "max ms", "busy ms", "steps/s", "launches", "first step s"
    );
    println!("{:<10}{control_median:>12.4}{control_min:>12.4}{control_max:>12.4}", "control");
    for r in &runners {
        let [median, min, max] = spread(&r.times).map(|t| t * 1e3);
        let (rate, name, [computed, ..]) = (1e3 / median, r.case.name, spread(&r.busy).map(|t| t * 1e3));
        println!("{name:<10}{median:>12.4}{min:>12.4}{max:>12.4}{computed:>12.4}{rate:>12.1}{:>10}{:>15.2}", r.launches, r.first_step);
    }
    let moved = control_max / control_min - 1.0;
    if moved > 0.1 {
        println!("the control moved by {:.0} %: the machine was not quiet, trust ratios of one run at most", moved * 100.0);
    }
    for r in &runners {
        let [median, min, max] = spread(&r.times).map(|t| t * 1e3);
        let widths: Vec<usize> = [&[r.case.inputs], r.case.hidden, &[CLASSES]].concat();
        let line = json!({
            "peer": "gradus", "version": env!("CARGO_PKG_VERSION"), "case": r.case.name, "device": device.kind(), "adapter": device.name(),
            "driver": device.driver(), "threads": o.threads, "layers": widths, "batch": r.case.batch, "steps": r.steps, "repeat": o.repeats,
            "ms_per_step": median, "min": min, "max": max, "busy_ms": spread(&r.busy)[0] * 1e3, "launches": r.launches, "first_step_s": r.first_step,
            "control_ms": control_median, "control_moved": moved,
        });
        println!("{line}");
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
        Ok(o) if o.device == "list" => print!("{}", Device::list()),
        Ok(o) => bench(&o).unwrap_or_else(|e| fail(e.to_string())),
    }
}
