//! Against PyTorch: files made by `tests/golden/make.py`.

#[path = "common/need.rs"]
mod need;

use gradus::expr::{Activation, Evaluator};
use gradus::optim::{Adam, AdamW, Optimizer, Sgd};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use need::Suite;
use serde_json::Value;
use std::path::PathBuf;

static SUITE: Suite = Suite::new("golden", 6);

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap()
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// 200 unshuffled steps from PyTorch's weights: every loss and gradient norm within 1e-3 relative.
fn replay(name: &str, net: &Sequential, compile: &Compile, data: &Dataset, batch: usize) -> usize {
    let golden = json(&format!("{name}.json"));
    let (losses, norms) = (floats(&golden["losses"]), floats(&golden["grad_norms"]));
    let devices = SUITE.devices();
    for device in &devices {
        let mut model = net.clone().compile(compile.clone().device(device.clone())).unwrap();
        model.load_weights(file(&format!("{name}.safetensors")), Load::new()).unwrap();
        let mut run = model.trainer(data, Fit::new().epochs(1000).batch_size(batch).shuffle(false)).unwrap();
        let (mut got, mut worst) = (Vec::new(), 0.0f64);
        while got.len() < losses.len() {
            let r = run.steps(7.min(losses.len() - got.len())).unwrap().unwrap();
            got.extend(r.losses.iter().copied());
            let off = (f64::from(r.grad_norm) / norms[got.len() - 1] - 1.0).abs();
            assert!(off < 1e-3, "{name} on {device}: gradient norm at step {} is off by {off}", got.len());
        }
        for (step, (a, b)) in got.iter().zip(&losses).enumerate() {
            let off = (f64::from(*a) / b - 1.0).abs();
            assert!(off < 1e-3, "{name} on {device}: loss {a} for {b} at step {step}");
            worst = worst.max(off);
        }
        for (parameter, want) in golden["final"].as_object().unwrap() {
            let got = model.parameter(parameter).unwrap();
            let norm = got.to_f64().iter().map(|x| x * x).sum::<f64>().sqrt();
            let off = (norm / want["norm"].as_f64().unwrap() - 1.0).abs();
            assert!(off < 1e-4, "{name} on {device}: the norm of {parameter} is off by {off}");
        }
        println!("{name} on {device}: 200 losses within {worst:.1e} of PyTorch's");
    }
    devices.len()
}

#[test]
fn article_trains_as_in_pytorch() {
    let Some(_) = SUITE.data(2) else { return };
    let (train, _) = data::mnist().unwrap();
    let train = train.flatten().scale(1.0 / 255.0).take(200 * 32);
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10));
    SUITE.ran(replay("article", &net, &Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([784]), &train, 32));
}

#[test]
fn regression_trains_as_in_pytorch() {
    let bytes = std::fs::read(file("regression_data.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| {
        let t = tensors.tensor(name).unwrap();
        let values = t.data().chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
        HostTensor::f32(t.shape(), values).unwrap()
    };
    let data = Dataset::new(read("x"), read("y")).unwrap();
    let net = Sequential::new().add(Linear::new(32)).add(gradus::nn::Tanh).add(Linear::new(16)).add(Gelu).add(Linear::new(3));
    let sgd = Sgd::new(0.05).momentum(0.9).nesterov(true).weight_decay(1e-4);
    SUITE.ran(replay("regression", &net, &Compile::new(sgd, Mse::new()).input([8]), &data, 16));
}

/// Each optimizer over 50 steps on given gradients, by its formula and its rates.
#[test]
fn optimizers_step_as_in_pytorch() {
    for case in json("optimizers.json").as_array().unwrap() {
        let kwargs = case["kwargs"].clone();
        let optimizer: Optimizer = match case["name"].as_str().unwrap() {
            "SGD" => serde_json::from_value::<Sgd>(kwargs).unwrap().into(),
            "Adam" => serde_json::from_value::<Adam>(kwargs).unwrap().into(),
            "AdamW" => serde_json::from_value::<AdamW>(kwargs).unwrap().into(),
            other => panic!("{other}"),
        };
        let rule = optimizer.rule();
        let mut state: Vec<Vec<f32>> = floats(&case["start"])
            .iter()
            .map(|&p| {
                let mut s = vec![0.0; 1 + rule.moments];
                s[0] = p as f32;
                s
            })
            .collect();
        for (step, (grads, want)) in case["gradients"].as_array().unwrap().iter().zip(case["params"].as_array().unwrap()).enumerate() {
            let mut e = Evaluator::new(&rule.f);
            e.set_rates(&optimizer.rates(step as u64, optimizer.schedule().at(step as u64)));
            for ((s, g), want) in state.iter_mut().zip(floats(grads)).zip(floats(want)) {
                e.chunk(|i, row| {
                    row.fill(if i == 0 {
                        s[0]
                    } else if i == 1 {
                        g as f32
                    } else {
                        s[i - 1]
                    })
                });
                (0..s.len()).for_each(|i| s[i] = e.output(i)[0]);
                let off = (f64::from(s[0]) - want).abs();
                assert!(off < 1e-6 + 2e-6 * want.abs(), "{} at step {step}: {} for {want}", case["kwargs"], s[0]);
            }
        }
    }
    SUITE.ran(1);
}

#[test]
fn activations_are_pytorchs() {
    let golden = json("activations.json");
    let x = floats(&golden["x"]);
    for a in Activation::ALL {
        let (value, slope) = (floats(&golden[a.name()]["value"]), floats(&golden[a.name()]["derivative"]));
        let d = a.expr().gradient(0).unwrap();
        for (i, &x) in x.iter().enumerate() {
            let y = a.expr().eval::<f64>(&[x], &[])[0];
            assert!((y - value[i]).abs() < 1e-12, "{} at {x}", a.name());
            assert!((d.eval::<f64>(&[x, y, 1.0], &[])[0] - slope[i]).abs() < 1e-12, "slope of {} at {x}", a.name());
        }
    }
    SUITE.ran(1);
}
