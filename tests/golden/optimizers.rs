//! Every optimizer over 50 updates of two groups with rates and decay of their own, with clipping and an average of the weights, as training runs
//! them: against PyTorch in float64, or the papers where PyTorch has no such rule (`tests/golden/make_optimizers.py`).

use crate::common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::{StepOut, step};
use serde_json::{Value, json};

static SUITE: Suite = Suite::new("golden_optimizers", 38);

/// The largest relative norm of what a tensor is off by.
const TOLERANCE: f64 = 1e-5;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/optimizer_groups.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn singles(v: &Value) -> Vec<f32> {
    floats(v).into_iter().map(|x| x as f32).collect()
}

/// The gradients as rows of a data set.
fn gradients(golden: &Value) -> Dataset {
    let rows = golden["gradients"].as_array().unwrap();
    let all = |name: &str| rows.iter().flat_map(|r| singles(&r[name])).collect::<Vec<f32>>();
    let field = |name: &str, shape: Vec<usize>| HostTensor::f32(shape, all(name)).unwrap();
    Dataset::from_fields([("ga", field("a", vec![rows.len(), 4, 3])), ("gb", field("b", vec![rows.len(), 5]))]).unwrap()
}

fn optimizer(case: &Value) -> Optimizer {
    let mut settings = case["kwargs"].clone();
    settings["name"] = case["name"].clone();
    let group = |name: &str| json!({ "pattern": name, "lr_multiplier": case["groups"][name][0], "weight_decay": case["groups"][name][1] });
    settings["groups"] = json!([group("b")]);
    serde_json::from_value(settings).unwrap()
}

/// A loss whose gradients are the row's.
fn model(case: &Value, golden: &Value, device: &Device) -> Model {
    let net = step(|s, batch| {
        let (a, b) = (s.param("a", [4, 3], Init::Zeros), s.param("b", [5], Init::Zeros));
        let of = |p: &Var, name: &str| (&batch[name] * p).sum() * (1.0 / batch.len() as f64);
        StepOut::new(of(&a, "ga") + of(&b, "gb"))
    });
    let mut settings = Compile::step(optimizer(case)).input_named("ga", [4, 3]).input_named("gb", [5]).device(device.clone());
    let number = |key: &str| case.get(key).and_then(Value::as_f64);
    (settings.clip_norm, settings.clip_value, settings.ema) = (number("clip_norm"), number("clip_value"), number("ema"));
    let mut model = net.compile(settings).unwrap();
    for (name, shape) in [("a", &[4, 3][..]), ("b", &[5])] {
        model.set_parameter(name, &HostTensor::f32(shape.to_vec(), singles(&golden["start"][name])).unwrap()).unwrap();
    }
    model
}

fn off(got: &HostTensor, want: &Value) -> f64 {
    let want = floats(want);
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let got = got.as_f32().unwrap();
    assert_eq!(got.len(), want.len());
    norm(&mut got.iter().zip(&want).map(|(g, w)| f64::from(*g) - w)) / norm(&mut want.iter().copied())
}

fn follow(case: &Value, golden: &Value, device: &Device) -> f64 {
    let data = gradients(golden);
    let mut model = model(case, golden, device);
    let mut run = model.trainer(&data, Fit::new().epochs(2).batch_size(1).shuffle(false)).unwrap();
    let (mut step, mut worst) = (0, 0.0f64);
    for seen in case["seen"].as_array().unwrap() {
        let until = seen["step"].as_u64().unwrap();
        let r = run.steps((until - step) as usize).unwrap().unwrap();
        step = until;
        assert_eq!(r.step, until);
        let what = format!("{} {} {device} at step {step}", case["name"], case["kwargs"]);
        for name in ["a", "b"] {
            let mut check = |got: HostTensor, want: &Value, kind: &str| {
                let off = off(&got, want);
                worst = worst.max(off);
                assert!(off <= TOLERANCE, "{what}: {kind} {name} is off by {off:.2e}");
            };
            check(run.model().parameter(name).unwrap(), &seen["params"][name], "the parameter");
            if !seen["average"].is_null() {
                check(run.model().ema_parameter(name).unwrap(), &seen["average"][name], "the average of");
            }
        }
        let (got, want) = (f64::from(r.grad_norm), seen["norm"].as_f64().unwrap());
        assert!((got - want).abs() <= 1e-5 * want, "{what}: the gradient's norm is {got} for {want}");
    }
    worst
}

#[test]
fn fifty_updates_as_in_pytorch() {
    let golden = golden();
    for device in SUITE.devices() {
        for case in golden["cases"].as_array().unwrap() {
            let worst = follow(case, &golden, &device);
            println!("{device}: {} {} off by at most {worst:.1e}", case["name"], case["kwargs"]);
            SUITE.ran(1);
        }
    }
}

/// The comparison can fail: one ten-thousandth more of a learning rate is seen.
#[test]
#[should_panic(expected = "is off by")]
fn a_rate_that_is_a_little_off_is_seen() {
    let golden = golden();
    let mut case = golden["cases"][3].clone();
    case["kwargs"]["lr"] = json!(case["kwargs"]["lr"].as_f64().unwrap() * 1.0001 + 1e-5);
    follow(&case, &golden, &Device::cpu());
}
