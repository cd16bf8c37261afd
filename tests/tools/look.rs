//! What a model holds and makes on the way, and what there is to run it on.

use crate::profile::holds_the_whole_step;
use crate::{SUITE, bits, points, residual};
use gradus::graph::{Builder, Field, Graph, Op, Value, gradients};
use gradus::prelude::*;
use gradus::reference::{Data, evaluate};
use gradus::tensor::{DType, HostTensor};
use gradus::train::{StepOut, step};

/// The model as a graph of its own, with what its layers give and the loss; nothing of it went through the plan.
struct Plain {
    graph: Graph,
    layers: Vec<(String, Value)>,
    loss: Value,
    parameters: Vec<(String, Value)>,
}

fn plain(net: &dyn Module, rows: usize) -> Plain {
    let b = Builder::new();
    let field = |name: &str, stored, row: &[usize]| Field { keep_integer: stored == DType::U8, ..Field::new(name, stored, row) };
    let x = b.batch(rows, field("x", DType::F32, &[6]));
    let y = b.batch(rows, field("y", DType::U8, &[]));
    let scope = Scope::root(&b, false);
    let loss = net.forward(&scope, &x).cross_entropy(&y).value().unwrap();
    let layers = scope.layers().into_iter().map(|l| (l.name, l.value.unwrap())).collect();
    let parameters = scope.parameters().into_iter().map(|(p, v)| (p.name, v.value().unwrap())).collect();
    Plain { graph: b.finish().unwrap(), layers, loss, parameters }
}

/// The reference's values in f64, with the model's parameters.
fn truth(model: &mut Model, graph: &Graph, data: &Dataset, wanted: Value) -> Vec<f64> {
    let (x, y) = (data.features().unwrap().clone(), data.labels().unwrap().clone());
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    let weights: Vec<_> = names.iter().map(|n| model.parameter(n).unwrap().to_f64()).collect();
    let feed = |op: &Op| match op {
        Op::Batch(b) if b.field.name == "x" => Some(Data::Real(x.to_f64())),
        Op::Batch(_) => Some(Data::Integer(y.as_u8().unwrap().iter().map(|v| u32::from(*v)).collect())),
        Op::Parameter(p) => names.iter().position(|n| *n == p.name).map(|i| Data::Real(weights[i].clone())),
        _ => None,
    };
    evaluate::<f64>(graph, &feed, &[wanted]).unwrap()[0].to_f64()
}

#[track_caller]
pub fn close(found: &HostTensor, truth: &[f64], what: &str) {
    let found = found.to_f64();
    assert_eq!(found.len(), truth.len(), "{what}");
    // ten operations in a row, each within 1e-5 of its result and 1e-6 of its terms
    let bad = found.iter().zip(truth).position(|(a, b)| (a - b).abs() > 5e-5 * (1.0 + b.abs()) || a.is_nan());
    assert!(bad.is_none(), "{what}: element {} is {}, not {}", bad.unwrap(), found[bad.unwrap()], truth[bad.unwrap()]);
}

#[test]
fn activations_are_what_the_reference_gives_at_that_layer() {
    let data = points(37);
    let x = data.features().unwrap().clone();
    for device in SUITE.devices() {
        let settings = || Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).device(device.clone());
        let mut model = residual().compile(settings()).unwrap();
        model.fit(&data, Fit::new().batch_size(8).verbose(0)).unwrap();
        let p = plain(&residual(), 37);
        assert_eq!(p.layers.len(), 2 + 4 * 3 + 1);
        for (name, value) in &p.layers {
            let h = model.activation(name, &x).unwrap();
            assert_eq!(h.shape(), p.graph.shape(*value), "{name}");
            close(&h, &truth(&mut model, &p.graph, &data, *value), &format!("{name} on {device}"));
        }
        // what was fused into a kernel's end is not the layer's output: the stem's is not the relu behind it
        let (stem, act) = (model.activation("stem", &x).unwrap(), model.activation("act", &x).unwrap());
        assert!(stem.as_f32().unwrap().iter().any(|v| *v < 0.0) && act.as_f32().unwrap().iter().all(|v| *v >= 0.0));
        let fc1 = model.activation("blocks.2.fc1", &x).unwrap();
        // in batches, with a ragged one at the end; and what the data set makes of its rows
        let over = model.activation_over("blocks.2.fc1", &data, 16).unwrap();
        assert_eq!(over.shape(), fc1.shape());
        close(&over, &fc1.to_f64(), "in batches");
        let twice = Dataset::unlabelled(HostTensor::f32([37, 6], x.as_f32().unwrap().iter().map(|v| v * 0.5).collect()).unwrap()).unwrap();
        close(&model.activation_over("blocks.2.fc1", &twice.scale(2.0), 64).unwrap(), &fc1.to_f64(), "scaled by the data set");
        close(&model.activation("head", &x).unwrap(), &model.predict(&data, 64).unwrap().to_f64(), "the last layer is the prediction");

        let before = (bits(&mut model), model.device_bytes());
        for _ in 0..3 {
            model.activation("blocks.3", &x).unwrap();
        }
        assert_eq!((bits(&mut model), model.device_bytes()), before, "{device}");
        let e = model.activation("blocks.9.fc1", &x).unwrap_err();
        assert!(e.code() == "not-found" && e.to_string().contains("blocks.3.fc2, head"), "{e}");
        let words = HostTensor::u32([4, 2], vec![3, 1, 0, 2, 2, 2, 1, 0]).unwrap();
        let net = Sequential::new().add(Embedding::new(4, 3)).add(Flatten);
        let lookup = Compile::new(Sgd::new(0.1), Mse::new()).input([2]).input_dtype(DType::U32).device(device.clone());
        let table = net.compile(lookup).unwrap();
        let rows = table.parameter("0.weight").unwrap();
        let found = table.activation("0", &words).unwrap();
        assert_eq!(found.shape().dims(), [4, 2, 3]);
        assert_eq!(found.as_f32().unwrap()[..3], rows.as_f32().unwrap()[9..12]);
        let e = table.activation("1", &HostTensor::u32([1, 2], vec![0, 4]).unwrap()).unwrap_err();
        assert!(e.code() == "index-out-of-range", "{e}");
        let e = model.activation("head", &HostTensor::f32([2, 5], vec![0.0; 10]).unwrap()).unwrap_err();
        assert!(e.code() == "shape-mismatch" && e.to_string().contains("[5]"), "{e}");

        let bare = module(|s, x| (x * s.param("w", [1], Init::Ones)).sum_axes(&[1])).compile(settings()).unwrap();
        assert_eq!(bare.activation("output", &x).unwrap().shape().dims(), [37]);
        SUITE.ran(1);
    }
}

#[test]
fn gradients_are_those_of_the_last_step() {
    let data = points(24);
    for device in SUITE.devices() {
        let optimizer = Sgd::new(0.1).group("stem.*", gradus::optim::Group::new().frozen());
        let settings = Compile::new(optimizer, CrossEntropy::new()).input([6]).device(device.clone());
        let mut model = residual().compile(settings).unwrap();
        let e = model.gradient("head.weight").unwrap_err();
        assert!(e.code() == "unsupported" && e.to_string().contains("steps(1)"), "{e}");
        let fit = || Fit::new().batch_size(24).shuffle(false).verbose(0);
        model.fit(&data, fit()).unwrap();
        // the second step's, at the weights that the first left
        let mut p = plain(&residual(), 24);
        let wrt: Vec<Value> = p.parameters.iter().map(|(_, v)| *v).collect();
        let slopes = gradients(&mut p.graph, p.loss, &wrt).unwrap();
        let known: Vec<(String, Vec<f64>)> =
            p.parameters.iter().zip(slopes).map(|((n, _), g)| (n.clone(), truth(&mut model, &p.graph, &data, g.unwrap()))).collect();
        model.fit(&data, fit()).unwrap();
        for (name, truth) in known.iter().filter(|(n, _)| !n.starts_with("stem")) {
            let g = model.gradient(name).unwrap();
            assert_eq!(g.shape(), model.parameter(name).unwrap().shape());
            close(&g, truth, &format!("{name} on {device}"));
        }
        let e = model.gradient("stem.weight").unwrap_err();
        assert!(e.code() == "not-found" && e.to_string().contains("frozen") && !e.to_string().contains("stem.bias"), "{e}");
        let e = model.gradient("tail.weight").unwrap_err();
        assert!(e.code() == "not-found" && e.to_string().contains("blocks.3.fc2.bias"), "{e}");
        // a look leaves them alone
        let before = model.gradient("head.weight").unwrap();
        model.profile(&data, 8).unwrap();
        model.evaluate(&data, 8).unwrap();
        assert_eq!(model.gradient("head.weight").unwrap(), before);
        SUITE.ran(1);
    }
}
#[test]
fn the_list_of_devices_says_what_each_is_and_why() {
    let list = Device::list();
    println!("{list}");
    let cpu = list.lines().skip_while(|l| !l.starts_with("cpu")).nth(1).unwrap();
    assert!(cpu.contains("by `auto`") && list.contains(&Device::cpu().name()), "{list}");
    let e = Device::select("list").unwrap_err();
    assert!(e.code() == "no-device" && e.to_string().contains(list.trim_end()) && e.to_string().contains("help: choose one"), "{e}");
    for device in SUITE.devices().iter().filter(|d| d.kind() == "software") {
        let entry: Vec<&str> = list.lines().skip_while(|l| !l.contains(&device.name())).take(5).collect();
        for word in ["software, driver ", "f16", "subgroups", "cooperative matrices", "memory: buffers to ", "by `auto`", "`software`"] {
            assert!(entry.iter().any(|l| l.contains(word)), "`{word}` is not in\n{list}");
        }
    }
    SUITE.ran(2);
}

#[test]
fn the_general_step_is_looked_into_as_well() {
    let rows = 21;
    let x = points(rows).features().unwrap().clone();
    let mask = HostTensor::u8([rows, 6], (0..rows * 6).map(|i| u8::from(i % 5 > 0)).collect()).unwrap();
    let y = HostTensor::f32([rows, 1], (0..rows).map(|i| i as f32 / 10.0).collect()).unwrap();
    let data = Dataset::from_fields([("x", x.clone()), ("mask", mask.clone()), ("y", y)]).unwrap();
    for device in SUITE.devices() {
        let optimizer = Adam::new(0.01).group("trunk.*", gradus::optim::Group::new().frozen());
        let settings = Compile::step(optimizer).input([6]).input_named("mask", [6]).device(device.clone());
        let described = step(|s, batch| {
            let h = s.at("mix").call(&module(|s, x| x * s.param("w", [6], Init::Constant(2.0))), &(&batch["x"] * &batch["mask"]));
            let h = s.at("trunk").call(&Linear::new(5), &h).tanh();
            let out = s.at("out").call(&Linear::new(1), &h);
            StepOut::new((&out - &batch["y"]).square().mean()).output("out", &out).metric("wide", &h.square().mean())
        });
        let mut model = described.compile(settings).unwrap();
        let mixed = model.activation_over("mix", &data, 8).unwrap();
        let known: Vec<f64> = x.to_f64().iter().zip(mask.to_f64()).map(|(x, m)| x * m * 2.0).collect();
        close(&mixed, &known, "both inputs reach the layer");
        let e = model.activation("mix", &x).unwrap_err();
        assert!(e.to_string().contains("mask"), "{e}");
        let found = model.bisect(&data, 8).unwrap();
        assert!(found.agrees(), "{device}: {found}");
        let p = model.profile(&data, 8).unwrap();
        holds_the_whole_step(&p, &mut model, &data);
        SUITE.ran(1);
    }
}
