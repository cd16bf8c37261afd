//! Labels that do not count: every mean is over those that do, however many each batch has of them.

use crate::common::need::Suite;
use gradus::nn::{Average, ConfusionMatrix, F1, LogSoftmax, Loss, Metric, Nll, PrecisionScore, Recall, TopKAccuracy};
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("ignored", 12);

const POSITIONS: usize = 3;
const PAD: u32 = 9;

/// Sequences of three positions with five features each and one of four classes, `counts` says which positions have a label.
fn sequences(rows: usize, counts: impl Fn(usize) -> bool) -> Dataset {
    let n = rows * POSITIONS;
    let x: Vec<f32> = (0..5 * n).map(|i| ((i * 7919) % 1013) as f32 / 506.5 - 1.0).collect();
    let y = x.chunks(5).enumerate().map(|(i, x)| if counts(i) { u32::from(x[0] > 0.0) + 2 * u32::from(x[1] > x[2]) } else { PAD });
    let (x, y) = (HostTensor::f32([rows, POSITIONS, 5], x.clone()), HostTensor::u32([rows, POSITIONS], y.collect()));
    Dataset::from_fields([("x", x.unwrap()), ("y", y.unwrap())]).unwrap()
}

/// Some batches of 8 hold nothing that counts, others a different number each.
fn uneven(rows: usize) -> Dataset {
    sequences(rows, |i| (i / (8 * POSITIONS)) % 3 != 1 && i % (2 + i / 16) != 0)
}

fn compile(loss: impl Into<Loss>, rate: f64, device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Linear::new(4)).add(LogSoftmax);
    net.compile(Compile::new(Sgd::new(rate), loss).input([POSITIONS, 5]).metric(Accuracy::new()).seed(4).device(device.clone())).unwrap()
}

fn losses() -> [Loss; 4] {
    let ce = || CrossEntropy::new().ignore_index(PAD);
    let weights = [0.5, 2.0, 1.0, 3.0];
    [
        ce().into(),
        ce().label_smoothing(0.1).class_weights(weights).into(),
        Nll::new().ignore_index(PAD).into(),
        ce().class_weights(weights).into(),
    ]
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-5 * a.abs() + 1e-6
}

fn weights(model: &Model) -> Vec<f64> {
    model.parameter_names().flat_map(|n| model.parameter(n).unwrap().to_f64()).collect()
}

/// Four small batches with different numbers of labels make the update of the large one, and tell its loss.
#[test]
fn accumulation_is_the_large_batch() {
    for device in SUITE.devices() {
        for loss in losses() {
            let train = |batch: usize, n: usize| {
                let mut model = compile(loss.clone(), 0.3, &device);
                let fit = Fit::new().epochs(2).batch_size(batch).accumulate(n).verbose(0);
                let history = model.fit(&uneven(100), fit).unwrap();
                (history.last("loss").unwrap(), history.last("accuracy").unwrap(), weights(&model))
            };
            let (large, small) = (train(32, 1), train(8, 4));
            assert!(near(large.0, small.0) && large.1 == small.1, "{loss:?} on {device}: {large:?}, {small:?}");
            assert!(large.2.iter().zip(&small.2).all(|(a, b)| near(*a, *b)), "{loss:?} on {device}");
        }
        SUITE.ran(1);
    }
}

/// An epoch with weights that stand still, and evaluation in batches with a ragged last one: the loss and the accuracy over the whole set at once.
#[test]
fn means_are_over_what_counts() {
    for device in SUITE.devices() {
        for loss in losses() {
            let data = uneven(61);
            let mut model = compile(loss.clone(), 0.0, &device);
            let whole = model.evaluate(&data, 61).unwrap();
            let batches = model.evaluate(&data, 8).unwrap();
            let history = model.fit(&data, Fit::new().batch_size(8).verbose(0)).unwrap();
            for name in ["loss", "accuracy"] {
                let (epoch, batches, whole) = (history.last(name).unwrap(), batches[name], whole[name]);
                assert!(near(whole, batches) && near(whole, epoch), "{name}, {loss:?} on {device}: {whole}, {batches}, {epoch}");
            }
        }
        SUITE.ran(1);
    }
}

/// Where nothing counts loss and gradient are 0; a label that is neither a class nor ignored is an error, and so is an ignored row of probabilities.
#[test]
fn nothing_that_counts_and_labels_out_of_range() {
    for device in SUITE.devices() {
        for loss in losses() {
            let none = sequences(20, |_| false);
            let mut model = compile(loss.clone(), 0.3, &device);
            let before = weights(&model);
            let history = model.fit(&none, Fit::new().epochs(2).batch_size(8).verbose(0)).unwrap();
            assert_eq!((history.last("loss"), history.last("accuracy")), (Some(0.0), Some(0.0)), "{loss:?} on {device}");
            assert_eq!(weights(&model), before, "{loss:?} on {device}");
        }
        let mut model = compile(losses()[0].clone(), 0.3, &device);
        let wrong = HostTensor::u32([4, POSITIONS], vec![0, 1, 2, 3, PAD, PAD, PAD, 4, 0, 1, 2, 3]).unwrap();
        let x = HostTensor::f32([4, POSITIONS, 5], vec![0.5; 60]).unwrap();
        let data = Dataset::from_fields([("x", x), ("y", wrong)]).unwrap();
        let e = model.fit(&data, Fit::new().batch_size(2).verbose(0)).unwrap_err();
        assert!(e.code() == "label-out-of-range" && e.to_string().contains("label 4"), "{e}");
        let soft =
            Dataset::new(HostTensor::f32([2, 3, 5], vec![0.5; 30]).unwrap(), HostTensor::f32([2, 3, 4], vec![0.25; 24]).unwrap()).unwrap();
        for loss in losses() {
            let e = compile(loss.clone(), 0.3, &device).fit(&soft, Fit::new().verbose(0)).unwrap_err();
            assert!(e.to_string().contains("ignore_index"), "{loss:?}: {e}");
        }
        SUITE.ran(1);
    }
}

/// Metrics of classes pass over the rows that the loss passes over, be their label a class or none: what they are without those rows.
#[test]
fn metrics_follow_the_loss() {
    let metrics = || -> Vec<Metric> {
        vec![
            Accuracy::new().into(),
            TopKAccuracy::new(2).into(),
            ConfusionMatrix::new(4).into(),
            PrecisionScore::new().average(Average::Macro).into(),
            Recall::new().average(Average::Weighted).into(),
            F1::new().average(Average::Micro).into(),
        ]
    };
    let told = |data: &Dataset, positions: usize, loss: &Loss, batch: usize, device: &Device| {
        let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Linear::new(4)).add(LogSoftmax);
        let c = Compile::new(Sgd::new(0.0), loss.clone()).input([positions, 5]).seed(4).device(device.clone());
        let mut model = net.compile(metrics().into_iter().fold(c, Compile::metric)).unwrap();
        let history = model.fit(data, Fit::new().batch_size(batch).verbose(0)).unwrap();
        let seen = model.evaluate(data, batch).unwrap();
        let matrix = seen.matrix("confusion").unwrap().values().to_vec();
        let names = ["accuracy", "top_2_accuracy", "precision", "recall", "f1"];
        names.iter().for_each(|n| assert_eq!(history.last(n), Some(seen[*n]), "{n} on {device}"));
        (names.map(|n| seen[n]), matrix)
    };
    for device in SUITE.devices() {
        let n = 61 * POSITIONS;
        let x: Vec<f32> = (0..5 * n).map(|i| ((i * 7919) % 1013) as f32 / 506.5 - 1.0).collect();
        for ignored in [PAD, 2] {
            let label = |i: usize| match i % 7 {
                0 | 3 => ignored,
                _ => [0, 1, 3, if ignored == 2 { 1 } else { 2 }][i * 31 % 11 % 4],
            };
            let (tensor, labels) = (HostTensor::f32([61, POSITIONS, 5], x.clone()), (0..n).map(label));
            let all = HostTensor::u32([61, POSITIONS], labels.collect());
            let all = Dataset::from_fields([("x", tensor.unwrap()), ("y", all.unwrap())]).unwrap();
            let kept: Vec<usize> = (0..n).filter(|&i| label(i) != ignored).collect();
            let tensor = HostTensor::f32([kept.len(), 1, 5], kept.iter().flat_map(|&i| x[5 * i..][..5].to_vec()).collect());
            let labels = HostTensor::u32([kept.len(), 1], kept.iter().map(|&i| label(i)).collect());
            let some = Dataset::from_fields([("x", tensor.unwrap()), ("y", labels.unwrap())]).unwrap();
            let want = told(&some, 1, &CrossEntropy::new().into(), 32, &device);
            let ce = || CrossEntropy::new().ignore_index(ignored);
            for loss in [Loss::from(ce()), Nll::new().ignore_index(ignored).into(), ce().class_weights([0.5, 2.0, 1.0, 3.0]).into()] {
                assert_eq!(told(&all, POSITIONS, &loss, 8, &device), want, "{loss:?} on {device}");
            }
        }
        SUITE.ran(1);
    }
}

/// A closure sees every label. Where it takes the ignored one for a class the error says so.
#[test]
fn a_metric_of_ones_own_is_told() {
    for device in SUITE.devices() {
        for loss in losses() {
            let net = Sequential::new().add(Linear::new(4)).add(LogSoftmax);
            let own = metric::custom("own", |y, t| y.accuracy(t));
            let c = Compile::new(Sgd::new(0.1), loss.clone()).input([POSITIONS, 5]).metric(own).device(device.clone());
            let e = net.compile(c).unwrap().fit(&uneven(20), Fit::new().verbose(0)).unwrap_err();
            let text = e.to_string();
            assert!(e.code() == "label-out-of-range" && text.contains("label 9") && text.contains("accuracy_ignoring"), "{loss:?}: {e}");
        }
        SUITE.ran(1);
    }
}

/// An update whose batches hold nothing that counts moves nothing, and is no part of the epoch's loss.
#[test]
fn an_update_of_nothing_that_counts() {
    for device in SUITE.devices() {
        for loss in losses() {
            // the first and the last of three updates of two batches, the last of which is a ragged one
            let data = sequences(44, |i| (16..32).contains(&(i / POSITIONS)));
            let mut model = compile(loss.clone(), 0.3, &device);
            let mut run = model.trainer(&data, Fit::new().batch_size(8).accumulate(2).shuffle(false)).unwrap();
            let mut told = vec![];
            for update in 0..3 {
                let before = weights(run.model());
                let r = run.steps(1).unwrap().unwrap();
                assert_eq!(weights(run.model()) == before, update != 1, "{loss:?} on {device}, update {update}");
                told.push(f64::from(r.loss));
            }
            assert!((told[0], told[2]) == (0.0, 0.0) && told[1] > 0.1, "{loss:?} on {device}: {told:?}");
            let epoch = run.history().last("loss").unwrap();
            assert!(near(epoch, told[1]), "{loss:?} on {device}: {epoch}, {told:?}");
        }
        SUITE.ran(1);
    }
}
