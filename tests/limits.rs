//! Memory and limits: an error before anything is lost, and a number that is known beforehand.

#[path = "common/need.rs"]
mod need;

use gradus::prelude::*;
use gradus::tensor::HostTensor;
use need::Suite;

static SUITE: Suite = Suite::new("limits", 8);

fn rows(n: usize) -> Dataset {
    let x = HostTensor::f32([n, 1], (0..n).map(|i| (i % 7) as f32 * 0.1).collect()).unwrap();
    Dataset::new(x, HostTensor::f32([n, 1], vec![1.0; n]).unwrap()).unwrap()
}

/// A row of the batch is 1 MiB in the middle.
fn wide(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(1 << 18)).add(Relu).add(Linear::new(1));
    net.compile(Compile::new(Sgd::new(1e-9), Mse::new()).input([1]).device(device.clone())).unwrap()
}

fn out_of_memory<T: std::fmt::Debug>(r: gradus::Result<T>, parts: &[&str]) -> (u64, u64) {
    let e = r.expect_err("it fits");
    let text = e.to_string();
    for part in parts.iter().chain(&["where: the biggest:", "help:"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let gradus::Error::OutOfMemory { needed, available, .. } = e else { panic!("{text}") };
    (needed, available)
}

/// A batch that does not fit is an error that names its largest values; the model stays as it was and takes a smaller one.
#[test]
fn a_batch_too_large() {
    for device in SUITE.devices() {
        // a GPU's buffer ends at 2 GiB; the CPU's memory must be known for sure to be less
        let many = if device.kind() == "cpu" { 200_000 } else { 4096 };
        if device.kind() == "cpu" && !cfg!(target_os = "linux") {
            SUITE.skipped(1, "how much memory is free is known on Linux alone");
            continue;
        }
        let mut model = wide(&device);
        let few = model.evaluate(&rows(4), 4).unwrap();
        let (bytes, weights) = (model.device_bytes(), model.parameter("2.weight").unwrap());
        let data = rows(many);
        let size = format!("[{many}, 262144]");
        let (needed, available) = out_of_memory(model.prepare(&data, many), &[&size, "0.weight", "bytes"]);
        assert!(needed >= (many as u64) << 20 && available > 0 && available < needed, "{needed} {available}");
        out_of_memory(model.fit(&data, Fit::new().batch_size(many).verbose(0)), &[&size]);
        out_of_memory(model.evaluate(&data, many), &[&size]);
        let kept = 8 * many as u64; // the rows themselves
        assert!(model.device_bytes() <= bytes + kept, "{device}: {} after {bytes}", model.device_bytes());
        assert_eq!(model.parameter("2.weight").unwrap(), weights);
        assert_eq!(model.evaluate(&rows(4), 4).unwrap(), few);
        model.fit(&rows(4), Fit::new().batch_size(2).verbose(0)).unwrap();
        SUITE.ran(1);
    }
}

#[test]
fn a_model_too_large() {
    for device in SUITE.devices() {
        let make = |width: usize| {
            let net = Sequential::new().add(Linear::new(2)).add(Linear::new(width));
            net.compile(Compile::new(Adam::default(), Mse::new()).input([3]).device(device.clone()))
        };
        let (needed, available) = out_of_memory(make(1 << 38), &["1.weight [274877906944, 2]", "0.bias"]);
        assert!(needed >= 3 << 40 && available > 0, "{needed} {available}");
        // and what no number of bytes can tell
        for width in [1 << 61, 1 << 62, usize::MAX / 2, usize::MAX] {
            let e = make(width).unwrap_err();
            assert!(["shape-mismatch", "out-of-memory"].contains(&e.code()), "{e}");
        }
        SUITE.ran(1);
    }
}

/// What `prepare` takes is all that training takes, and `peak_bytes` says it beforehand.
#[test]
fn the_peak_is_known_before_the_first_step() {
    for device in SUITE.devices() {
        let (train, test) = data::synthetic_digits(0, 100, 30).unwrap();
        let (train, test) = (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0));
        let net = Sequential::new().add(Linear::new(33)).add(Relu).add(Linear::new(10));
        let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new());
        let mut model = net.compile(settings.device(device.clone())).unwrap();
        let one = model.prepare(&train, 25).unwrap(); // four full batches
        let data = 100 * 784 + 100 * 4;
        if device.kind() == "cpu" {
            assert!(model.device_bytes() <= one.peak_bytes() + data);
        } else {
            assert_eq!(model.device_bytes(), one.peak_bytes() + data);
        }
        assert!(one.explain().contains("peak"), "{}", one.explain());
        model.prepare(&train, 32).unwrap(); // and a ragged one
        model.prepare_evaluation(&test, 30).unwrap();
        let before = model.device_bytes();
        for batch in [25, 32] {
            let fit = Fit::new().epochs(2).batch_size(batch).verbose(0).snapshot_every(1e-9);
            let mut run = model.trainer(&train, fit).unwrap();
            while run.steps(2).unwrap().is_some() {}
        }
        model.evaluate(&test, 30).unwrap();
        assert_eq!(model.device_bytes(), before, "{device}");
        SUITE.ran(1);
    }
}

/// More rows than a launch has workgroups for, whatever the memory.
#[test]
fn a_launch_beyond_the_limits() {
    for device in SUITE.devices() {
        let e = wide(&device).prepare(&rows(1 << 21), 1 << 21).unwrap_err();
        assert_eq!(e.code(), "unsupported", "{e}");
        let parts = ["[2097152, 262144]", "a batch of 2097152", "rows or axes", "where:", "help: "];
        assert!(parts.iter().all(|p| e.to_string().contains(p)), "{e}");
        SUITE.ran(1);
    }
}
