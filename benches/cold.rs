//! What stands before the first step: a process of its own opens the device, compiles the article's model and trains one step.
//!
//! ```text
//! cargo bench --bench cold -- --device cpu|software|gpu --repeats 7
//! ```
//!
//! Each row is a state of the caches; its processes run one after the other, rows taking turns. Milliseconds, medians of the repeats: `device`
//! finds and opens it, `compile` checks the model and puts its weights there, `plan` builds and plans the step, `data` moves 47 MB of rows,
//! `pipelines` makes what the step needs, `first step` runs one and waits (software adapters translate their shaders here), `all` is their sum,
//! `alone` that less what the main thread waited for a core that other programs had, and `process` is the whole process as its parent saw it,
//! with the drawing of the data that no other column counts.

use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::HostTensor;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench cold -- [--device cpu|software|gpu|.. (cpu)] [--repeats N (7)] [--only ROW,..]";
const PHASES: [&str; 6] = ["device", "compile", "plan", "data", "pipelines", "first step"];
const ROWS: usize = 60_000;

/// The caches of a row: whether the driver's (Mesa's), and ours, are there from an earlier process.
struct Caches {
    name: &'static str,
    driver: bool,
    ours: bool,
}

const CACHES: [Caches; 4] = [
    Caches { name: "no cache", driver: false, ours: false },
    Caches { name: "gradus' alone", driver: false, ours: true },
    Caches { name: "Mesa's alone", driver: true, ours: false },
    Caches { name: "both", driver: true, ours: true },
];

/// Notes when the library says that a part is done.
#[derive(Clone, Default)]
struct Marks(Arc<Mutex<Vec<(String, Instant)>>>);

impl Marks {
    fn of(&self, text: &str) -> Option<Instant> {
        self.0.lock().ok()?.iter().find(|(m, _)| m.contains(text)).map(|m| m.1)
    }
}

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
        if field.name() == "kernel" {
            self.0 += &format!(" {value:?}");
        }
    }
}

impl tracing::Subscriber for Marks {
    fn enabled(&self, m: &tracing::Metadata<'_>) -> bool {
        m.target().starts_with("gradus")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        if let Ok(mut all) = self.0.lock() {
            all.push((text.0, Instant::now()));
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Random images and labels of MNIST's shape.
fn random_data() -> gradus::Result<Dataset> {
    let mut rng = Philox::new(0, "bench");
    let mut bytes = |n: usize| {
        let mut v = vec![0u8; n];
        rand::Rng::fill_bytes(&mut rng, &mut v);
        v
    };
    let x = HostTensor::u8([ROWS, 784], bytes(ROWS * 784))?;
    let y = HostTensor::u8([ROWS], bytes(ROWS).into_iter().map(|b| b % 10).collect())?;
    Ok(Dataset::new(x, y)?.named("random").scale(1.0 / 255.0).one_hot(10))
}

/// Seconds that this thread has waited for a core; none where the system does not tell.
fn queued() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).map_or(0.0, |n| n * 1e-9)
}

/// One start, in this process: prints the milliseconds of each phase.
fn child(device: &str) -> gradus::Result<()> {
    let marks = Marks::default();
    let _ = tracing::subscriber::set_global_default(marks.clone());
    let data = random_data()?;
    let (mut times, before) = (vec![Instant::now()], queued());
    let device = Device::select(device)?;
    times.push(Instant::now());
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let compile = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new());
    let mut model = net.compile(compile.device(device))?;
    times.push(Instant::now());
    model.prepare(&data, 32)?;
    let prepared = Instant::now();
    times.push(marks.of("planned a step").unwrap_or(prepared));
    times.push(marks.of("data set is on the device").unwrap_or(prepared));
    times.push(prepared);
    let mut run = model.trainer(&data, Fit::new().batch_size(32).verbose(0))?;
    run.steps(1)?;
    times.push(Instant::now());
    let queued = (queued() - before) * 1e3;
    let ms: Vec<String> = times.windows(2).map(|t| format!("{:.3}", (t[1] - t[0]).as_secs_f64() * 1e3)).collect();
    println!("{} {queued:.3}", ms.join(" "));
    if std::env::var_os("GRADUS_BENCH_MARKS").is_some() {
        let mut last = times[0];
        for (text, at) in marks.0.lock().iter().flat_map(|m| m.iter()) {
            eprintln!("{:>9.3} ms  {text}", (*at - last).as_secs_f64() * 1e3);
            last = *at;
        }
    }
    Ok(())
}

/// A process with these caches; the milliseconds of its phases, of all, of all alone, and of the process.
fn start(device: &str, caches: &Caches, driver: &std::path::Path, ours: &std::path::Path) -> Result<Vec<f64>, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let clear = |keep: bool, dir: &std::path::Path| if keep { Ok(()) } else { empty(dir) };
    clear(caches.driver, driver).and_then(|()| clear(caches.ours, ours)).map_err(|e| e.to_string())?;
    let mut command = Command::new(me);
    command.args(["--child", device]).stdout(Stdio::piped());
    // Mesa's newer name, then its older
    command.env("MESA_SHADER_CACHE_DIR", driver).env("MESA_GLSL_CACHE_DIR", driver);
    command.env("XDG_CACHE_HOME", ours);
    let began = Instant::now();
    let out = command.spawn().and_then(std::process::Child::wait_with_output).map_err(|e| e.to_string())?;
    let process = began.elapsed().as_secs_f64() * 1e3;
    let text = String::from_utf8_lossy(&out.stdout);
    let mut ms: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    if !out.status.success() || ms.len() != PHASES.len() + 1 {
        return Err(format!("a process ended with {}: {text}", out.status));
    }
    let queued = ms.pop().unwrap_or(0.0);
    let all: f64 = ms.iter().sum();
    ms.extend([all, all - queued, process]);
    Ok(ms)
}

fn empty(dir: &std::path::Path) -> std::io::Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)
}

fn median(mut t: Vec<f64>) -> f64 {
    t.sort_by(f64::total_cmp);
    (t[(t.len() - 1) / 2] + t[t.len() / 2]) / 2.0
}

fn bench(device: &str, repeats: usize, only: &[String]) -> Result<(), String> {
    let temp = tempfile::tempdir().map_err(|e| e.to_string())?;
    let chosen = Device::select(device).map_err(|e| e.to_string())?;
    println!("device    {}  {}", chosen.name(), chosen.driver());
    // the CPU knows no cache
    let rows = if chosen.kind() == "cpu" { &CACHES[3..] } else { &CACHES[..] };
    drop(chosen);
    let mut found = Vec::new();
    for (i, c) in rows.iter().enumerate().filter(|(_, c)| only.is_empty() || only.iter().any(|o| o == c.name)) {
        // each row has folders of its own, which its first process fills
        let folder = |name: &str| temp.path().join(format!("{name}{i}"));
        let (driver, ours) = (folder("driver"), folder("ours"));
        empty(&driver).and_then(|()| empty(&ours)).map_err(|e| e.to_string())?;
        start(device, c, &driver, &ours)?;
        found.push((c, driver, ours, Vec::new()));
    }
    for _ in 0..repeats {
        for (c, driver, ours, times) in &mut found {
            times.push(start(device, c, driver, ours)?);
        }
    }
    print!("{:<16}", "ms");
    PHASES.iter().chain(&["all", "alone", "process"]).for_each(|p| print!("{p:>12}"));
    println!();
    for (c, .., times) in &found {
        print!("{:<16}", c.name);
        (0..PHASES.len() + 3).for_each(|i| print!("{:>12.1}", median(times.iter().map(|t| t[i]).collect())));
        println!();
    }
    Ok(())
}

fn options() -> Result<(String, usize, Vec<String>), String> {
    let (mut device, mut repeats, mut only) = ("cpu".to_string(), 7, vec![]);
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing, or it is unknown"))?;
        match flag.as_str() {
            "--device" => device = value,
            "--repeats" => repeats = value.parse().ok().filter(|n| *n > 0).ok_or(format!("--repeats {value}: not a number"))?,
            "--only" => only = value.split(',').map(String::from).collect(),
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    Ok((device, repeats, only))
}

fn main() {
    let fail = |text: String| {
        eprintln!("{text}");
        std::process::exit(2)
    };
    let args: Vec<String> = std::env::args().collect();
    if let [_, flag, device] = &args[..]
        && flag == "--child"
    {
        return child(device).unwrap_or_else(|e| fail(e.to_string()));
    }
    match options() {
        Err(problem) => fail(format!("{problem}\n{USAGE}")),
        Ok((device, repeats, only)) => bench(&device, repeats, &only).unwrap_or_else(fail),
    }
}
