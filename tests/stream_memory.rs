//! A set on disk trains in a small part of its size. A process of its own: what it takes of the machine's memory is the whole process'.
#![cfg(target_os = "linux")]

mod common;

use common::need::Suite;
use gradus::prelude::*;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

static SUITE: Suite = Suite::new("stream_memory", 3);

/// One at a time: they share the process.
static ALONE: Mutex<()> = Mutex::new(());

const ROWS: u32 = 400_000;

/// The most that this process ever had in memory, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

/// A file of zeros with one row of ones in its middle; the zeros take no room on disk.
fn write(path: &Path, width: Option<u32>) {
    let mut file = std::fs::File::create(path).unwrap();
    let dims = [Some(ROWS), width];
    let mut head = vec![0, 0, 8, dims.iter().flatten().count() as u8];
    head.extend(dims.iter().flatten().flat_map(|d| d.to_be_bytes()));
    file.write_all(&head).unwrap();
    let row = u64::from(width.unwrap_or(1));
    file.set_len(head.len() as u64 + row * u64::from(ROWS)).unwrap();
    file.seek(SeekFrom::Start(head.len() as u64 + row * u64::from(ROWS / 2))).unwrap();
    file.write_all(&vec![1; row as usize]).unwrap();
}

fn model(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(2));
    net.compile(Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(device.clone())).unwrap()
}

/// 314 MB in 8 MiB: an epoch, shuffled, and a pass in order.
#[test]
fn a_set_far_larger_than_its_memory() {
    const BUDGET: u64 = 8 << 20;
    let _alone = ALONE.lock();
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x"), folder.path().join("y"));
    write(&x, Some(784));
    write(&y, None);
    let size = std::fs::metadata(&x).unwrap().len();
    for device in SUITE.devices() {
        let set = data::open_idx(&x, &y).unwrap().memory_budget(BUDGET);
        // a twentieth of it is streamed too: what drivers and allocators take once they take here
        let small = set.clone().take(ROWS as usize / 20);
        let mut model = model(&device);
        model.fit(&small, Fit::new().batch_size(2048).verbose(0)).unwrap();
        model.evaluate(&small, 2048).unwrap();
        let (before, own) = (peak(), model.device_bytes());
        let history = model.fit(&set, Fit::new().batch_size(2048).verbose(0)).unwrap();
        let seen = model.evaluate(&set, 2048).unwrap();
        // the one row of ones was met: of 400,000 labels one is 1
        assert!(history.last("loss").unwrap() > 0.0 && seen["accuracy"] > 0.999 && seen["accuracy"] <= 1.0);
        let (grown, more) = (peak() - before, model.device_bytes() - own);
        assert!(more < BUDGET, "{more} bytes more on {device}");
        assert!(grown < size / 8, "{device}: the process grew by {grown} bytes for a file of {size}");
        println!("{device}: a file of {size} bytes; {grown} bytes more in the process, {more} on the device");
        SUITE.ran(1);
    }
}

/// What `benches/stream.rs` measures, small and on whatever else the machine does: nothing is asserted but that it is no trap.
#[test]
fn how_fast_it_is() {
    let _alone = ALONE.lock();
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x"), folder.path().join("y"));
    write(&x, Some(784));
    write(&y, None);
    let set = data::open_idx(&x, &y).unwrap().take(20_000);
    let time = |set: &Dataset| {
        let net = Sequential::new().add(Linear::new(256)).add(Relu).add(Linear::new(2));
        let compile = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).device(Device::cpu());
        let mut model = net.compile(compile).unwrap();
        let mut run = model.trainer(set, Fit::new().epochs(2).batch_size(512)).unwrap();
        run.steps(40).unwrap();
        let began = Instant::now();
        while run.steps(100).unwrap().is_some() {}
        began.elapsed().as_secs_f64()
    };
    let (whole, streamed) = (time(&set), time(&set.clone().memory_budget(1 << 20)));
    println!("an epoch: {whole:.3} s on the device, {streamed:.3} s streamed");
    assert!(streamed < 1.0 + 10.0 * whole, "{whole} s on the device, {streamed} s streamed");
    SUITE.ran(1);
}
