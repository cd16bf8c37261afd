//! The tools for people: profile, gradient, activation, bisection, the list of devices.

#[path = "common/need.rs"]
mod need;

use gradus::expr::{Expr, Scalar};
use gradus::graph::{Builder, CustomKernel, CustomOp, Field, Graph, Op, Type, Value, gradients};
use gradus::kernels::Kernel;
use gradus::plan::{Clock, Program, Purpose};
use gradus::prelude::*;
use gradus::reference::{Data, evaluate};
use gradus::tensor::{DType, HostTensor};
use gradus::train::{Bisection, StepOut, StepProfile, step};
use need::Suite;

static SUITE: Suite = Suite::new("tools", 19);

/// Two classes of points in [0, 1)^6, `rows` of them.
fn points(rows: usize) -> Dataset {
    let value = |i: usize| (i * 2_654_435_761 % 1000) as f32 / 1000.0;
    let x: Vec<f32> = (0..rows * 6).map(value).collect();
    let y = x.chunks(6).map(|r| u8::from(r[0] + r[3] > r[1] + r[5])).collect();
    Dataset::new(HostTensor::f32([rows, 6], x).unwrap(), HostTensor::u8([rows], y).unwrap()).unwrap()
}

fn classifier(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(2));
    let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).metric(Accuracy::new());
    net.compile(settings.device(device.clone()).seed(3)).unwrap()
}

fn bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
}

fn holds_the_whole_step(p: &StepProfile, model: &mut Model, data: &Dataset) {
    let program = model.prepare(data, p.batch).unwrap();
    let of = |n: usize| (program.launches[n].kernel.name(), program.launches[n].label.clone());
    assert_eq!(p.launches.len(), program.launches.len());
    for (i, l) in p.launches.iter().enumerate() {
        assert_eq!((l.launch, (l.kernel.clone(), l.label.clone())), (i, of(i)));
        assert!(l.seconds >= 0.0 && l.seconds.is_finite(), "{p}");
    }
    let shares: f64 = p.launches.iter().map(|l| l.share).sum();
    assert!(p.total() > 0.0 && p.step_seconds > 0.0 && (shares - 1.0).abs() < 1e-9, "{p}");
    let text = p.to_string();
    for l in &program.launches {
        assert!(text.contains(&l.kernel.name()), "{text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
    let sorted = p.clone().by_share();
    assert!(sorted.launches.windows(2).all(|w| w[0].seconds >= w[1].seconds) && sorted.launches.len() == p.launches.len());
}

#[test]
fn a_profile_times_every_launch_and_changes_nothing() {
    let data = points(70);
    let fit = || Fit::new().batch_size(16).epochs(2).verbose(0);
    for device in SUITE.devices() {
        let clocks: &[Option<Clock>] = if device.kind() == "cpu" {
            &[None, Some(Clock::Host)]
        } else {
            &[None, Some(Clock::InsidePass), Some(Clock::PassPerLaunch), Some(Clock::Host)]
        };
        let (mut plain, mut profiled) = (classifier(&device), classifier(&device));
        for clock in clocks {
            let before = bits(&mut profiled);
            let p = profiled.profile_by(&data, 16, *clock).unwrap();
            assert_eq!(bits(&mut profiled), before, "{device} {clock:?}");
            holds_the_whole_step(&p, &mut profiled, &data);
            assert!(clock.is_none_or(|c| c == p.clock), "{p}");
            println!("{p}");
            // training goes on as if nothing had been
            let (a, b) = (plain.fit(&data, fit()).unwrap(), profiled.fit(&data, fit()).unwrap());
            assert_eq!(a.get("loss"), b.get("loss"), "{device} {clock:?}");
            assert_eq!(bits(&mut plain), bits(&mut profiled), "{device} {clock:?}");
        }
        // in the middle of a run, too: moments, counters and cursor
        let run = |m: &mut Model, profile: bool| {
            m.trainer(&data, fit()).unwrap().steps(3).unwrap();
            if profile {
                m.profile(&data, 16).unwrap();
            }
            m.trainer(&data, fit()).unwrap().steps(3).unwrap();
            bits(m)
        };
        assert_eq!(run(&mut plain, false), run(&mut profiled, true), "{device}");
        SUITE.ran(1);
    }
}

#[test]
fn a_clock_that_a_device_has_not_is_an_error() {
    let mut m = classifier(&Device::cpu());
    let e = m.profile_by(&points(8), 8, Some(Clock::InsidePass)).unwrap_err();
    assert!(e.code() == "unsupported" && e.to_string().contains("Clock::Host"), "{e}");
    SUITE.ran(1);
}

struct Block;
impl Module for Block {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let h = s.at("fc1").call(&Linear::new(12), x).gelu();
        x + s.at("fc2").call(&Linear::new(12), &h)
    }
}

fn residual() -> impl Module {
    module(|s, x| {
        let h = s.at("stem").call(&Linear::new(12), x);
        let h = s.at("act").call(&Relu, &h);
        let h = (0..4).fold(h, |h, i| s.at(format!("blocks.{i}")).call(&Block, &h));
        s.at("head").call(&Linear::new(2), &h)
    })
}

/// The model as a graph of its own, with what its layers give and the loss; nothing of it went through the plan.
struct Plain {
    graph: Graph,
    layers: Vec<(String, Value)>,
    loss: Value,
    parameters: Vec<(String, Value)>,
}

fn plain(net: &dyn Module, rows: usize) -> Plain {
    let b = Builder::new();
    let field = |name: &str, stored, row: &[usize]| Field {
        name: name.into(),
        stored,
        row: row.into(),
        scale: 1.0,
        shift: 0.0,
        keep_integer: stored == DType::U8,
        one_hot: None,
    };
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
        Op::Batch { field, .. } if field.name == "x" => Some(Data::Real(x.to_f64())),
        Op::Batch { .. } => Some(Data::Integer(y.as_u8().unwrap().iter().map(|v| u32::from(*v)).collect())),
        Op::Parameter { name, .. } => names.iter().position(|n| n == name).map(|i| Data::Real(weights[i].clone())),
        _ => None,
    };
    evaluate::<f64>(graph, &feed, &[wanted]).unwrap()[0].to_f64()
}

#[track_caller]
fn close(found: &HostTensor, truth: &[f64], what: &str) {
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
        let mut table = net.compile(lookup).unwrap();
        let rows = table.parameter("0.weight").unwrap();
        let found = table.activation("0", &words).unwrap();
        assert_eq!(found.shape().dims(), [4, 2, 3]);
        assert_eq!(found.as_f32().unwrap()[..3], rows.as_f32().unwrap()[9..12]);
        let e = table.activation("1", &HostTensor::u32([1, 2], vec![0, 4]).unwrap()).unwrap_err();
        assert!(e.code() == "index-out-of-range", "{e}");
        let e = model.activation("head", &HostTensor::f32([2, 5], vec![0.0; 10]).unwrap()).unwrap_err();
        assert!(e.code() == "shape-mismatch" && e.to_string().contains("[5]"), "{e}");

        let mut bare = module(|s, x| (x * s.param("w", [1], Init::Ones)).sum_axes(&[1])).compile(settings()).unwrap();
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

/// Every archetype: a map and a sum of its own beside gemms with things fused into them.
fn gated() -> impl Module {
    module(|s, x| {
        let h = (x * s.param("gate", [6], Init::Constant(0.7))).tanh();
        let h = s.at("fc1").call(&Linear::new(12), &h).gelu();
        s.at("fc2").call(&Linear::new(3), &h).softmax()
    })
}

/// Three classes, stored as bytes with a scale.
fn bytes(rows: usize) -> Dataset {
    let x: Vec<u8> = (0..rows * 6).map(|i| (i * 2_654_435_761 % 256) as u8).collect();
    let y = x.chunks(6).map(|r| r[0] % 3).collect();
    Dataset::new(HostTensor::u8([rows, 6], x).unwrap(), HostTensor::u8([rows], y).unwrap()).unwrap().scale(1.0 / 255.0)
}

/// Breaks one kernel; false if it is one that bisection does not look at.
fn broken(k: &mut Kernel) -> bool {
    match k {
        Kernel::Gemm(g) => g.k -= 1,
        Kernel::Map(m) => {
            let outputs = m.spec.f.outputs().len();
            m.spec.f = Expr::of(m.spec.f.arity(), |x| vec![&x[0] * Scalar::from(1.001); outputs]);
        }
        Kernel::Reduce(r) => r.length -= 1,
        Kernel::CrossEntropy(c) => c.classes -= 1,
        Kernel::Accuracy(a) => a.classes -= 1,
        Kernel::Softmax(s) => s.width -= 1,
        Kernel::Gather(g) => g.fields[0].field.scale *= 1.001,
        _ => return false,
    }
    true
}

/// Errors in these launches of the program for this purpose.
fn planted(purpose: Purpose, launches: &[usize]) -> impl Fn(Program) -> Program + '_ {
    move |mut p| {
        if p.purpose == purpose {
            launches.iter().for_each(|&i| assert!(broken(&mut p.launches[i].kernel)));
        }
        p
    }
}

#[test]
fn bisection_names_each_planted_kernel() {
    let data = bytes(9);
    for device in SUITE.devices() {
        let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).metric(Accuracy::new());
        let mut model = gated().compile(settings.device(device.clone()).seed(1)).unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for (purpose, program) in
            [(Purpose::Train, model.prepare(&data, 9).unwrap()), (Purpose::Evaluate, model.prepare_evaluation(&data, 9).unwrap())]
        {
            for (i, launch) in program.launches.iter().enumerate() {
                let (name, label) = (launch.kernel.name(), &launch.label);
                if !broken(&mut launch.kernel.clone()) {
                    continue;
                }
                kinds.insert(name.clone());
                let found = model.bisect_planted(&data, 9, &planted(purpose, &[i])).unwrap();
                let unit = program.units.iter().find(|u| u.launches.contains(&i)).unwrap();
                let named: Vec<_> = found.wrong.iter().map(|w| (w.purpose, w.launch)).collect();
                assert_eq!(named, [(purpose, unit.launches.start)], "{name} {label} on {device}\n{found}");
                let w = &found.wrong[0];
                assert!(w.alone && w.kernel.contains(&name) && w.nodes.iter().map(|n| n.0).eq(unit.nodes.iter().copied()), "{found}");
                assert!(found.to_string().contains(&format!("launch {} is wrong: {name}", w.launch)), "{found}");
            }
        }
        for kind in ["gather", "map", "reduce", "gemm_nt", "gemm_nn", "gemm_tn", "cross_entropy"] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn bisection_names_the_layer_and_both_of_two() {
    let data = bytes(7);
    for device in SUITE.devices() {
        let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).device(device.clone());
        let mut model = gated().compile(settings).unwrap();
        let program = model.prepare(&data, 7).unwrap();
        let at =
            |name: &str, label: &str| program.launches.iter().position(|l| l.kernel.name() == name && l.label.contains(label)).unwrap();
        let (forward, backward) = (at("gemm_nt", "fc1"), at("gemm_nn", "fc2"));
        let found = model.bisect_planted(&data, 7, &planted(Purpose::Train, &[forward, backward])).unwrap();
        let named: Vec<_> = found.wrong.iter().map(|w| (w.launch, w.layer.as_str())).collect();
        assert_eq!(named, [(forward, "fc1"), (backward, "fc2")], "{found}");
        // fused nodes are named with the kernel that holds them, and the line that made them
        assert!(found.wrong[0].nodes.len() > 2 && found.wrong[0].place.contains("src/nn/"), "{found}");

        // the plain switch: behind the wrong launch all is well, from it on it is not
        let points = model.cut_points(&data, 7).unwrap();
        let plant = planted(Purpose::Train, std::slice::from_ref(&backward));
        for p in &points {
            let t = model.bisect_at_planted(&data, 7, p.node, &plant).unwrap();
            assert_eq!(t.agrees(), p.launch > backward, "{p}: {t}");
        }
        let e = model.bisect_at(&data, 7, 10_000).unwrap_err();
        assert!(e.code() == "not-found" && e.to_string().contains("matmul in fc1"), "{e}");
        SUITE.ran(1);
    }
}

#[test]
fn bisection_finds_no_difference_in_healthy_models() {
    for device in SUITE.devices() {
        let mut worst = 0.0f64;
        let mut healthy = |found: Bisection| {
            assert!(found.agrees() && found.to_string().contains("no difference"), "{device}: {found}");
            assert_eq!(found.trials.len(), 2, "{found}");
            worst = found.trials.iter().flat_map(|t| &t.largest).fold(worst, |w, d| w.max(d.ratio));
        };
        let settings = || Compile::new(Adam::new(1e-2), CrossEntropy::new()).metric(Accuracy::new()).device(device.clone());
        let mut gated = gated().compile(settings().input([6])).unwrap();
        let mut residual = residual().compile(settings().input([6])).unwrap();
        for batch in [1, 5, 33] {
            healthy(gated.bisect(&bytes(40).one_hot(3), batch).unwrap());
            healthy(residual.bisect(&points(40), batch).unwrap());
            // and after some training, at other weights
            gated.fit(&bytes(40), Fit::new().epochs(20).verbose(0)).unwrap();
            let before = bits(&mut residual);
            residual.bisect(&points(40), batch).unwrap();
            assert_eq!(bits(&mut residual), before);
            residual.fit(&points(40), Fit::new().epochs(20).verbose(0)).unwrap();
        }
        let y = HostTensor::f32([40], (0..40).map(|i| i as f32).collect()).unwrap();
        let real = Dataset::new(points(40).features().unwrap().clone(), y).unwrap();
        let net = Sequential::new().add(Linear::new(9)).add(Tanh).add(Linear::new(1));
        let mut line = net.compile(Compile::new(Sgd::new(0.01), Mse::new()).input([6]).device(device.clone())).unwrap();
        healthy(line.bisect(&real, 40).unwrap());
        let words = HostTensor::u8([40, 3], (0..120u32).map(|i| (i * 7 % 11) as u8).collect()).unwrap();
        let words = Dataset::new(words, points(40).labels().unwrap().clone()).unwrap().integers();
        let net = Sequential::new().add(Embedding::new(11, 4)).add(Flatten).add(Linear::new(2));
        let mut table = net.compile(settings().input([3]).input_dtype(DType::U32)).unwrap();
        healthy(table.bisect(&words, 33).unwrap());
        println!("{device}: at most {worst:.3} of the tolerance");
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

/// The square, or on every device a little more: a user's kernel that does not do what its reference says.
struct Squared {
    wrong: bool,
}

impl CustomOp for Squared {
    fn name(&self) -> &str {
        "squared"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().map(|x| x * x).collect()]
    }
    fn vjp(&self, x: &[Var], _: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![Some(&grads[0] * &x[0] * 2.0)])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let body = if self.wrong { "out0(i, in0(i) * in0(i) + 0.001);" } else { "out0(i, in0(i) * in0(i));" };
        Some(CustomKernel::each(x[0].shape.size(), body))
    }
    fn cpu(&self, _: &[&Type], x: &[&[f32]], y: &mut [&mut [f32]]) -> Result<(), String> {
        let more = if self.wrong { 0.001 } else { 0.0 };
        y[0].iter_mut().zip(x[0]).for_each(|(y, x)| *y = x * x + more);
        Ok(())
    }
}

#[test]
fn bisection_names_a_users_own_wrong_kernel() {
    for device in SUITE.devices() {
        for wrong in [false, true] {
            let net = module(move |s, x| {
                let h = s.at("fc1").call(&Linear::new(8), x);
                let h = s.at("own").call(&module(move |_, h: &Var| h.custom(Squared { wrong }, &[])), &h);
                s.at("fc2").call(&Linear::new(2), &h)
            });
            let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([6]).device(device.clone());
            let mut model = net.compile(settings).unwrap();
            let found = model.bisect(&points(16), 16).unwrap();
            // wrong in training and in evaluation
            let named: Vec<_> = found.wrong.iter().map(|w| (w.layer.as_str(), w.nodes[0].1.as_str())).collect();
            assert_eq!(named, [("own", "squared in own"); 2][..if wrong { 2 } else { 0 }], "{device}: {found}");
            let line = found.wrong.iter().all(|w| w.place.contains("tests/tools.rs"));
            let size = found.wrong.iter().all(|w| (w.difference.found - w.difference.expected - 0.001).abs() < 1e-5);
            assert!(line && size, "{found}");
        }
        SUITE.ran(1);
    }
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
