//! Times training on a set that lies on disk and is larger than the memory given to it, against the same set on the device.
//!
//! ```text
//! cargo bench --bench stream -- --device cpu --memory 8 --rounds 11
//! ```
//!
//! 784-1024-1024-10, ReLU, cross-entropy, Adam, batch 512, shuffled, on 60,000 rows of bytes (47 MB) in idx files. The rows of the table take
//! turns, so that a machine that slows down slows all of them; `resident again` is the first row a second time: how far its ratio is from 1
//! says how quiet the machine was. The files have just been written and are read from the system's cache where it holds them: what is
//! measured is the cost of reading, ordering and copying, not of a disk.

use gradus::prelude::*;
use gradus::rng::Philox;
use std::path::Path;
use std::time::Instant;

const PIXELS: usize = 784;
const BATCH: usize = 512;
const USAGE: &str =
    "usage: cargo bench --bench stream -- [--device cpu|software|gpu|..] [--memory MIB (8)] [--rounds N (11)] [--rows N (60000)]";

struct Options {
    device: String,
    memory: u64,
    rounds: usize,
    rows: usize,
}

fn options() -> Result<Options, String> {
    let mut o = Options { device: "cpu".into(), memory: 8, rounds: 11, rows: 60_000 };
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing, or it is unknown"))?;
        let bad = || format!("{flag} {value}: not a number that can be used");
        match flag.as_str() {
            "--device" => o.device = value,
            "--memory" => o.memory = value.parse().map_err(|_| bad())?,
            "--rounds" => o.rounds = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
            "--rows" => o.rows = value.parse().ok().filter(|n| *n >= BATCH).ok_or_else(bad)?,
            _ => return Err(format!("{flag}: unknown")),
        }
    }
    Ok(o)
}

/// An idx file of random bytes below `limit`.
fn write_idx(path: &Path, dims: &[usize], limit: u8, rng: &mut Philox) -> std::io::Result<()> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|d| (*d as u32).to_be_bytes()));
    let start = bytes.len();
    bytes.resize(start + dims.iter().product::<usize>(), 0);
    rand::Rng::fill_bytes(rng, &mut bytes[start..]);
    bytes[start..].iter_mut().for_each(|b| *b = (u16::from(*b) * u16::from(limit) / 256) as u8);
    std::fs::write(path, bytes)
}

fn model(device: &Device) -> gradus::Result<Model> {
    let net = Sequential::new().add(Linear::new(1024)).add(Relu).add(Linear::new(1024)).add(Relu).add(Linear::new(10));
    net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([PIXELS]).device(device.clone()))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn run(o: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::select(&o.device)?;
    let folder = tempfile::tempdir()?;
    let (images, labels) = (folder.path().join("images"), folder.path().join("labels"));
    let mut rng = Philox::new(0, "bench");
    write_idx(&images, &[o.rows, PIXELS], 255, &mut rng)?;
    write_idx(&labels, &[o.rows], 10, &mut rng)?;
    let whole = Dataset::new(data::read_idx(&images)?, data::read_idx(&labels)?)?.scale(1.0 / 255.0);
    let disk = data::open_idx(&images, &labels)?.scale(1.0 / 255.0).memory_budget(o.memory << 20);

    let names = ["resident", "resident again", "streamed"];
    let mut models = [model(&device)?, model(&device)?, model(&device)?];
    let [a, b, c] = &mut models;
    let fit = || Fit::new().epochs(usize::MAX).batch_size(BATCH);
    let mut loops = [a.trainer(&whole, fit())?, b.trainer(&whole, fit())?, c.trainer(&disk, fit())?];
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..=o.rounds {
        for (run, times) in loops.iter_mut().zip(&mut times) {
            let began = Instant::now();
            let mut steps = 0;
            // half an epoch or more: several blocks
            while steps < o.rows / BATCH / 2 {
                let Some(r) = run.steps(o.rows / BATCH / 2 - steps)? else { break };
                steps += r.losses.len();
            }
            // the first warms up
            if round > 0 {
                times.push(1e3 * began.elapsed().as_secs_f64() / steps as f64);
            }
        }
    }
    let bytes: Vec<u64> = loops.iter_mut().map(|l| l.model().device_bytes()).collect();
    println!("{device}; {} rows, {} MiB for the streamed set", o.rows, o.memory);
    println!("{:<16} {:>14} {:>10} {:>10} {:>8} {:>16}", "", "median ms/step", "least", "most", "speed", "bytes on device");
    let base = median(&mut times[0]);
    for ((name, times), bytes) in names.iter().zip(&mut times).zip(bytes) {
        let m = median(times);
        println!("{name:<16} {m:>14.2} {:>10.2} {:>10.2} {:>8.3} {bytes:>16}", times[0], times[times.len() - 1], base / m);
    }
    let same = models.iter_mut().map(|m| m.parameter("4.weight")).collect::<gradus::Result<Vec<_>>>()?;
    println!("the same bits: {}", same.iter().all(|w| *w == same[0]));
    Ok(())
}

fn main() {
    let done = options().map_err(|e| format!("{e}\n{USAGE}").into()).and_then(|o| run(&o));
    if let Err(e) = done {
        eprintln!("{e}");
        std::process::exit(2);
    }
}
