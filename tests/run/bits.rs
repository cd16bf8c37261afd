//! The determinism promise (API rule 16): same device, same seed, same bits.

use crate::common::{need::Suite, zoo};
use gradus::prelude::*;
use gradus::rng::Permutation;
use gradus::tensor::HostTensor;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

static SUITE: Suite = Suite::new("bits", 14);

fn hash(model: &mut Model) -> u64 {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    let mut h = DefaultHasher::new();
    for n in names {
        model.parameter(&n).unwrap().as_f32().unwrap().iter().for_each(|x| x.to_bits().hash(&mut h));
    }
    h.finish()
}

/// 1,000 digits of class 0 to 9, a ragged batch at each epoch's end.
fn digits() -> Dataset {
    data::synthetic_digits(3, 1003, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn net(softmax: bool) -> Sequential {
    let net = Sequential::new().add(Linear::new(48)).add(Relu).add(Linear::new(10));
    if softmax { net.add(Softmax) } else { net }
}

fn compiled(device: &Device, softmax: bool) -> Model {
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(5);
    net(softmax).compile(settings.device(device.clone())).unwrap()
}

fn trained(device: &Device, softmax: bool, data: &Dataset, per_submit: usize) -> u64 {
    let mut model = compiled(device, softmax);
    model.fit(data, Fit::new().epochs(2).batch_size(32).verbose(0).steps_per_submit(per_submit)).unwrap();
    hash(&mut model)
}

#[test]
fn however_submits_are_cut() {
    for device in SUITE.devices() {
        let once = trained(&device, false, &digits(), 0);
        for k in [1, 7, 64, 0] {
            assert_eq!(trained(&device, false, &digits(), k), once, "K = {k} on {device}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn whatever_the_number_of_threads() {
    let one = trained(&Device::cpu_threads(1), false, &digits(), 0);
    for threads in [2, 5] {
        assert_eq!(trained(&Device::cpu_threads(threads), false, &digits(), 0), one, "{threads} threads");
    }
    SUITE.ran(1);
}

/// Softmax as a last layer or logits, classes or one-hot rows: one kernel, one result.
#[test]
fn both_spellings_of_cross_entropy() {
    for device in SUITE.devices() {
        let logits = trained(&device, false, &digits(), 0);
        assert_eq!(trained(&device, true, &digits(), 0), logits, "softmax as the last layer on {device}");
        assert_eq!(trained(&device, true, &digits().one_hot(10), 0), logits, "one-hot labels on {device}");
        SUITE.ran(1);
    }
}

#[test]
fn devices_start_from_the_same_weights() {
    let hashes: Vec<u64> = SUITE.devices().iter().map(|d| hash(&mut compiled(d, false))).collect();
    assert!(hashes.iter().all(|h| *h == hashes[0]));
    SUITE.ran(hashes.len());
}

/// A model that gives x itself, trained on row numbers at rate 0, logs the square of each row's number: the order it saw.
#[test]
fn devices_see_the_same_order() {
    let n = 1000usize;
    let x = HostTensor::f32([n, 1], (0..n).map(|i| i as f32).collect()).unwrap();
    let y = HostTensor::f32([n, 1], vec![0.0; n]).unwrap();
    let data = Dataset::new(x, y).unwrap();
    for device in SUITE.devices() {
        let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([1]).seed(0x1_0000_0007).device(device.clone());
        let mut model = Sequential::new().add(Linear::new(1)).compile(settings).unwrap();
        model.set_parameter("0.weight", &HostTensor::f32([1, 1], vec![1.0]).unwrap()).unwrap();
        model.set_parameter("0.bias", &HostTensor::f32([1], vec![0.0]).unwrap()).unwrap();
        let mut run = model.trainer(&data, Fit::new().epochs(2).batch_size(1)).unwrap();
        for epoch in 0..2 {
            let seen: Vec<u32> = run.steps(n).unwrap().unwrap().losses.iter().map(|l| l.sqrt().round() as u32).collect();
            let order = Permutation::new(n as u32, 0x1_0000_0007, epoch);
            let want: Vec<u32> = (0..n as u32).map(|i| order.at(i)).collect();
            assert_eq!(seen, want, "epoch {epoch} on {device}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn seeds_differ() {
    let start = |seed| {
        hash(
            &mut net(false)
                .compile(Compile::new(Adam::default(), CrossEntropy::new()).input([784]).seed(seed).device(Device::cpu()))
                .unwrap(),
        )
    };
    assert_ne!(start(0), start(1));
    SUITE.ran(1);
}

/// Train two epochs; or one, save, a new process, load, one more.
#[test]
fn a_saved_model_goes_on_in_a_new_process() {
    const CHILD: &str = "GRADUS_TEST_RESUME";
    let fit = || Fit::new().epochs(1).batch_size(32).verbose(0);
    if let Ok(path) = std::env::var(CHILD) {
        let device = Device::select(&std::env::var("GRADUS_TEST_DEVICE").unwrap()).unwrap();
        let mut model = Model::load_on(path, device).unwrap();
        model.fit(&digits(), fit()).unwrap();
        println!("\nhash {}", hash(&mut model));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let path = folder.path().join("model.gradus");
        let mut model = compiled(&device, false);
        model.fit(&digits(), fit()).unwrap();
        model.save(&path).unwrap();
        model.fit(&digits(), fit()).unwrap();
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "bits::a_saved_model_goes_on_in_a_new_process", "--nocapture"])
            .env(CHILD, &path)
            .env("GRADUS_TEST_DEVICE", device.choice().to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let got = text.lines().find_map(|l| l.strip_prefix("hash ")).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(got, hash(&mut model).to_string(), "{device}");
        SUITE.ran(1);
    }
}

/// What no step may read before it has written it, slots and sums and the log, full of NaN: the same bits.
#[test]
fn whatever_lies_in_buffers_before_a_step() {
    for device in SUITE.devices() {
        for animal in zoo::all() {
            let plain = animal.train(&device).unwrap();
            assert!(plain.losses.iter().all(|l| l.is_finite()), "{} on {device}: {:?}", animal.name, plain.losses);
            assert_eq!(animal.train(&device.clone().poisoned()).unwrap(), plain, "{} on {device}", animal.name);
        }
        SUITE.ran(1);
    }
}
