//! Real data to a stated accuracy, and nothing that grows on the way.

use crate::common::need::Suite;
use gradus::prelude::*;

static SUITE: Suite = Suite::new("training", 8);

fn article(device: &Device, train: &Dataset, test: &Dataset, seed: u64, epochs: usize) -> f64 {
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(seed);
    let mut model = net.compile(settings.device(device.clone())).unwrap();
    let (train, test) = (train.clone().flatten().scale(1.0 / 255.0), test.clone().flatten().scale(1.0 / 255.0));
    model.fit(&train, Fit::new().epochs(epochs).verbose(0)).unwrap();
    let accuracy = model.evaluate(&test, 256).unwrap()["accuracy"];
    println!("seed {seed} on {device}: {accuracy:.4} after {epochs} epochs");
    accuracy
}

#[test]
fn mnist_on_the_cpu() {
    let Some(_) = SUITE.data(1) else { return };
    let (train, test) = data::mnist().unwrap();
    let mut all: Vec<f64> = (0..3).map(|seed| article(&Device::cpu(), &train, &test, seed, 10)).collect();
    all.sort_by(f64::total_cmp);
    assert!(all[1] >= 0.970, "median {}", all[1]);
    SUITE.ran(1);
}

/// Three epochs here; ten, for all three seeds, where `GRADUS_LONG` is set.
#[test]
fn mnist_on_lavapipe() {
    let Some(device) = SUITE.devices().into_iter().nth(1) else { return };
    let Some(_) = SUITE.data(1) else { return };
    let (train, test) = data::mnist().unwrap();
    if std::env::var_os("GRADUS_LONG").is_some() {
        let mut all: Vec<f64> = (0..3).map(|seed| article(&device, &train, &test, seed, 10)).collect();
        all.sort_by(f64::total_cmp);
        assert!(all[1] >= 0.970, "median {}", all[1]);
    } else {
        let accuracy = article(&device, &train, &test, 0, 3);
        assert!(accuracy >= 0.955, "{accuracy}");
    }
    SUITE.ran(1);
}

/// Pictures in colour from the folder of the data; what is not CIFAR-10's own bytes does not bear its name. A field that no loss reads is no hindrance.
#[test]
fn cifar10_of_the_folder() {
    let Some(dir) = SUITE.data(1) else { return };
    if !dir.join("cifar10").is_dir() {
        return SUITE.skipped(1, "no data: GRADUS_DATA has no cifar10/");
    }
    let found = data::cifar10_with(&data::ArchiveOptions::default().offline(true)).unwrap();
    assert_eq!(found.train.name(), if found.checked { "cifar10" } else { "cifar10 (unchecked)" });
    assert_eq!((found.train.input_shape().dims(), found.train.class_name(0)), (&[3, 32, 32][..], "airplane".to_string()));
    let counts = found.train.class_counts().unwrap();
    assert_eq!(counts.len(), 10);
    assert!(counts.iter().all(|(_, rows)| rows * 12 > found.train.len()), "{counts:?}");
    let few = found.train.take(2000);
    let values = |field| few.values(field).unwrap().clone();
    let fields = [("x", values("x")), ("y", values("y")), ("coarse", values("y"))];
    let set = Dataset::from_fields(fields).unwrap().scale(1.0 / 255.0);
    let net = Sequential::new().add(Flatten).add(Linear::new(32)).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([3, 32, 32]).device(Device::cpu());
    let history = net.compile(settings).unwrap().fit(&set, Fit::new().epochs(3).verbose(0)).unwrap();
    assert!(history.last("loss").unwrap() < 2.15, "{:?}", history.last("loss"));
    SUITE.ran(1);
}

#[test]
fn synthetic_digits_are_learnt() {
    let (train, test) = data::synthetic_digits(0, 10_000, 2_000).unwrap();
    assert!(article(&Device::cpu(), &train, &test, 0, 10) > 0.93);
    SUITE.ran(1);
}

/// A part of a set: its labels stand beside its predictions, and weights for its rows train as weights for all rows that were then cut.
#[test]
fn a_part_of_a_set_has_rows_of_its_own() {
    let (all, _) = data::synthetic_digits(3, 300, 10).unwrap();
    let all = all.flatten().scale(1.0 / 255.0);
    for device in SUITE.devices() {
        let net = || Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(10));
        let settings = || Compile::new(Adam::new(0.01), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(device.clone());
        let (train, val) = all.split_at(220).unwrap();
        let mut model = net().compile(settings()).unwrap();
        model.fit(&train, Fit::new().epochs(3).verbose(0)).unwrap();
        let scores = model.predict(&val, 32).unwrap();
        let best = |row: &[f32]| (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u8;
        let labels = val.labels().and_then(HostTensor::as_u8).unwrap();
        let hits = scores.as_f32().unwrap().chunks(10).zip(labels).filter(|(row, label)| best(row) == **label).count();
        let accuracy = model.evaluate(&val, 32).unwrap()["accuracy"];
        assert!(labels.len() == 80 && (hits as f64 / 80.0 - accuracy).abs() < 1e-6, "{hits} of 80, {accuracy} on {device}");

        let weights = |rows: std::ops::Range<usize>| HostTensor::f32([rows.len()], rows.map(|i| (i % 4) as f32).collect()).unwrap();
        let bits = |set: &Dataset| {
            let mut model = net().compile(settings()).unwrap();
            model.fit(set, Fit::new().verbose(0)).unwrap();
            model.parameter("0.weight").unwrap()
        };
        let cut_then_weighed = val.weights(weights(220..300)).unwrap();
        let weighed_then_cut = all.clone().weights(weights(0..300)).unwrap().split_at(220).unwrap().1;
        assert_eq!(bits(&cut_then_weighed), bits(&weighed_then_cut), "{device}");
        SUITE.ran(1);
    }
}

/// Inside an epoch: one submit for K steps, a row of rates for each, nothing else up, no read that waits.
fn epochs_send_rates_alone(model: &mut Model, train: &Dataset) {
    let mut run = model.trainer(train, Fit::new().epochs(2).batch_size(10).steps_per_submit(4)).unwrap();
    run.steps(1).unwrap();
    let before = run.model().traffic();
    run.steps(9).unwrap();
    let after = run.model().traffic();
    assert_eq!(after.steps - before.steps, 9);
    assert_eq!(after.submits - before.submits, 3);
    assert_eq!(after.written - before.written, 9 * 36); // nine numbers a row
    assert_eq!(after.reads, before.reads);
}

/// The article's step: launches, pipelines, slots.
#[test]
fn the_plan_is_as_designed() {
    let (train, _) = data::synthetic_digits(0, 100, 2).unwrap();
    let train = train.flatten().scale(1.0 / 255.0).one_hot(10);
    for device in SUITE.devices() {
        let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
        let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(device.clone());
        let mut model = net.compile(settings).unwrap();
        assert_eq!(model.parameter_count(), 52_650);
        let program = model.prepare(&train, 32).unwrap();
        assert!(program.launches.len() == 13, "{}", program.explain());
        if device.kind() == "cpu" {
            let readme = include_str!("../../README.md");
            assert!(readme.contains(program.explain().trim_end()), "the README shows another step than\n{}", program.explain());
        }
        assert_eq!(program.cut(1), std::iter::once(0..13).collect::<Vec<_>>());
        let thirds = program.cut(3);
        assert!(thirds.len() == 3 && thirds[0].start == 0 && thirds[2].end == 13, "{thirds:?}");
        assert!(thirds.windows(2).all(|w| w[0].end == w[1].start), "{thirds:?}");
        assert!((2..=13).contains(&program.cut(1000).len()), "{:?}", program.cut(1000));
        model.fit(&train, Fit::new().verbose(0)).unwrap(); // the ragged batch too
        model.evaluate(&train, 32).unwrap();
        model.predict(&train, 32).unwrap();
        let (programs, pipelines) = model.program_counts();
        assert!(programs == 6 && pipelines <= 21, "{programs} programs, {pipelines} pipelines");
        if device.kind() != "cpu" {
            epochs_send_rates_alone(&mut model, &train);
        }
        SUITE.ran(1);
    }
}
