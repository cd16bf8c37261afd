//! What is told of the layers, against what can be read back.

use crate::common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::{Diagnostics, StepOut, TensorStats, step};
use std::sync::{Arc, Mutex};

static SUITE: Suite = Suite::new("diagnostics", 6);

const ROWS: usize = 70;

fn rows() -> Dataset {
    data::synthetic_digits(3, ROWS, 1).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn model(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(12)).add(Tanh).add(Linear::new(10)).add(Softmax);
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(device.clone());
    net.compile(settings).unwrap()
}

fn plain() -> Fit {
    Fit::new().epochs(3).batch_size(16).verbose(0).shuffle(false)
}

fn stats(values: &[f32]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let v = || values.iter().map(|v| f64::from(*v));
    let mean = v().sum::<f64>() / n;
    (mean, (v().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt(), v().map(|x| x * x).sum::<f64>().sqrt())
}

fn close(found: TensorStats, expected: (f64, f64, f64), what: &str) {
    for (a, b) in [(found.mean, expected.0), (found.std, expected.1), (found.norm, expected.2)] {
        assert!((a - b).abs() < 1e-5 * (1.0 + expected.2), "{what}: {found:?}, not {expected:?}");
    }
}

/// At the first step the activations are those that the layers give, and the gradient of the last layer is (p - t) / rows.
#[test]
fn they_tell_the_truth() {
    for device in SUITE.devices() {
        let (mut model, data) = (model(&device), rows());
        let first = data.clone().take(16);
        let given: Vec<_> = ["0", "1", "2", "3"].iter().map(|l| model.activation_over(l, &first, 16).unwrap()).collect();
        let labels = data.labels().unwrap().as_u8().unwrap().to_vec();
        let mut run = model.trainer(&data, plain().diagnostics(Diagnostics::per_layer(3))).unwrap();
        let mut looks = Vec::new();
        while let Some(r) = run.steps(100).unwrap() {
            looks.extend(r.diagnostics);
        }
        // five steps an epoch, of which the last is ragged: 1 4 7 10(ragged: left out) 13
        assert_eq!(looks.iter().map(|l| l.step).collect::<Vec<_>>(), [1, 4, 7, 13]);
        let layers = &looks[0].layers;
        assert_eq!(layers.iter().map(|l| l.layer.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
        for (l, given) in layers.iter().zip(&given) {
            close(l.activation, stats(given.as_f32().unwrap()), &l.layer);
        }
        let p = given[3].as_f32().unwrap();
        let hot = |i: usize| f32::from(u8::from(usize::from(labels[i / 10]) == i % 10));
        let gradient: Vec<f32> = p.iter().enumerate().map(|(i, p)| (p - hot(i)) / 16.0).collect();
        close(layers[2].gradient.unwrap(), stats(&gradient), "the gradient of 2");
        assert_eq!(layers[3].gradient, None); // the loss reads what went into the softmax
        SUITE.ran(1);
    }
}

/// A run that is looked at goes the same way; off, a step has no launch more.
#[test]
fn they_change_nothing() {
    for device in SUITE.devices() {
        let data = rows();
        let (mut a, mut b) = (model(&device), model(&device));
        let plainly = a.fit(&data, plain()).unwrap();
        let looked = b.fit(&data, plain().diagnostics(Diagnostics::per_layer(2))).unwrap();
        assert_eq!((plainly.diagnostics().len(), looked.diagnostics().len()), (0, 6));
        for name in ["0.weight", "2.bias"] {
            let (a, b) = (a.parameter(name).unwrap(), b.parameter(name).unwrap());
            for (a, b) in a.as_f32().unwrap().iter().zip(b.as_f32().unwrap()) {
                assert!((a - b).abs() <= 1e-6 + 1e-5 * a.abs(), "{device}: {name} {a} {b}");
            }
        }
        assert_eq!(a.prepare(&data, 16).unwrap().launches.len(), b.prepare(&data, 16).unwrap().launches.len());
        SUITE.ran(1);
    }
}

/// TensorBoard gets them, a run of its own.
#[test]
fn tensorboard_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let board = gradus::train::callbacks::TensorBoard::new(folder.path());
    let mut model = model(&Device::cpu());
    model.fit(&rows(), plain().diagnostics(Diagnostics::per_layer(4)).callback(board)).unwrap();
    let file = std::fs::read_dir(folder.path().join("layers")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(file).unwrap();
    let count = |tag: &str| bytes.windows(tag.len()).filter(|w| *w == tag.as_bytes()).count();
    // of the steps 1, 5, 9 and 13 the second is an epoch's ragged one
    assert_eq!((count("0/activation_std"), count("2/gradient_norm"), count("3/gradient_norm")), (3, 3, 0));
    SUITE.ran(1);
}

/// What is said to `tracing` by this thread.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Heard {
    fn enabled(&self, m: &tracing::Metadata<'_>) -> bool {
        *m.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl tracing::field::Visit for Text<'_> {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{value:?}"));
            }
        }
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(text);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// A label `[rows]` against an output `[rows, 1]` is `[rows, rows]`: told once, with the user's line, and not where pairs are meant.
#[test]
fn labels_along_the_batch_are_warned_of() {
    let values = |n: usize| (0..n).map(|i| (i * i % 7) as f32 * 0.1).collect::<Vec<f32>>();
    let data = Dataset::new(HostTensor::f32([8, 12], values(96)).unwrap(), HostTensor::f32([8], values(8)).unwrap()).unwrap();
    let heard = |f: fn(Var, &Var) -> Var| {
        let all = Heard::default();
        tracing::subscriber::with_default(all.clone(), || {
            let net = step(move |s, batch| StepOut::new(f(s.at("fc").call(&Linear::new(1), &batch["x"]), &batch["y"])));
            let mut m = net.compile(Compile::step(Sgd::new(0.1)).input([12]).device(Device::cpu())).unwrap();
            m.fit(&data, Fit::new().epochs(2).batch_size(4).verbose(0)).unwrap();
            m.evaluate(&data, 8).unwrap();
        });
        let all = all.0.lock().unwrap().clone();
        all.into_iter().filter(|t| t.contains("meets")).collect::<Vec<_>>()
    };
    let line = line!() + 1;
    let wrong = heard(|y, t| (y - t).square().mean());
    assert!(
        wrong.len() == 1 && wrong[0].contains(&format!("tests/tools/diagnostics.rs:{line}")) && wrong[0].contains("[4, 1]"),
        "{wrong:?}"
    );
    assert_eq!(heard(|y, t| (y - t.unsqueeze(1)).square().mean()), [""; 0]);
    assert_eq!(heard(|y, t| (y.squeeze(1) - t).square().mean()), [""; 0]);
    let pairs = heard(|y, t| (y * t.unsqueeze(1).equal(t).sum_keep(&[1])).mean());
    assert_eq!(pairs, [""; 0]);
    SUITE.ran(1);
}
