//! Dropout, noise and penalties in training: which values go, that backward drops the same, that evaluation drops none, and that nothing
//! else decides it than seed, layer and batch.

use crate::common::need::Suite;
use gradus::graph::{Builder, Op, gradients, op};
use gradus::nn::{GaussianNoise, Penalty};
use gradus::prelude::*;
use gradus::reference::{Data, draw, evaluate};
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("dropout", 15);

const WIDTH: usize = 1001;
const ROWS: usize = 12;

/// Rows of ones; the labels are not used.
fn ones() -> Dataset {
    let x = HostTensor::f32([ROWS, WIDTH], vec![1.0; ROWS * WIDTH]).unwrap();
    Dataset::new(x, HostTensor::f32([ROWS, 1], vec![0.0; ROWS]).unwrap()).unwrap()
}

/// The loss is the sum of `w * dropped(x)`: with a rate of -1, a parameter grows by what came through, if backward drops what forward did.
fn probe(layer: impl Module, path: &'static str, seed: u64, device: &Device) -> Model {
    let net = module(move |s, x| {
        let w = s.param("w", [ROWS / 3, WIDTH], Init::Zeros);
        let dropped = s.at(path).call(&layer, x);
        // the ragged last batch has as many rows as all others
        if x.shape()[0] == ROWS / 3 { dropped * w } else { dropped * w.slice(0, 0..1) }
    });
    let sum = loss::custom("sum", |y, _| y.sum() * -1.0);
    net.compile(Compile::new(Sgd::new(1.0), sum).input([WIDTH]).seed(seed).device(device.clone())).unwrap()
}

/// What came through in each of three steps.
fn masks(model: &mut Model, per_submit: usize) -> Vec<Vec<f32>> {
    let data = ones();
    let mut out = Vec::new();
    let mut before = vec![0.0; ROWS / 3 * WIDTH];
    let mut run = model.trainer(&data, Fit::new().batch_size(ROWS / 3).shuffle(false).steps_per_submit(per_submit)).unwrap();
    while run.steps(1).unwrap().is_some() {
        let now = run.model().parameter("w").unwrap().as_f32().unwrap().to_vec();
        out.push(now.iter().zip(&before).map(|(a, b)| a - b).collect());
        before = now;
    }
    out
}

fn kept(mask: &[f32]) -> f64 {
    mask.iter().filter(|v| **v != 0.0).count() as f64 / mask.len() as f64
}

#[test]
fn masks_are_of_seed_layer_and_batch() {
    let devices = SUITE.devices();
    let mut first: Option<Vec<Vec<f32>>> = None;
    for device in &devices {
        for p in [0.25, 0.5, 0.9] {
            let scale = 1.0 / (1.0 - p);
            let all = masks(&mut probe(Dropout::new(p), "drop", 3, device), 0);
            assert_eq!(all.len(), 3);
            for m in &all {
                assert!(m.iter().all(|v| *v == 0.0 || (f64::from(*v) - scale).abs() < 1e-4 * scale), "{device}: {:?}", &m[..8]);
                // 4004 draws: six deviations
                let most = 6.0 * (p * (1.0 - p) / m.len() as f64).sqrt();
                assert!((kept(m) - (1.0 - p)).abs() < most, "{device}: {} kept of {p}", kept(m));
            }
            assert!(all[0] != all[1] && all[1] != all[2]);
        }
        let all = masks(&mut probe(Dropout::new(0.5), "drop", 3, device), 0);
        assert_ne!(masks(&mut probe(Dropout::new(0.5), "drop", 4, device), 0), all, "the seed");
        assert_ne!(masks(&mut probe(Dropout::new(0.5), "drop", 3 + (1 << 32), device), 0), all, "the seed's upper half");
        assert_ne!(masks(&mut probe(Dropout::new(0.5), "other", 3, device), 0), all, "the layer");
        match &first {
            // both devices drop the same values
            Some(first) => assert_eq!(*first, all),
            None => first = Some(all),
        }
    }
    SUITE.ran(devices.len());
}

/// Between two layers, on the product of the first.
fn between(s: &Scope, x: &Var) -> Var {
    let h = s.at("first").call(&Linear::new(9), x);
    let h = s.at("drop").call(&Dropout::new(0.4), &h.tanh());
    s.at("second").call(&Linear::new(3), &h)
}

/// The gradient of each parameter of the first step in f64: by the graph, and by finite differences of the loss, all of one mask.
fn truth(values: &[(String, Vec<f64>)], data: &Dataset, seed: u64) -> Vec<(Vec<f64>, Vec<f64>)> {
    let b = Builder::new();
    let scope = Scope::root(&b, true);
    let [x, y] = [0, 1].map(|i| b.batch(data.len(), data.fields()[i].clone()));
    let loss = (between(&scope, &x) - y).square().mean().value().unwrap();
    let wrt: Vec<_> = scope.parameters().iter().map(|(_, v)| v.value().unwrap()).collect();
    let mut g = b.finish().unwrap();
    let grads = gradients(&mut g, loss, &wrt).unwrap();
    let run = |values: &[(String, Vec<f64>)], wanted| {
        let feed = |op: &Op| match op {
            Op::Parameter(p) => values.iter().find(|(n, _)| *n == p.name).map(|(_, v)| Data::Real(v.clone())),
            Op::Batch(b) => Some(Data::Real(data.values(&b.field.name)?.to_f64())),
            Op::Random(op::Random(d)) => Some(draw(d, seed, 0)),
            _ => None,
        };
        evaluate::<f64>(&g, &feed, &[wanted]).unwrap()[0].to_f64()
    };
    let slope = |p: usize, i: usize| {
        let at = |step: f64| {
            let mut v = values.to_vec();
            v[p].1[i] += step;
            run(&v, loss)[0]
        };
        (at(1e-5) - at(-1e-5)) / 2e-5
    };
    grads.iter().enumerate().map(|(p, g)| (run(values, g.unwrap()), (0..values[p].1.len()).map(|i| slope(p, i)).collect())).collect()
}

/// A step of plain descent moves each parameter by its slope, found by finite differences with the mask that the step drew.
#[test]
fn gradients_are_those_of_what_was_kept() {
    let devices = SUITE.devices();
    let noise = |n: usize| (0..n).map(|i| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0).collect::<Vec<_>>();
    let data = Dataset::new(HostTensor::f32([5, 7], noise(35)).unwrap(), HostTensor::f32([5, 3], noise(15)).unwrap()).unwrap();
    for device in &devices {
        let settings = Compile::new(Sgd::new(1.0), Mse::new()).input([7]).seed(11).device(device.clone());
        let mut m = module(between).compile(settings).unwrap();
        let names: Vec<String> = m.parameter_names().map(String::from).collect();
        assert_eq!(names, ["first.weight", "first.bias", "second.weight", "second.bias"]);
        let values: Vec<(String, Vec<f64>)> = names.iter().map(|n| (n.clone(), m.parameter(n).unwrap().to_f64())).collect();
        m.trainer(&data, Fit::new().batch_size(5).shuffle(false)).unwrap().steps(1).unwrap();
        for ((name, before), (graph, slopes)) in values.iter().zip(truth(&values, &data, 11)) {
            let after = m.parameter(name).unwrap().to_f64();
            for (i, g) in graph.iter().enumerate() {
                let moved = before[i] - after[i];
                assert!((moved - g).abs() < 2e-6, "{name} {i} on {device}: {moved}, not {g}");
                assert!((slopes[i] - g).abs() < 1e-8, "{name} {i}: {} by differences, {g} by the graph", slopes[i]);
            }
        }
    }
    SUITE.ran(devices.len());
}

/// Where submits are cut makes no difference, to the bit; the ragged last batch included.
#[test]
fn submits_may_be_cut_anywhere() {
    let devices = SUITE.devices();
    for device in &devices {
        let run = |per_submit: usize| {
            let net =
                Sequential::new().add(Linear::new(16)).add(Relu).add(Dropout::new(0.3)).add(GaussianNoise::new(0.1)).add(Linear::new(1));
            let mut model = net.compile(Compile::new(Adam::new(1e-2), Mse::new()).input([WIDTH]).seed(5).device(device.clone())).unwrap();
            let fit = Fit::new().epochs(3).batch_size(5).steps_per_submit(per_submit).verbose(0);
            model.fit(&ones(), fit).unwrap();
            let bits: Vec<u32> = model.parameter("0.weight").unwrap().as_f32().unwrap().iter().map(|v| v.to_bits()).collect();
            bits
        };
        let whole = run(0);
        assert_eq!(run(1), whole);
        assert_eq!(run(2), whole);
    }
    SUITE.ran(devices.len());
}

#[test]
fn evaluation_drops_nothing() {
    let devices = SUITE.devices();
    for device in &devices {
        let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([WIDTH]).device(device.clone());
        let net = Sequential::new().add(Dropout::new(0.5)).add(GaussianNoise::new(2.0)).add(Linear::new(1));
        let with = net.compile(settings.clone()).unwrap();
        // relu leaves ones as they are
        let without = Sequential::new().add(Relu).add(Relu).add(Linear::new(1)).compile(settings).unwrap();
        assert_eq!(with.predict(&ones(), 5).unwrap(), without.predict(&ones(), 5).unwrap());
        assert_eq!(with.evaluate(&ones(), 5).unwrap()["loss"], without.evaluate(&ones(), 5).unwrap()["loss"]);
    }
    SUITE.ran(devices.len());
}

/// The noise has the mean and deviation that it should; the gradient passes by.
#[test]
fn noise_is_normal() {
    let devices = SUITE.devices();
    for device in &devices {
        let m = &masks(&mut probe(GaussianNoise::new(0.5), "noise", 1, device), 0)[0];
        let n = m.len() as f64;
        let mean = m.iter().map(|v| f64::from(*v) - 1.0).sum::<f64>() / n;
        let deviation = (m.iter().map(|v| (f64::from(*v) - 1.0 - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!(
            mean.abs() < 6.0 * 0.5 / n.sqrt() && (deviation - 0.5).abs() < 6.0 * 0.5 / (2.0 * n).sqrt(),
            "{device}: {mean} {deviation}"
        );
    }
    SUITE.ran(devices.len());
}

/// A step with draws in it is bisected as any other; they ride on the products of their layer, forward and backward.
#[test]
fn draws_cost_no_launch_of_their_own() {
    let devices = SUITE.devices();
    for device in &devices {
        let made = |p: f64| {
            let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Dropout::new(p)).add(Linear::new(1));
            net.compile(Compile::new(Adam::new(1e-2), Mse::new()).input([WIDTH]).seed(9).device(device.clone())).unwrap()
        };
        let (mut with, mut without) = (made(0.4), made(0.0));
        let found = with.bisect(&ones(), 4).unwrap();
        assert!(found.agrees(), "{found}");
        let launches = |m: &mut Model| m.prepare(&ones(), 4).unwrap().launches.len();
        assert_eq!(launches(&mut with), launches(&mut without));
    }
    SUITE.ran(devices.len());
}

/// Settings that no layer can have, and a draw outside of training.
#[test]
fn wrong_settings_are_errors() {
    let compile = |net: Sequential| net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu()));
    for p in [-0.1, 1.5, f64::NAN] {
        let e = compile(Sequential::new().add(Linear::new(2)).add(Dropout::new(p))).err().unwrap();
        assert!(e.code() == "invalid-config" && e.to_string().contains("Dropout.p"), "{e}");
    }
    let e = compile(Sequential::new().add(GaussianNoise::new(-1.0))).err().unwrap();
    assert!(e.to_string().contains("GaussianNoise.stddev"), "{e}");
    let net = module(|s, x| x * s.uniform(x.shape()));
    let e = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu())).err().unwrap();
    assert!(e.code() == "unsupported" && e.to_string().contains("training"), "{e}");
    SUITE.ran(1);
}

/// `l1 sum |w| + l2 sum w^2` of what the patterns cover, in the loss and in the gradient, in training and evaluation; nothing of the frozen.
#[test]
fn penalties_are_in_the_loss() {
    let rows = Dataset::new(HostTensor::f32([2, 2], vec![0.0; 4]).unwrap(), HostTensor::f32([2, 1], vec![0.0; 2]).unwrap()).unwrap();
    let devices = SUITE.devices();
    for device in &devices {
        let net = || Sequential::new().add(Linear::new(2)).add(Linear::new(1).bias(false));
        let settings = |o: Sgd| Compile::new(o, Mse::new()).input([2]).device(device.clone());
        let ready = |c: Compile| {
            let mut model = net().compile(c).unwrap();
            model.set_parameter("0.weight", &HostTensor::f32([2, 2], vec![1.0, -2.0, 3.0, -0.5]).unwrap()).unwrap();
            model.set_parameter("0.bias", &HostTensor::f32([2], vec![0.0; 2]).unwrap()).unwrap();
            model.set_parameter("1.weight", &HostTensor::f32([1, 2], vec![2.0, -4.0]).unwrap()).unwrap();
            model
        };
        let both = |o: Sgd| settings(o).penalty("*.weight", Penalty::l2(0.1)).penalty("0.*", Penalty::l1(0.01));
        let mut model = ready(both(Sgd::new(0.5)));
        // squares 14.25 and 20, magnitudes 6.5
        let want = 0.1 * 34.25 + 0.01 * 6.5;
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-5 * want.abs(), "{device}: {got} for {want}");
        near(model.evaluate(&rows, 2).unwrap()["loss"], want);
        let history = model.fit(&rows, Fit::new().batch_size(2).verbose(0)).unwrap();
        near(history.last("loss").unwrap(), want);
        // w - 0.5 (0.2 w + 0.01 sign w)
        for (w, before) in model.parameter("0.weight").unwrap().as_f32().unwrap().iter().zip([1.0f64, -2.0, 3.0, -0.5]) {
            near(f64::from(*w), 0.9 * before - 0.005 * before.signum());
        }
        near(f64::from(model.parameter("1.weight").unwrap().as_f32().unwrap()[1]), -3.6);
        let frozen = ready(both(Sgd::new(0.5).group("0.*", Group::new().frozen())));
        near(frozen.evaluate(&rows, 2).unwrap()["loss"], 2.0);

        let e = net().compile(settings(Sgd::new(0.1)).penalty("weight*", Penalty::l2(0.1))).err().unwrap();
        assert!(e.code() == "invalid-config" && e.to_string().contains("compile.penalties[0]"), "{e}");
        let e = net().compile(settings(Sgd::new(0.1)).penalty("*", Penalty::l1_l2(f64::NAN, -1.0))).err().unwrap();
        assert!(e.to_string().contains("penalties[0].l1") && e.to_string().contains("penalties[0].l2"), "{e}");
    }
    SUITE.ran(devices.len());
}
