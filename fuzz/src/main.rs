//! Throws damaged and random files at gradus' readers: `cargo run --release -p gradus-fuzz -- [CASES [SEED]]`, 100,000 and 0 where not said.
//!
//! Every case must end in a value or an `Err`: no panic, no hang, no allocation beyond a small multiple of the file. The first that does
//! not ends the run with 1, its number, its seed and the file kept for a look.

mod meter;
mod packed;
mod readers;
mod seeds;

use gradus::rng::Philox;
use meter::Meter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static METER: Meter = Meter::new();

/// Longest time of one case.
const PATIENCE: Duration = Duration::from_secs(10);
/// A reader may take so many bytes for each byte of its file (unpacked, for gzip), and beside that what it says itself for nothing.
const MULTIPLE: usize = 8;

/// The case under way, for the watchdog: its number plus 1, 0 for none.
static NOW: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>().unwrap_or_else(|_| usage(&a)));
    let (cases, seed) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(0));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let kept = std::env::temp_dir().join("gradus-fuzz-case");
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::spawn(watch);
    let began = Instant::now();
    let mut readers = readers::all();
    let mut tally = vec![(0u64, 0u64); readers.len()];
    let mut worst = 0.0f64;
    for case in 0..cases {
        NOW.store(case as usize + 1, Ordering::SeqCst);
        let which = (case % readers.len() as u64) as usize;
        let reader = &mut readers[which];
        let mut draw = Philox::new(seed.wrapping_add(case << 20), "fuzz");
        let bytes = seeds::damaged(&reader.seeds, &mut draw);
        let path = dir.path().join(reader.file);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder for the case");
        // a new file: of one that is cut and written again, ext4 waits for the disk
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &bytes).expect("writing the case");
        let outcome = one(reader, &path, &bytes);
        match outcome {
            Ok((ended_well, ratio)) => {
                tally[which].0 += u64::from(ended_well);
                tally[which].1 += u64::from(!ended_well);
                worst = worst.max(ratio);
            }
            Err(what) => {
                let _ = std::fs::write(&kept, &bytes);
                println!("case {case} of seed {seed}, {}: {what}; the file is kept at {}", reader.name, kept.display());
                std::process::exit(1);
            }
        }
    }
    for (reader, (read, refused)) in readers.iter().zip(&tally) {
        println!("{:<22} {read:>7} read {refused:>7} refused", reader.name);
    }
    println!(
        "fuzz: {cases} of {cases} files, seed {seed}, {:.1} s; no panic, no hang; at most {worst:.1} bytes of memory for a byte of file above 1 MiB ({} MiB for pictures and Parquet)",
        began.elapsed().as_secs_f64(),
        readers::PACKED >> 20
    );
}

/// Whether the file was read, and the memory that it took for each of its bytes.
fn one(reader: &mut readers::Reader, path: &Path, bytes: &[u8]) -> Result<(bool, f64), String> {
    let honest = seeds::unpacked_len(bytes).unwrap_or(0).max(bytes.len());
    METER.begin();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (reader.read)(path)));
    let peak = METER.peak();
    let read = outcome.map_err(|e| {
        let text = e.downcast_ref::<String>().cloned().or_else(|| e.downcast_ref::<&str>().map(|s| s.to_string()));
        format!("a panic: {}", text.unwrap_or_default())
    })?;
    if peak > reader.constant + MULTIPLE * honest {
        return Err(format!("{peak} bytes of memory for a file of {} ({honest} unpacked)", bytes.len()));
    }
    if let Err(e) = &read {
        let text = e.to_string();
        if !text.contains("where:") || !text.contains("help:") {
            return Err(format!("an error that says too little: {text}"));
        }
    }
    Ok((read.is_ok(), peak.saturating_sub(reader.constant) as f64 / honest.max(1) as f64))
}

/// Ends the run when one case takes too long.
fn watch() {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = NOW.load(Ordering::SeqCst);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE && now > 0 {
            println!("case {} hangs: more than {} s", now - 1, PATIENCE.as_secs());
            std::process::exit(1);
        }
    }
}

fn usage(given: &str) -> ! {
    eprintln!("`{given}` is no number; usage: gradus-fuzz [CASES [SEED]]");
    std::process::exit(2)
}
