//! Against PyTorch: files made by `tests/golden/make.py`.

use crate::common::need::Suite;
use gradus::expr::{Activation, Evaluator, Expr, Scalar};
use gradus::graph::{Builder, Field, Op, gradients};
use gradus::nn::Loss;
use gradus::optim::{Adam, AdamW, Optimizer, Sgd};
use gradus::prelude::*;
use gradus::reference::{Data, evaluate};
use gradus::tensor::{DType, HostTensor};
use serde_json::Value;
use std::path::PathBuf;

static SUITE: Suite = Suite::new("golden", 8);

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

fn one(f: impl FnOnce(&Scalar) -> Scalar) -> Expr {
    Expr::of(1, |x| vec![f(&x[0])])
}

fn two(f: impl FnOnce(&Scalar, &Scalar) -> Scalar) -> Expr {
    Expr::of(2, |x| vec![f(&x[0], &x[1])])
}

/// The formula and its gradients at every point, `args[input][point]`, in f64 and over slices in f32.
fn formula(name: &str, f: &Expr, args: &[Vec<f64>], value: &[f64], slopes: &[Vec<f64>]) {
    let mut e = Evaluator::new(f);
    e.chunk(|i, row| row.iter_mut().zip(&args[i]).for_each(|(r, &v)| *r = v as f32));
    for i in 0..value.len() {
        let mut at: Vec<f64> = args.iter().map(|a| a[i]).collect();
        let y = f.eval::<f64>(&at, &[])[0];
        assert!((y - value[i]).abs() < 1e-12 * (1.0 + y.abs()), "{name} at {at:?}: {y} for {}", value[i]);
        let off = (f64::from(e.output(0)[i]) - y).abs();
        assert!(off <= 1e-6 + 1e-5 * y.abs(), "{name} at {at:?} in f32: off by {off}");
        at.extend([y, 1.0]);
        for (k, slope) in slopes.iter().enumerate() {
            let got = f.gradient(k).unwrap().eval::<f64>(&at, &[])[0];
            // PyTorch holds hardsigmoid's 1/6 in f32
            let near = if name == "hardsigmoid" { 1e-8 } else { 1e-12 };
            assert!((got - slope[i]).abs() < near * (1.0 + got.abs()), "slope {k} of {name} at {at:?}: {got} for {}", slope[i]);
        }
    }
}

/// Activations that PyTorch does not have, and so no file of its values.
const NOT_PYTORCHS: &[&str] = &[];

#[test]
fn activations_are_pytorchs() {
    let golden = json("activations.json");
    let x = floats(&golden["x"]);
    let others = [
        ("leaky_relu 0.2", one(|x| x.leaky_relu(0.2))),
        ("elu 0.5", one(|x| x.elu(0.5))),
        ("clamp -1.5 3", one(|x| x.clamp(-1.5, 3.0))),
        ("pow 3", one(|x| x.pow(3.0))),
        ("pow -2", one(|x| (x + 0.1).pow(-2.0))),
        ("sin", one(|x| x.sin())),
        ("cos", one(|x| x.cos())),
        ("expm1", one(|x| x.expm1())),
    ];
    let ours = Activation::ALL.iter().map(|a| (Activation::name(*a), a.expr())).filter(|(name, _)| !NOT_PYTORCHS.contains(name));
    let all: Vec<(&str, Expr)> = ours.chain(others).collect();
    assert_eq!(all.len() + 1, golden.as_object().unwrap().len());
    for (name, f) in all {
        let (value, slope) = (floats(&golden[name]["value"]), floats(&golden[name]["derivative"]));
        formula(name, &f, std::slice::from_ref(&x), &value, &[slope]);
    }
    SUITE.ran(1);
}

#[test]
fn formulas_of_two_are_pytorchs() {
    let golden = json("formulas.json");
    let args = [floats(&golden["x"]), floats(&golden["y"])];
    let formulas = [
        ("maximum", two(|x, y| x.maximum(y))),
        ("minimum", two(|x, y| x.minimum(y))),
        ("pow", two(|x, y| (x.abs() + 0.5).pow(y))),
        ("where", two(|x, y| x.less(y).select(x * y, x.exp() + y))),
    ];
    for (name, f) in formulas {
        let g = &golden[name];
        formula(name, &f, &args, &floats(&g["value"]), &[floats(&g["dx"]), floats(&g["dy"])]);
    }
    SUITE.ran(1);
}

/// Log-softmax and smoothed cross-entropy with their gradients, in the reference's f64.
#[test]
fn classifiers_are_pytorchs() {
    let golden = json("classifiers.json");
    let shape: Vec<usize> = floats(&golden["shape"]).iter().map(|&d| d as usize).collect();
    let field = |stored: DType, row: &[usize]| Field { keep_integer: stored == DType::U32, ..Field::new("y", stored, row) };
    let run = |loss: &dyn Fn(&Builder, &Var) -> (Var, Var), y: Data<f64>| -> Vec<Vec<f64>> {
        let b = Builder::new();
        let x = b.parameter("x", shape.clone().into());
        let (value, loss) = loss(&b, &x);
        let (x, value, loss) = (x.value().unwrap(), value.value().unwrap(), loss.value().unwrap());
        let mut g = b.finish().unwrap();
        let slope = gradients(&mut g, loss, &[x]).unwrap()[0].unwrap();
        let feed = |op: &Op| match op {
            Op::Parameter(p) => Some(Data::Real(floats(&golden[&p.name]))),
            _ => Some(y.clone()),
        };
        evaluate(&g, &feed, &[value, slope]).unwrap().iter().map(Data::to_f64).collect()
    };
    let close = |got: &[f64], want: &Value, what: &str| {
        let want = want.as_array().map_or_else(|| vec![want.as_f64().unwrap()], |_| floats(want));
        assert!(got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-12), "{what}: {got:?} for {want:?}");
    };
    let weigh = |b: &Builder, x: &Var| {
        let y = x.log_softmax();
        (y.clone(), (y * b.parameter("weights", x.shape())).sum())
    };
    let found = run(&weigh, Data::Integer(vec![]));
    close(&found[0], &golden["log_softmax"]["value"], "log_softmax");
    close(&found[1], &golden["log_softmax"]["gradient"], "the slope of log_softmax");
    for case in golden["cross_entropy"].as_array().unwrap() {
        let values = floats(&golden[case["labels"].as_str().unwrap()]);
        let classes = case["labels"] == "classes";
        let y = if classes { Data::Integer(values.iter().map(|&v| v as u32).collect()) } else { Data::Real(values) };
        let loss = |b: &Builder, x: &Var| {
            let field = if classes { field(DType::U32, &[]) } else { field(DType::F32, &shape[1..]) };
            let smoothing = case["smoothing"].as_f64().unwrap();
            let loss = Loss::from(CrossEntropy::new().label_smoothing(smoothing)).build(x, &b.batch(shape[0], field));
            (loss.clone(), loss)
        };
        let found = run(&loss, y);
        close(&found[0], &case["loss"], &format!("the loss, {case}"));
        if !classes {
            // the same on probabilities, which are kept from 0 by 1e-7
            let loss = |b: &Builder, x: &Var| {
                let loss = CrossEntropy::from_probabilities().label_smoothing(case["smoothing"].as_f64().unwrap());
                let loss = Loss::from(loss).build(&x.softmax(), &b.batch(shape[0], field(DType::F32, &shape[1..])));
                (loss.clone(), loss)
            };
            let p = run(&loss, Data::Real(floats(&golden["probabilities"])))[0][0];
            assert!((p / found[0][0] - 1.0).abs() < 1e-2, "{p} for {found:?}");
        }
        close(&found[1], &case["gradient"], &format!("the gradient, {case}"));
    }
    SUITE.ran(1);
}
