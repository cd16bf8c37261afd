//! Losses with their gradients, and metrics over ragged batches, against `tests/golden/make_losses.py`: PyTorch, sklearn's and Keras' definitions.

#[path = "common/need.rs"]
mod need;

use gradus::nn::{Loss, Metric};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::{StepOut, step};
use need::Suite;
use serde_json::Value;

static SUITE: Suite = Suite::new("golden_losses", 5);

fn json(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap().as_array().unwrap().clone()
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn sizes(v: &Value) -> Vec<usize> {
    floats(v).into_iter().map(|v| v as usize).collect()
}

fn reals(shape: &[usize], v: &Value) -> HostTensor {
    HostTensor::f32(shape, floats(v).into_iter().map(|v| v as f32).collect()).unwrap()
}

/// Labels of a case or group, in its shape.
fn labels(case: &Value) -> HostTensor {
    let shape = sizes(&case["y_shape"]);
    match case["classes"].as_bool().unwrap() {
        true => HostTensor::u32(shape, floats(&case["y"]).into_iter().map(|v| v as u32).collect()).unwrap(),
        false => reals(&shape, &case["y"]),
    }
}

/// The layer behind which a case's loss stands.
fn head(name: Option<&str>, x: &Var) -> Var {
    match name {
        None => x.clone(),
        Some("sigmoid") => x.sigmoid(),
        Some("softmax") => x.softmax(),
        Some("log_softmax") => x.log_softmax(),
        Some("own_sigmoid") => 1.0 / ((-x).exp() + 1.0),
        Some("own_softmax") => x.exp() / x.exp().sum_keep(&[1]),
        Some(other) => panic!("{other}"),
    }
}

/// The distance of two vectors in parts of the second's norm.
fn off(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied()).max(1e-30)
}

/// In relative norm, on every device: what stands in the worst place is 4e-7 off.
const NEAR: f64 = 1e-5;

/// The values of a case are a parameter of the model, so that their gradient can be read.
fn found(case: &Value, device: &Device) -> (f64, Vec<f64>) {
    let loss: Loss = serde_json::from_value(case["loss"].clone()).unwrap();
    let (shape, name) = (sizes(&case["shape"]), case["head"].as_str().map(String::from));
    let rows = shape[0];
    let own = shape.clone();
    let net = step(move |s, batch| {
        let x = s.param("x", own.clone(), Init::Constant(0.0));
        let y = head(name.as_deref(), &x);
        StepOut::new(loss.build_weighted(&y, &batch["y"], batch.get("weight")))
    });
    let mut model = net.compile(Compile::step(Sgd::new(0.0)).input([1]).device(device.clone())).unwrap();
    model.set_parameter("x", &reals(&shape, &case["x"])).unwrap();
    let unused = HostTensor::f32([rows, 1], vec![0.0; rows]).unwrap();
    let mut data = Dataset::new(unused, labels(case)).unwrap();
    if !case["weight"].is_null() {
        data = data.weights(reals(&[rows], &case["weight"])).unwrap();
    }
    let report = model.train_on_batch(&data).unwrap();
    (report.metrics["loss"], model.gradient("x").unwrap().to_f64())
}

#[test]
fn losses_and_gradients_are_pytorchs() {
    let devices = SUITE.devices();
    let cases = json("losses");
    for device in &devices {
        let mut worst = (0.0, String::new());
        for case in &cases {
            let what =
                format!("{} on {:?}, weights {}, classes {}", case["loss"], case["head"], !case["weight"].is_null(), case["classes"]);
            let (value, gradient) = found(case, device);
            let parts = [off(&[value], &[case["value"].as_f64().unwrap()]), off(&gradient, &floats(&case["gradient"]))];
            assert!(parts.iter().all(|p| *p < NEAR), "{what}, {device}: off by {parts:?}, {value} for {}", case["value"]);
            let most = parts[0].max(parts[1]);
            if most > worst.0 {
                worst = (most, what);
            }
        }
        println!("{} losses on {device}: at most {:.1e} off, {}", cases.len(), worst.0, worst.1);
    }
    SUITE.ran(devices.len());
}

/// A row of weight 2 is the row twice, one of weight 0 none: for every loss, through the data set.
#[test]
fn weights_are_rows_again() {
    let device = Device::cpu();
    let mut seen = 0;
    for case in json("losses").iter().filter(|c| c["weight"].is_null() && c["loss"]["class_weights"].as_array().is_none_or(Vec::is_empty)) {
        let mut weighed = case.clone();
        let shape = sizes(&case["shape"]);
        let rows = shape[0];
        let weights: Vec<f64> = (0..rows).map(|i| (i % 3) as f64).collect();
        weighed["weight"] = weights.clone().into();
        let mut again = case.clone();
        let repeat = |key: &str, width: usize| -> Vec<Value> {
            let all = case[key].as_array().unwrap();
            (0..rows).flat_map(|i| std::iter::repeat_n(&all[i * width..(i + 1) * width], weights[i] as usize)).flatten().cloned().collect()
        };
        let width = |key: &str| sizes(&case[key])[1..].iter().product::<usize>();
        (again["x"], again["y"]) = (repeat("x", width("shape")).into(), repeat("y", width("y_shape")).into());
        // as many rows again: 0 + 1 + 2 a triple
        assert_eq!(again["x"].as_array().unwrap().len(), case["x"].as_array().unwrap().len());
        let (a, b) = (found(&weighed, &device).0, found(&again, &device).0);
        assert!((a - b).abs() < 1e-5 * b.abs(), "{}: {a} with weights, {b} with rows", case["loss"]);
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    SUITE.ran(1);
}

/// Every metric by evaluation in ragged batches, and as training sees it with weights that stand still: the same epoch, the same value.
#[test]
fn metrics_are_as_defined() {
    let devices = SUITE.devices();
    let groups = json("metrics");
    let mut checked = 0;
    for device in &devices {
        for (i, group) in groups.iter().enumerate() {
            let shape = sizes(&group["shape"]);
            let rows = shape[0];
            let data = Dataset::new(reals(&shape, &group["x"]), labels(group)).unwrap();
            let all: Vec<(Metric, Value)> = group["metrics"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| (serde_json::from_value(m[0].clone()).unwrap(), m[1].clone()))
                .collect();
            // a few at a time are bound one by one, all of them lie in one buffer
            for batch in [rows, 7, 32] {
                let chosen = if batch == 7 { &all[..3] } else { &all[..] };
                let metrics: Vec<Metric> = chosen.iter().map(|(m, _)| m.clone()).collect();
                let net = step(move |s, batch| {
                    let still = s.param("still", [1], Init::Constant(0.0));
                    let out = StepOut::new((&batch["x"] * 0.0).mean() + still.sum());
                    metrics.iter().fold(out, |out, m| out.measure(m.clone(), &batch["x"], &batch["y"]))
                });
                let mut model = net.compile(Compile::step(Sgd::new(0.0)).input(&shape[1..]).device(device.clone())).unwrap();
                let seen = model.evaluate(&data, batch).unwrap();
                let mut run = model.trainer(&data, Fit::new().batch_size(batch).steps_per_submit(3)).unwrap();
                let trained = run.steps(usize::MAX).unwrap().unwrap().metrics;
                for (m, want) in chosen {
                    let name = m.name();
                    let about = format!("{name} of group {i} in batches of {batch} on {device}");
                    for e in [&seen, &trained] {
                        if let Some(rows) = want.as_array() {
                            let want: Vec<f64> = rows.iter().flat_map(floats).collect();
                            assert_eq!(e.matrix(&name).unwrap().values(), want, "{about}");
                            assert_eq!(e.get(&name), None);
                        } else {
                            let (got, want) = (e.get(&name).unwrap(), want.as_f64().unwrap());
                            assert!((got - want).abs() <= 1e-5 * want.abs().max(1e-3), "{about}: {got} for {want}");
                        }
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 500, "{checked}");
    SUITE.ran(devices.len());
}
