//! Losses with their gradients, and metrics over ragged batches, against `tests/golden/make_losses.py`: PyTorch, sklearn's and Keras' definitions.

use crate::common::need::Suite;
use gradus::nn::{FocalLoss, Huber, KlDivergence, LogCosh, Loss, Mae, Metric, Nll};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::{StepOut, step};
use serde_json::Value;

static SUITE: Suite = Suite::new("golden_losses", 9);

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

fn found(case: &Value, device: &Device) -> (f64, Vec<f64>) {
    let loss: Loss = serde_json::from_value(case["loss"].clone()).unwrap();
    let (shape, name) = (sizes(&case["shape"]), case["head"].as_str().map(String::from));
    let weight = (!case["weight"].is_null()).then(|| reals(&shape[..1], &case["weight"]));
    found_of(loss, name, &reals(&shape, &case["x"]), labels(case), weight, device)
}

/// The values are a parameter of the model, so that their gradient can be read.
fn found_of(
    loss: Loss,
    name: Option<String>,
    x: &HostTensor,
    y: HostTensor,
    weight: Option<HostTensor>,
    device: &Device,
) -> (f64, Vec<f64>) {
    let (shape, rows) = (x.shape().clone(), x.shape()[0]);
    let net = step(move |s, batch| {
        let x = s.param("x", shape.clone(), Init::Constant(0.0));
        let y = head(name.as_deref(), &x);
        StepOut::new(loss.build_weighted(&y, &batch["y"], batch.get("weight")))
    });
    let mut model = net.compile(Compile::step(Sgd::new(0.0)).input([1]).device(device.clone())).unwrap();
    model.set_parameter("x", x).unwrap();
    let unused = HostTensor::f32([rows, 1], vec![0.0; rows]).unwrap();
    let mut data = Dataset::from_fields([("x", unused), ("y", y)]).unwrap();
    if let Some(weight) = weight {
        data = data.weights(weight).unwrap();
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
    // where a label is ignored the mean is over the rows that count, whatever their weights
    let plain = |c: &&Value| {
        let loss = &c["loss"];
        // whole triples of rows
        sizes(&c["shape"])[0].is_multiple_of(3)
            && c["weight"].is_null()
            && loss["ignore_index"].is_null()
            && loss["class_weights"].as_array().is_none_or(Vec::is_empty)
    };
    for case in json("losses").iter().filter(plain) {
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

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// Of values `[2, n]` (or `[n]` for one value a row) and labels, classes or reals: the loss and its gradient.
struct Row {
    what: &'static str,
    loss: Loss,
    head: Option<&'static str>,
    x: Vec<f32>,
    y: Result<Vec<u32>, Vec<f32>>,
    weight: Option<[f32; 2]>,
    value: f64,
    gradient: Vec<f64>,
}

#[track_caller]
fn meets(row: Row, device: &Device) {
    let Row { what, loss, head, x, y, weight, value, gradient } = row;
    let shape = if x.len() == 6 || weight.is_some() { [2, x.len() / 2] } else { [x.len(), 1] };
    let rows = shape[0];
    let labels = match y {
        Ok(classes) => HostTensor::u32([rows], classes),
        Err(reals) => HostTensor::f32(shape, reals),
    };
    let weight = weight.map(|w| HostTensor::f32([2], w.to_vec()).unwrap());
    let x = HostTensor::f32(shape, x).unwrap();
    let (got, slopes) = found_of(loss, head.map(String::from), &x, labels.unwrap(), weight, device);
    let near = |got: f64, want: f64| (got - want).abs() <= 1e-6 + 1e-5 * want.abs();
    assert!(near(got, value), "{what} on {device}: {got} for {value}");
    assert!(slopes.iter().zip(&gradient).all(|(g, w)| near(*g, *w)), "{what} on {device}: {slopes:?} for {gradient:?}");
}

/// A class of logit -inf (a masked one), or a saturated logit, whose target or weight is 0: the right values are those without it, by hand in
/// float64; where it says so, PyTorch's.
#[test]
fn what_has_probability_0_may_be_infinite() {
    let masked = || vec![-INF, 1.0, 2.0, 0.5, -INF, -1.0];
    let classes = || Ok(vec![2, 0]);
    let soft = || Err(vec![0.0, 0.3, 0.7, 0.9, 0.0, 0.1]);
    // F.cross_entropy(z, y, weight=w), F.nll_loss(z.log_softmax(1), y, weight=w)
    let weighed = (0.285_299_585_134_355_27, vec![0.0, 0.201_706_066, -0.201_706_066, -0.045_606_381, 0.0, 0.045_606_381]);
    let halved = (0.206_984_163_254_799_54, vec![0.0, 0.134_470_711, -0.134_470_711, -0.045_606_381, 0.0, 0.045_606_381]);
    let both = (0.260_122_925_386_511_2, vec![0.0, 0.201_706_066, -0.201_706_066, -0.022_803_19, 0.0, 0.022_803_19]);
    let focal = (0.014_680_452_217_521_492, vec![0.0, 0.026_290_565, -0.026_290_565, -0.008_515_553, 0.0, 0.008_515_553]);
    let plain = (0.257_337_482_750_487_7, vec![0.0, 0.134_470_711, -0.134_470_711, -0.091_212_762, 0.0, 0.091_212_762]);
    let of_soft = (1.068_751_244_939_252_2, vec![0.0, 0.063_070_919, -0.063_070_919, 0.040_544_686, 0.0, -0.040_544_686]);
    let kl = (0.014_363_845_027_316_78, vec![0.0, -0.015_529_289, 0.015_529_289, -0.041_212_762, 0.0, 0.041_212_762]);
    let ce = || CrossEntropy::new().class_weights([1.0, 2.0, 3.0]);
    let nll = || Nll::new().class_weights([1.0, 2.0, 3.0]);
    let half = Some([1.0, 0.5]);
    let sides = || vec![-INF, INF, 1.0, 0.5];
    let hard = || Err(vec![0.0, 1.0, 1.0, 0.3]);
    let binary = (0.512_077_059_310_709_8, vec![0.0, 0.0, -0.201_706_066, 0.023_983_732]);
    let two = (0.038_670_564_776_472_786, vec![0.0, 0.0, -0.003_286_321, 0.027_335_589]);
    let root = (0.101_741_552_256_745_51, vec![0.0, 0.0, -0.012_428_395, 0.043_679_407]);
    type Side = (f64, Vec<f64>);
    type Case<'a> = (&'static str, Loss, Option<&'static str>, Result<Vec<u32>, Vec<f32>>, Option<[f32; 2]>, &'a Side);
    for device in SUITE.devices() {
        let of_classes: [Case<'_>; 10] = [
            ("class weights", ce().into(), None, classes(), None, &weighed),
            ("class weights on a softmax", ce().into(), Some("softmax"), classes(), None, &weighed),
            ("sample weights", CrossEntropy::new().into(), None, classes(), half, &halved),
            ("both weights", ce().into(), None, classes(), half, &both),
            ("weights of nll", nll().into(), Some("log_softmax"), classes(), None, &weighed),
            ("both weights of nll", nll().into(), Some("log_softmax"), classes(), half, &both),
            ("focal loss", FocalLoss::new().into(), None, classes(), None, &focal),
            ("focal loss of gamma 0", FocalLoss::new().gamma(0.0).into(), None, classes(), None, &plain),
            ("class weights of probabilities", ce().into(), None, soft(), None, &of_soft),
            ("divergence", KlDivergence::new().into(), Some("log_softmax"), soft(), None, &kl),
        ];
        for (what, loss, head, y, weight, (value, gradient)) in of_classes {
            meets(Row { what, loss, head, x: masked(), y, weight, value: *value, gradient: gradient.clone() }, &device);
        }
        // values of -inf, inf, 1, 0.5 for labels 0, 1, 1, 0.3; the focal losses are torchvision's sigmoid_focal_loss
        let of_sides: [(&'static str, Loss, &Side); 3] = [
            ("binary", BinaryCrossEntropy::new().pos_weight([3.0]).into(), &binary),
            ("binary focal", FocalLoss::binary().into(), &two),
            ("binary focal of gamma 1/2", FocalLoss::binary().gamma(0.5).into(), &root),
        ];
        for (what, loss, (value, gradient)) in of_sides {
            meets(Row { what, loss, head: None, x: sides(), y: hard(), weight: None, value: *value, gradient: gradient.clone() }, &device);
        }
        let (x, y) = (vec![0.5; 2], Err(vec![0.3; 2]));
        let slope = 0.109_342_356 / 2.0;
        let (loss, gradient) = (FocalLoss::binary().into(), vec![slope; 2]);
        meets(Row { what: "a soft label", loss, head: None, x, y, weight: None, value: 0.149_017_744_728_774_33, gradient }, &device);
        // finite logits whose difference is not
        let (x, y) = (vec![-3e38, 0.0, 3e38, 3e38, -3e38, 0.0], Ok(vec![2, 0]));
        meets(Row { what: "far apart", loss: ce().into(), head: None, x, y, weight: None, value: 0.0, gradient: vec![0.0; 6] }, &device);
        SUITE.ran(1);
    }
}

/// A row of weight 0 does not count, whatever stands in it; where all weights of a batch are 0 so are loss and gradient.
#[test]
fn rows_of_weight_0_do_not_count() {
    let log_softmax = Some("log_softmax");
    let losses: [(Loss, Option<&'static str>); 13] = [
        (CrossEntropy::new().into(), None),
        (CrossEntropy::new().into(), Some("softmax")),
        (CrossEntropy::new().class_weights([1.0, 2.0, 3.0]).label_smoothing(0.1).into(), None),
        (CrossEntropy::from_probabilities().into(), None),
        (Nll::new().into(), log_softmax),
        (FocalLoss::new().into(), None),
        (KlDivergence::new().into(), log_softmax),
        (Mse::new().into(), None),
        (Mae::new().into(), None),
        (Huber::new().into(), None),
        (LogCosh::new().into(), None),
        (BinaryCrossEntropy::new().into(), None),
        (FocalLoss::binary().into(), None),
    ];
    let soft = vec![0.2, 0.3, 0.5, 0.1, 0.1, 0.8];
    let labels = |rows: &[f32]| HostTensor::f32([rows.len() / 3, 3], rows.to_vec()).unwrap();
    for device in SUITE.devices() {
        for (loss, head) in &losses {
            let of = |x: &[f32], y: &[f32], w: &[f32]| {
                let weight = Some(HostTensor::f32([w.len()], w.to_vec()).unwrap());
                found_of(loss.clone(), head.map(String::from), &labels(x), labels(y), weight, &device)
            };
            let good = [0.3, 0.9, 0.4];
            let (alone, slopes) = of(&good, &soft[..3], &[1.0]);
            for bad in [NAN, INF, -INF] {
                let (both, all) = of(&[0.3, 0.9, 0.4, 0.2, bad, 0.1], &soft, &[2.0, 0.0]);
                assert!((both - alone).abs() < 1e-6, "{loss:?} beside {bad} on {device}: {both} for {alone}");
                let near = all[..3].iter().zip(&slopes).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(near && all[3..] == [0.0; 3], "{loss:?} beside {bad} on {device}: {all:?} for {slopes:?}");
            }
            // labels that are missing
            let (both, all) = of(&[0.3, 0.9, 0.4, 0.2, 0.7, 0.1], &[0.2, 0.3, 0.5, NAN, NAN, NAN], &[2.0, 0.0]);
            assert!((both - alone).abs() < 1e-6 && all[3..] == [0.0; 3], "{loss:?} on {device}: {both}, {all:?}");
            let (none, all) = of(&[NAN, 0.9, 0.4, 0.2, 0.7, 0.1], &soft, &[0.0, 0.0]);
            assert!(none == 0.0 && all == [0.0; 6], "{loss:?} on {device}: {none}, {all:?}");
        }
        // class weights whose sum is 0 in this batch
        for loss in [Loss::from(CrossEntropy::new().class_weights([0.0, 1.0, 1.0])), Nll::new().class_weights([0.0, 1.0, 1.0]).into()] {
            let head = matches!(loss, Loss::Nll(_)).then_some("log_softmax");
            let (x, y) = (vec![0.3, 0.9, NAN, 0.2, 0.7, 0.1], Ok(vec![0, 0]));
            meets(Row { what: "no weight", loss, head, x, y, weight: None, value: 0.0, gradient: vec![0.0; 6] }, &device);
        }
        SUITE.ran(1);
    }
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
