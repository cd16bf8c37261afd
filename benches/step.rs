//! Times whole training steps: forward, loss, backward, update, on data that lies on the device.
//!
//! ```text
//! cargo bench --bench step -- --device cpu|software|gpu --seconds 2 --only article
//! ```
//!
//! The rows of the table take turns, `--repeats` times over, so that a machine that slows down slows all of them; `control` is a fixed
//! piece of arithmetic on every CPU core, without gradus, and must not move. Each repeat is the mean over its steps. `busy` is what all
//! threads computed for a step; `host` what the main thread did: rates, encoding, submits, logs, and the driver's part of them. `device/wall` is
//! how much of the time the device computed: by its timestamps, or, of a software adapter (with `LP_NUM_THREADS=0`), by the time of its own
//! thread, less what other programs took from it. After the table comes one JSON object a line, with the keys of `peers/pytorch_step.py`.
//! `RESULTS.md` says how to read it.

use gradus::data::Augment;
use gradus::nn::{Conv2d, MaxPool2d, models};
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::HostTensor;
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

const CLASSES: usize = 10;
const USAGE: &str = "usage: cargo bench --bench step -- [--device auto|gpu|gpu:INDEX|gpu:NAME|software|cpu|list] [--threads N (cpu)]
       [--seconds S a row (2)] [--repeats N (5)] [--only article,wide,tiny,moved,turned,cnn,resnet20 (article,wide)] [--precision f32|mixed (f32)] [--profile (a table of launches instead)]";

/// A network and a batch.
struct Case {
    name: &'static str,
    /// A row of the data.
    image: &'static [usize],
    /// The network, for listings.
    layers: &'static str,
    net: fn() -> Box<dyn Module>,
    batch: usize,
    /// Whole batches.
    rows: usize,
    augment: fn() -> Augment,
}

/// Images move by whole pixels.
fn moved() -> Augment {
    Augment::new().shift(2).horizontal_flip(0.5)
}

/// Images turn, and there is noise upon them.
fn turned() -> Augment {
    Augment::new().rotate(15.0).translate(0.1).scale(0.9, 1.1).shear(5.0).noise(0.05)
}

/// Dense layers of these widths, and one that tells classes.
fn dense(hidden: &[usize]) -> Box<dyn Module> {
    let net = hidden.iter().fold(Sequential::new().add(Flatten), |net, &n| net.add(Linear::new(n)).add(Relu));
    Box::new(net.add(Linear::new(CLASSES)).add(Softmax))
}

/// Keras' network for digits, without its dropout.
fn cnn() -> Box<dyn Module> {
    let net = Sequential::new().add(Conv2d::new(32, 3)).add(Relu).add(Conv2d::new(64, 3)).add(Relu).add(MaxPool2d::new(2)).add(Flatten);
    Box::new(net.add(Linear::new(128)).add(Relu).add(Linear::new(CLASSES)))
}

const ARTICLE: Case = Case {
    name: "article",
    image: &[28, 28],
    layers: "784-64-32-10",
    net: || dense(&[64, 32]),
    batch: 32,
    rows: 60_000,
    augment: Augment::new,
};

/// `tiny` does next to nothing, so that its time is what launches and submits cost; `moved` and `turned` are the article's step with augmentation.
const CASES: [Case; 7] = [
    ARTICLE,
    Case { name: "wide", layers: "784-1024-1024-10", net: || dense(&[1024, 1024]), batch: 512, rows: 117 * 512, ..ARTICLE },
    Case { name: "tiny", image: &[1, 1], layers: "1-10", net: || dense(&[]), batch: 1, ..ARTICLE },
    Case { name: "moved", augment: moved, ..ARTICLE },
    Case { name: "turned", augment: turned, ..ARTICLE },
    Case { name: "cnn", image: &[1, 28, 28], layers: "conv 32, conv 64, pool, 128, 10", net: cnn, batch: 128, rows: 60 * 128, ..ARTICLE },
    Case {
        name: "resnet20",
        image: &[3, 32, 32],
        layers: "ResNet-20",
        net: || Box::new(models::resnet20(CLASSES)),
        batch: 128,
        rows: 20 * 128,
        ..ARTICLE
    },
];

struct Options {
    device: String,
    threads: usize,
    seconds: f64,
    repeats: usize,
    only: Vec<String>,
    profile: bool,
    precision: Precision,
}

fn options() -> Result<Options, String> {
    let device = std::env::var("GRADUS_DEVICE").unwrap_or("auto".into());
    let mut o = Options {
        device,
        threads: 0,
        seconds: 2.0,
        repeats: 5,
        only: vec!["article".into(), "wide".into()],
        profile: false,
        precision: Precision::F32,
    };
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
            "--precision" => o.precision = value.parse().map_err(|e| format!("{e}"))?,
            "--only" => o.only = value.split(',').map(String::from).collect(),
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    match o.only.iter().find(|n| CASES.iter().all(|c| c.name != **n)) {
        Some(name) => Err(format!("--only {name}: there are article, wide, tiny, moved, turned, cnn, resnet20")),
        None => Ok(o),
    }
}

/// Random images and labels.
fn random_data(case: &Case) -> gradus::Result<Dataset> {
    let mut rng = Philox::new(0, "bench");
    let mut bytes = |n: usize| {
        let mut v = vec![0u8; n];
        rand::Rng::fill_bytes(&mut rng, &mut v);
        v
    };
    let shape = [&[case.rows], case.image].concat();
    let x = HostTensor::u8(shape.clone(), bytes(shape.iter().product()))?;
    let y = HostTensor::u8([case.rows], bytes(case.rows).into_iter().map(|b| b % CLASSES as u8).collect())?;
    Ok(Dataset::new(x, y)?.named("random").scale(1.0 / 255.0).one_hot(CLASSES).augment((case.augment)()))
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

/// What each thread has done: seconds that it computed, and that it waited for a core which others had. Unlike the wall clock the first counts
/// nothing that others did on the machine meanwhile. Nothing where the system does not tell.
#[derive(Clone, Default)]
struct Threads(BTreeMap<std::ffi::OsString, [f64; 2]>);

impl Threads {
    fn now() -> Self {
        let times = |dir: &std::path::Path| {
            let text = std::fs::read_to_string(dir.join("schedstat")).ok()?;
            let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().map(|n| n * 1e-9));
            Some([numbers.next()?.ok()?, numbers.next()?.ok()?])
        };
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        Threads(tasks.filter_map(|t| Some((t.file_name(), times(&t.path())?))).collect())
    }

    /// Since then.
    fn since(&self, then: &Threads) -> Self {
        let before = |id| then.0.get(id).copied().unwrap_or_default();
        Threads(self.0.iter().map(|(id, t)| (id.clone(), [t[0] - before(id)[0], t[1] - before(id)[1]])).collect())
    }

    /// Seconds that all computed together; so long by the clock where that is not known.
    fn busy(&self, wall: f64) -> f64 {
        let all: f64 = self.0.values().map(|t| t[0]).sum();
        if all > 0.0 { all } else { wall }
    }

    /// The main thread, and the busiest of the others: on a software adapter that one is the device.
    fn pair(&self) -> ([f64; 2], [f64; 2]) {
        let main = std::ffi::OsString::from(std::process::id().to_string());
        let others = self.0.iter().filter(|(id, _)| **id != main).map(|(_, t)| *t);
        let first = self.0.get(&main).copied().unwrap_or([f64::NAN; 2]);
        (first, others.max_by(|a, b| a[0].total_cmp(&b[0])).unwrap_or([f64::NAN; 2]))
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
    host: Vec<f64>,
    device: Vec<f64>,
    /// Seconds of a step's launches by the GPU's own clock.
    launched: Option<f64>,
    per_submit: f64,
}

/// Seconds of a step: by the clock, computed on all threads, computed on the main one; and the share of the time that the device computed.
type Times = [f64; 4];

impl Runner<'_> {
    /// At least this many steps.
    fn time(&mut self, steps: usize) -> gradus::Result<Times> {
        let traffic = self.run.model().traffic();
        let (before, began, mut done) = (Threads::now(), Instant::now(), 0);
        while done < steps {
            let Some(report) = self.run.steps(steps - done)? else { break };
            done += report.losses.len();
        }
        let wall = began.elapsed().as_secs_f64();
        let did = Threads::now().since(&before);
        let now = self.run.model().traffic();
        self.per_submit = (now.steps - traffic.steps) as f64 / (now.submits - traffic.submits).max(1) as f64;
        let (host, [device, queued]) = did.pair();
        let each = 1.0 / done as f64;
        let share = match self.launched {
            Some(seconds) => seconds / (wall * each),
            // what others took from it is none of the host's fault
            None => device / (wall - queued),
        };
        Ok([wall * each, did.busy(wall) * each, host[0] * each, share])
    }

    /// The first step, then as many as a repeat has time for.
    fn warm_up(&mut self, began: Instant, seconds: f64) -> gradus::Result<()> {
        self.time(1)?;
        self.first_step += began.elapsed().as_secs_f64();
        let ([mut step, ..], warm) = (self.time(1)?, Instant::now());
        while warm.elapsed().as_secs_f64() + step < seconds {
            [step, ..] = self.time(((seconds / 4.0 / step) as usize).max(1))?;
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
        let net = (case.net)();
        let compile =
            Compile::new(Adam::default(), CrossEntropy::new()).input(case.image).metric(Accuracy::new()).precision(o.precision.clone());
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
        let launched = if device.kind() == "gpu" { Some(model.profile(data, case.batch)?.total()) } else { None };
        let run = model.trainer(data, Fit::new().epochs(usize::MAX).batch_size(case.batch).verbose(0))?;
        let mut r = Runner {
            case,
            run,
            launches,
            steps: 0,
            first_step: *compiled,
            times: vec![],
            busy: vec![],
            host: vec![],
            device: vec![],
            launched,
            per_submit: 0.0,
        };
        r.warm_up(began, o.seconds / o.repeats as f64)?;
        runners.push(r);
    }
    let mut fixed = Vec::new();
    for _ in 0..o.repeats {
        fixed.push(control());
        for r in &mut runners {
            let [t, computed, host, share] = r.time(r.steps)?;
            r.times.push(t);
            r.busy.push(computed);
            r.host.push(host);
            r.device.push(share);
        }
    }
    let [control_median, control_min, control_max] = spread(&fixed).map(|t| t * 1e3);
    println!(
        "{:<10}{:>12}{:>12}{:>12}{:>12}{:>12}{:>10}{:>15}{:>12}{:>12}{:>14}",
        "", "median ms", "min ms", "max ms", "busy ms", "steps/s", "launches", "first step s", "host us", "device/wall", "steps/submit"
    );
    println!("{:<10}{control_median:>12.4}{control_min:>12.4}{control_max:>12.4}", "control");
    for r in &runners {
        let [median, min, max] = spread(&r.times).map(|t| t * 1e3);
        let (rate, name, [computed, ..]) = (1e3 / median, r.case.name, spread(&r.busy).map(|t| t * 1e3));
        print!("{name:<10}{median:>12.4}{min:>12.4}{max:>12.4}{computed:>12.4}{rate:>12.1}{:>10}{:>15.2}", r.launches, r.first_step);
        // the CPU device is its own host
        if device.kind() == "cpu" {
            println!();
        } else {
            println!("{:>12.2}{:>12.3}{:>14.1}", spread(&r.host)[0] * 1e6, spread(&r.device)[0], r.per_submit);
        }
    }
    let moved = control_max / control_min - 1.0;
    if moved > 0.1 {
        println!("the control moved by {:.0} %: the machine was not quiet, trust ratios of one run at most", moved * 100.0);
    }
    for r in &runners {
        let [median, min, max] = spread(&r.times).map(|t| t * 1e3);
        let line = json!({
            "peer": "gradus", "version": env!("CARGO_PKG_VERSION"), "case": r.case.name, "device": device.kind(), "adapter": device.name(),
            "driver": device.driver(), "threads": o.threads, "precision": o.precision.to_string(), "layers": r.case.layers, "batch": r.case.batch, "steps": r.steps, "repeat": o.repeats,
            "ms_per_step": median, "min": min, "max": max, "busy_ms": spread(&r.busy)[0] * 1e3, "launches": r.launches, "first_step_s": r.first_step,
            "host_us": (device.kind() != "cpu").then(|| spread(&r.host)[0] * 1e6), "device_over_wall": (device.kind() != "cpu").then(|| spread(&r.device)[0]),
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
