//! Memory and limits: an error before anything is lost, and a number that is known beforehand.

mod archetypes;

use crate::common::{need::Suite, zoo};
use gradus::kernels::{Kernel, Target};
use gradus::plan::Caps;
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("limits", 12);

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
        // all of the model; on a GPU what fits in no buffer, the tensor alone
        let all = if device.kind() == "cpu" { 3 << 40 } else { 2 << 40 };
        assert!(needed >= all && available > 0, "{needed} {available}");
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
        assert!(one.explain().contains("peak") && one.explain().contains("of RAM"), "{}", one.explain());
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

/// More rows than a launch has workgroups along an axis: no more than an ordinary batch.
#[test]
fn more_rows_than_workgroups() {
    for device in SUITE.devices() {
        // on the CPU the products of ResNet-18's first layer at a batch of 128; 16 rows are a workgroup of the smallest grid
        let n = if device.kind() == "cpu" { 128 * 112 * 112 } else { 17 * 65_535 };
        let net = Sequential::new().add(Linear::new(1)).add(Tanh).add(Linear::new(1));
        let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([1]).seed(1).device(device.clone());
        let mut model = net.compile(settings).unwrap();
        let data = rows(n);
        model.fit(&data, Fit::new().batch_size(n).epochs(1).verbose(0)).unwrap();
        let values = |name: &str, m: &mut Model| f64::from(m.parameter(name).unwrap().as_f32().unwrap()[0]);
        let [w0, b0, w1, b1] = ["0.weight", "0.bias", "2.weight", "2.bias"].map(|name| values(name, &mut model));
        let seen = model.predict(&data, n).unwrap();
        let seen = seen.as_f32().unwrap();
        // every row, to the last
        for (i, &y) in seen.iter().enumerate() {
            let want = (w0 * f64::from((i % 7) as f32 * 0.1) + b0).tanh() * w1 + b1;
            assert!((f64::from(y) - want).abs() < 1e-5, "{device}: row {i} is {y} for {want}");
        }
        SUITE.ran(1);
    }
}

/// Tensors of 2^32 elements and more, of every archetype, on every kind of machine: an error that tells the size.
#[test]
fn elements_that_32_bits_do_not_count() {
    let mut seen = std::collections::BTreeSet::new();
    for case in archetypes::all() {
        for target in [Target::Software, Target::Lanes8, Target::Gpu] {
            for n in [(1 << 32) + (1 << 20), 1 << 40, 1 << 46] {
                let programs = case.programs(n, target).unwrap_or_else(|e| panic!("{}, {n}: {e}", case.name));
                for p in &programs {
                    // a model of two tensors, each of which can be counted, is for the CPU alone
                    let e = p.countable().and_then(|()| p.addressable()).expect_err(case.name);
                    assert!(e.code() == "unsupported" && e.to_string().contains("2^3"), "{}: {e}", case.name);
                }
                seen.extend(archetypes::kinds(&programs));
            }
        }
    }
    let missing: Vec<&&str> = Kernel::KINDS.iter().filter(|kind| !seen.contains(*kind)).collect();
    assert!(missing.is_empty(), "kernels without a case: {missing:?}");
    SUITE.ran(1);
}

/// What the device cannot bind is refused when the step is planned: a slot that is too large, more storage buffers than it has, f16.
#[test]
fn what_a_device_cannot_bind() {
    let all = archetypes::all();
    let planned = |name: &str, caps: Caps| all.iter().find(|c| c.name == name).unwrap().programs_for(1 << 12, Target::Gpu, caps);
    let none = Caps::default();
    planned("map", Caps { binding_bytes: 4 << 12, storage_buffers: 2, f16: false, ..none }).unwrap();
    let sizes = out_of_memory(planned("map", Caps { binding_bytes: (4 << 12) - 1, ..none }), &["one buffer of the device: exp [4096]"]);
    assert_eq!(sizes, (4 << 12, (4 << 12) - 1));
    let refused = |name: &str, caps: Caps, why: &str| {
        let e = planned(name, caps).expect_err(name);
        assert!(e.code() == "unsupported" && e.to_string().contains(why), "{e}");
    };
    refused("map", Caps { storage_buffers: 1, ..none }, "it needs 2 storage buffers at once");
    refused("gemm in f16", Caps { f16: false, ..none }, "it needs f16");
    SUITE.ran(1);
}

/// Between 2^31 and 2^32 elements, more than 2^32 bytes: no size, offset, stride or thread that a GPU is told wraps round. Where one would, it is
/// an error; and no adapter has the memory.
#[test]
fn bytes_that_32_bits_do_not_count() {
    let n = (1 << 31) + (1 << 20);
    let adapter = Device::select("software").ok();
    for case in archetypes::all() {
        for target in [Target::Software, Target::Lanes8, Target::Gpu] {
            for p in case.programs(n, target).unwrap() {
                if let Some(l) = p.launches.iter().find(|l| !l.kernel.counts()) {
                    let e = p.addressable().expect_err(case.name);
                    let named = e.to_string().contains(&l.label) || e.to_string().contains("parameters or buffers");
                    assert!(e.code() == "unsupported" && named, "{}: {e}", case.name);
                }
                // links have 31 bits
                assert_eq!(p.countable().is_err(), case.name == "scatter of as many indices", "{}", case.name);
                refused_by(adapter.as_ref(), p, case.name);
            }
        }
    }
    SUITE.ran(1);
}

/// A session on the adapter does not take it, and nothing is allocated.
#[cfg(feature = "gpu")]
fn refused_by(adapter: Option<&Device>, p: gradus::plan::Program, name: &str) {
    use gradus::plan::Session;
    let Some(gpu) = adapter.and_then(Device::gpu) else { return };
    let made = gradus::gpu::GpuSession::new(gpu.clone(), p.layout(), false);
    let e = made.and_then(|mut s| s.prepare(&std::sync::Arc::new(p), &[])).expect_err(name);
    assert!(["out-of-memory", "unsupported"].contains(&e.code()), "{name}: {e}");
}

#[cfg(not(feature = "gpu"))]
fn refused_by(_: Option<&Device>, _: gradus::plan::Program, _: &str) {}

/// The limits that every browser has: the article's step and all other archetypes run within them, and a model beyond them is refused by name.
#[test]
fn within_webgpus_limits() {
    let Some(device) = SUITE.devices().into_iter().nth(1) else { return };
    let cut = device.cut_to_webgpu().unwrap();
    for animal in zoo::all() {
        let (ours, cpu) = (animal.train(&cut).unwrap(), animal.train(&Device::cpu()).unwrap());
        let last = cpu.losses.len() - 1;
        for (i, (a, b)) in ours.losses.iter().zip(&cpu.losses).enumerate() {
            // the last is a share of 123 samples
            let apart = if i == last { (animal.flips as f32 + 0.5) / 123.0 } else { animal.apart * b.abs().max(0.1) };
            assert!((a - b).abs() <= apart, "{}, step {i}: {a}, and {b} on the CPU", animal.name);
        }
    }
    // a binding of 128 MiB
    let large = |device: &Device, width: usize| {
        let net = Sequential::new().add(Linear::new(width)).add(Linear::new(1));
        net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1024]).device(device.clone()))
    };
    large(&cut, 1 << 14).unwrap();
    let (needed, available) = out_of_memory(large(&cut, (1 << 15) + 1), &["0.weight [32769, 1024]"]);
    assert!(needed > 128 << 20 && available == 128 << 20, "{needed} {available}");
    let model = wide(&cut);
    out_of_memory(model.prepare(&rows(4096), 4096), &["[4096, 262144]"]);
    SUITE.ran(1);
}
