//! A device with less memory than it has: refused to the byte, alike on every device.

use crate::common::need::Suite;
use gradus::prelude::*;

static SUITE: Suite = Suite::new("memory_limit", 10);

fn refused<T: std::fmt::Debug>(r: gradus::Result<T>, parts: &[&str]) -> (u64, u64) {
    let e = r.expect_err("it fits");
    let text = e.to_string();
    assert_eq!(e.code(), "out-of-memory", "{text}");
    let gradus::Error::OutOfMemory { needed, available, .. } = e else { panic!("{text}") };
    for part in parts.iter().copied().chain(["where: the biggest:", "help:", &needed.to_string(), &available.to_string()]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    (needed, available)
}

fn digits(train: usize) -> (Dataset, Dataset) {
    let (train, test) = data::synthetic_digits(0, train, 30).unwrap();
    (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0))
}

fn small(device: Device) -> gradus::Result<Model> {
    small_in(Precision::F32, device)
}

fn small_in(precision: Precision, device: Device) -> gradus::Result<Model> {
    let net = Sequential::new().add(Linear::new(33)).add(Relu).add(Linear::new(10));
    net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).precision(precision).device(device))
}

/// The wide network with a batch of 4,096: the error names bytes wanted and allowed, and the largest activations.
#[test]
fn the_wide_network() {
    let (train, _) = digits(4096);
    for device in SUITE.devices() {
        let wide = |device: Device, precision: Precision| {
            let net = Sequential::new().add(Linear::new(1024)).add(Relu).add(Linear::new(1024)).add(Relu).add(Linear::new(10));
            net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([784]).precision(precision).device(device)).unwrap()
        };
        let limit = 90 << 20;
        let mut model = wide(device.clone().with_memory_limit(limit), Precision::F32);
        let weights = model.parameter("2.weight").unwrap();
        let (needed, available) = refused(model.prepare(&train, 4096), &["training with a batch of 4096", "[4096, 1024]"]);
        let peak = wide(device.clone(), Precision::F32).prepare(&train, 4096).unwrap().peak_bytes();
        assert_eq!((needed, available), (peak + 4096 * (784 + 4), limit), "{device}");
        assert_eq!(refused(model.fit(&train, Fit::new().batch_size(4096).verbose(0)), &[]).1, limit);
        // it stays as it was, and takes a smaller batch
        assert_eq!(model.parameter("2.weight").unwrap(), weights);
        model.prepare(&train, 512).unwrap();
        assert_eq!(model.device().memory_limit(), Some(limit));
        drop(model);
        // and mixed precision takes the large one
        let mut model = wide(device.clone().with_memory_limit(limit), Precision::mixed());
        model.fit(&train, Fit::new().batch_size(4096).verbose(0)).unwrap();
        SUITE.ran(1);
    }
}

/// Several programs and data sets: the limit that all of them need is enough, and a byte less is not.
#[test]
fn to_the_byte() {
    let (train, test) = digits(100);
    let precisions = [Precision::F32, Precision::mixed()];
    for (device, precision) in SUITE.devices().into_iter().flat_map(|d| precisions.clone().map(|p| (d.clone(), p))) {
        let all = |device: Device| -> gradus::Result<Model> {
            let mut m = small_in(precision.clone(), device)?;
            m.prepare(&train, 25)?;
            m.prepare(&train, 32)?;
            m.prepare_evaluation(&test, 30)?;
            let mut run = m.trainer(&train, Fit::new().batch_size(8).accumulate(3))?;
            while run.steps(100)?.is_some() {}
            m.evaluate(&test, 16)?;
            Ok(m)
        };
        let gpu = Device::select("software").ok().filter(|_| device.kind() != "cpu");
        let (mut least, mut most) = (1u64 << 10, 1u64 << 30);
        while most - least > 1 {
            let at = (least + most) / 2;
            if all(device.clone().with_memory_limit(at)).is_ok() { most = at } else { least = at }
        }
        refused(all(device.clone().with_memory_limit(least)), &[]);
        let held = all(device.clone()).unwrap().device_bytes();
        match gpu {
            Some(_) => assert_eq!(most, held, "{device}"),
            // the CPU keeps some f16 operands in f32 beside
            None if precision.is_mixed() => {}
            None => assert!(most >= held && most < held + (held >> 3), "{device}: {most}, and {held} are held"),
        }
        SUITE.ran(1);
    }
}

/// Models on clones of one handle share its memory, and give back what they had.
#[test]
fn models_share_it() {
    let (train, _) = digits(100);
    for device in SUITE.devices() {
        let one = small(device.clone()).unwrap().prepare(&train, 25).unwrap().peak_bytes() + 100 * (784 + 4);
        let device = device.with_memory_limit(one + one / 2);
        let first = small(device.clone()).unwrap();
        first.prepare(&train, 25).unwrap();
        let beside = |r: gradus::Result<Model>| refused(r, &[&format!("beside {one} bytes of other models")]);
        beside(small(device.clone()).and_then(|m| m.prepare(&train, 25).map(|_| m)));
        drop(first);
        small(device.clone()).unwrap().prepare(&train, 25).unwrap();
        // another handle is another count
        let again = device.clone().with_memory_limit(one);
        let _both = (small(again.clone()).unwrap(), small(device.clone()).unwrap());
        assert_ne!(again, device);
        assert_eq!(device.clone(), device);
        SUITE.ran(1);
    }
}

/// Data sets count: one that no longer fits is streamed or refused, and those that go give their room back.
#[test]
fn data_counts() {
    for device in SUITE.devices() {
        let (train, test) = digits(1000);
        let program = small(device.clone()).unwrap().prepare(&train, 25).unwrap().peak_bytes();
        let device = device.with_memory_limit(program + 1000 * (784 + 4) + 1000);
        let model = small(device.clone()).unwrap();
        model.prepare(&train, 25).unwrap();
        refused(model.evaluate(&test, 30), &["a field of a data set"]);
        // a budget of its own makes it fit
        let (large, _) = digits(1500);
        let model = small(device.clone().with_memory_limit(program + 200_000)).unwrap();
        refused(model.prepare(&large, 25), &[]);
        model.prepare(&large.memory_budget(400_000), 25).unwrap();
        SUITE.ran(1);
    }
}

/// Nothing by itself: the part of the child.
#[test]
fn as_a_child() {
    if std::env::var_os("GRADUS_TEST_CHILD").is_none() {
        return;
    }
    // 3.6 GB of weights
    let net = Sequential::new().add(Linear::new(30_000));
    let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([30_000]).device(Device::cpu_threads(1));
    let (needed, available) = refused(net.compile(settings), &[]);
    println!("\nneeded {needed} of {available}");
}

/// What `ulimit -v` leaves is asked before it is taken, and told as it is.
#[cfg(target_os = "linux")]
#[test]
fn the_process_own_limit() {
    let script = "ulimit -v 3000000 && exec \"$0\" --exact memory_limit::as_a_child --nocapture";
    let mut run = std::process::Command::new("sh");
    run.args(["-c", script]).arg(std::env::current_exe().unwrap()).env("GRADUS_TEST_CHILD", "1");
    let out = run.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line =
        text.lines().find_map(|l| l.strip_prefix("needed ")).unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&out.stderr)));
    let (needed, available) = line.split_once(" of ").unwrap();
    let (needed, available): (u64, u64) = (needed.parse().unwrap(), available.parse().unwrap());
    assert!(available < needed && (1_000_000_000..3_072_000_000).contains(&available), "{line}");
}
