//! Labels that do not count: every mean is over those that do, however many each batch has of them.

use crate::common::need::Suite;
use gradus::nn::{LogSoftmax, Loss, Nll};
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("ignored", 6);

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
