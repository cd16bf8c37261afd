//! Frozen and shared parameters: what does not train keeps its bits and costs no launch; what is used twice gets both gradients.

use crate::common::need::Suite;
use gradus::Error;
use gradus::graph::{Builder, Field, Op, gradients};
use gradus::plan::{BufferId, Phase, Program};
use gradus::prelude::*;
use gradus::reference::{Data, evaluate};
use gradus::rng::Philox;
use gradus::tensor::{DType, HostTensor};
use gradus::train::{DataSpec, Recipe, Registry};
use std::sync::Arc;

static SUITE: Suite = Suite::new("frozen", 22);

fn digits() -> Dataset {
    data::synthetic_digits(4, 203, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn net() -> Sequential {
    Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(16)).add(Relu).add(Linear::new(10))
}

fn model(optimizer: impl Into<Optimizer>, device: &Device) -> Model {
    let settings = Compile::new(optimizer, CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(3);
    net().compile(settings.device(device.clone())).unwrap()
}

fn trunk() -> AdamW {
    AdamW::new(5e-2).group("0.*", Group::new().frozen()).group("2.*", Group::new().frozen())
}

fn bits(model: &mut Model, name: &str) -> Vec<u32> {
    model.parameter(name).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect()
}

fn all_bits(model: &mut Model) -> Vec<Vec<u32>> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().map(|n| bits(model, n)).collect()
}

/// Launches of the compute phase that the layer of this name has.
fn launches(p: &Program, layer: &str) -> usize {
    p.phase(Phase::Compute).iter().filter(|l| l.label.ends_with(&format!("  {layer}"))).count()
}

#[test]
fn a_frozen_trunk_keeps_its_bits_and_the_head_learns() {
    for device in SUITE.devices() {
        let mut m = model(trunk(), &device);
        let before = all_bits(&mut m);
        let h = m.fit(&digits(), Fit::new().epochs(20).batch_size(20).verbose(0)).unwrap();
        let after = all_bits(&mut m);
        assert!(before[..4] == after[..4], "a frozen parameter moved on {device}");
        assert!(before[4] != after[4] && before[5] != after[5], "the head stood still on {device}");
        assert!(h.get("loss")[19] < 0.95 * h.get("loss")[0], "{:?}", h.get("loss"));
        SUITE.ran(1);
    }
}

#[test]
fn what_is_frozen_costs_no_launch_no_gradient_and_no_moment() {
    let (data, device) = (digits(), Device::cpu());
    let (free, held) = (model(AdamW::new(1e-2), &device), model(trunk(), &device));
    let (a, b): (Arc<Program>, Arc<Program>) = (free.prepare(&data, 20).unwrap(), held.prepare(&data, 20).unwrap());
    // dw, dh and their like of two layers: forward, loss and one backward launch are left
    assert_eq!((a.phase(Phase::Compute).len(), b.phase(Phase::Compute).len()), (9, 5), "{}\n{}", a.explain(), b.explain());
    assert_eq!((launches(&b, "0"), launches(&b, "2"), launches(&b, "4")), (1, 1, 2), "{}", b.explain());
    let writes = |p: &Program, id: BufferId| {
        p.launches
            .iter()
            .filter(|l| l.kernel.accesses().iter().zip(&l.buffers).any(|(a, b)| *b == id && *a == gradus::kernels::Access::Write))
            .count()
    };
    assert_eq!((writes(&b, BufferId::Frozen), writes(&b, BufferId::Gradients), writes(&b, BufferId::Parameters)), (0, 1, 1));
    // the arenas: gradient and two moments of 25,408 frozen elements are gone
    let frozen = 784 * 24 + 128 + 24 * 16 + 128;
    assert_eq!((b.arena.frozen, a.arena.size - b.arena.size), (frozen, frozen));
    let slots = |p: &Program| p.slots.iter().sum::<usize>() as u64;
    assert_eq!((free.device_bytes() - slots(&a)) - (held.device_bytes() - slots(&b)), 3 * 4 * frozen as u64);
    assert_eq!((held.parameter_count(), held.frozen_count()), (free.parameter_count(), 784 * 24 + 24 + 24 * 16 + 16));
    assert!(held.summary().contains("19,410 parameters (170 trainable, 19,240 frozen)"), "{}", held.summary());
    assert!(b.explain().contains("frozen") && b.explain().contains("19,240 parameters"), "{}", b.explain());
    SUITE.ran(1);
}

#[test]
fn gradients_flow_through_a_frozen_head() {
    for device in SUITE.devices() {
        let mut m = model(Sgd::new(0.1).group("4.*", Group::new().frozen()), &device);
        let p = m.prepare(&digits(), 20).unwrap();
        assert_eq!((p.phase(Phase::Compute).len(), launches(&p, "4")), (8, 2), "{}", p.explain());
        let before = all_bits(&mut m);
        m.fit(&digits(), Fit::new().batch_size(20).verbose(0)).unwrap();
        let after = all_bits(&mut m);
        assert!(before[4..] == after[4..] && before.iter().zip(&after).take(4).all(|(a, b)| a != b), "{device}");
        SUITE.ran(1);
    }
}

/// One step on both devices, and against one where nothing is frozen: what trains takes the very same step.
#[test]
fn a_step_with_frozen_leaves_is_that_of_the_others() {
    let data = digits();
    let step = |m: &mut Model| m.trainer(&data, Fit::new().batch_size(50)).unwrap().steps(1).unwrap().unwrap().grad_norm;
    let mut all = Vec::new();
    for device in SUITE.devices() {
        let (mut free, mut held) = (model(Sgd::new(0.5), &device), model(Sgd::new(0.5).group("2.*", Group::new().frozen()), &device));
        let (whole, part) = (step(&mut free), step(&mut held));
        assert!(part < whole, "the norm counts frozen gradients on {device}: {part} of {whole}");
        for name in ["0.weight", "0.bias", "4.weight", "4.bias"] {
            assert!(bits(&mut free, name) == bits(&mut held, name), "{name} on {device}");
        }
        all.push(all_bits(&mut held));
        SUITE.ran(1);
    }
    for (a, b) in all[0].iter().zip(all.last().unwrap()).flat_map(|(a, b)| a.iter().zip(b)) {
        let (a, b) = (f32::from_bits(*a), f32::from_bits(*b));
        assert!((a - b).abs() <= 1e-6 + 1e-5 * a.abs(), "{a} on the CPU, {b} on the GPU");
    }
}

#[test]
fn a_model_with_a_frozen_trunk_goes_to_a_file_and_back() {
    let dir = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let (whole, weights) = (dir.path().join("m.gradus"), dir.path().join("w.safetensors"));
        let fit = || Fit::new().batch_size(20).verbose(0);
        let mut m = model(trunk(), &device);
        m.fit(&digits(), fit()).unwrap();
        m.save(&whole).unwrap();
        m.save_weights(&weights).unwrap();
        let mut back = Model::load_on(&whole, device.clone()).unwrap();
        assert!(back.frozen_count() == m.frozen_count() && all_bits(&mut back) == all_bits(&mut m), "{device}");
        // the moments too: both train on to the same bits
        m.fit(&digits(), fit()).unwrap();
        back.fit(&digits(), fit()).unwrap();
        assert!(all_bits(&mut back) == all_bits(&mut m), "{device}");
        // weights of a model into the trunk of another, and from there into one where nothing is frozen
        let mut other = model(trunk(), &device);
        other.set_parameter("0.bias", &HostTensor::f32([24], vec![0.25; 24]).unwrap()).unwrap();
        assert_eq!(other.parameter("0.bias").unwrap().as_f32().unwrap(), [0.25; 24]);
        assert_eq!(other.load_weights(&weights, Load::new()).unwrap().loaded.len(), 6);
        let mut free = model(Adam::default(), &device);
        free.load_weights(&weights, Load::new()).unwrap();
        assert!(all_bits(&mut other) == all_bits(&mut free), "{device}");
        let seen = [&mut other, &mut free].map(|m| m.evaluate(&digits(), 64).unwrap()["loss"]);
        assert!(seen[0] == seen[1], "{seen:?} on {device}");
        SUITE.ran(1);
    }
}

fn fails<T: std::fmt::Debug>(r: gradus::Result<T>, code: &str, parts: &[&str]) {
    let e: Error = r.expect_err(code);
    assert!(e.code() == code && parts.iter().all(|p| e.to_string().contains(p)), "{e}");
}

#[test]
fn everything_frozen_cannot_train_but_can_be_looked_at() {
    let mut m = model(Adam::default().group("*", Group::new().frozen()), &Device::cpu());
    fails(m.fit(&digits(), Fit::new().verbose(0)), "unsupported", &["every parameter frozen", "optimizer.groups"]);
    assert!(m.evaluate(&digits(), 50).unwrap()["loss"] > 0.0 && m.predict(&digits(), 50).is_ok());
    SUITE.ran(1);
}

#[test]
fn a_pattern_without_a_parameter_lists_the_names() {
    let optimizer = Sgd::new(0.1).group("layr?.*", Group::new().frozen()).group("0.*", Group::new()).group("9.*", Group::new());
    let settings = Compile::new(optimizer, CrossEntropy::new()).input([784]).device(Device::cpu());
    fails(net().compile(settings), "invalid-config", &["optimizer.groups[0]", "layr?.*", "optimizer.groups[2]", "0.weight", "4.bias"]);
    SUITE.ran(1);
}

#[test]
fn the_first_group_that_covers_a_name_holds() {
    let frozen = |o: Sgd| {
        let mut m = model(o, &Device::cpu());
        let before = all_bits(&mut m);
        m.fit(&digits(), Fit::new().verbose(0)).unwrap();
        before.iter().zip(all_bits(&mut m)).map(|(a, b)| *a == b).collect::<Vec<_>>()
    };
    let biases = Sgd::new(0.1).group("*.bias", Group::new()).group("0.*", Group::new().frozen());
    assert_eq!(frozen(biases), [true, false, false, false, false, false]);
    let trunk = Sgd::new(0.1).group("0.*", Group::new().frozen()).group("*.bias", Group::new());
    assert_eq!(frozen(trunk), [true, true, false, false, false, false]);
    SUITE.ran(1);
}

#[test]
fn groups_stand_in_recipes() {
    let settings = Compile::new(trunk(), CrossEntropy::new()).input([784]).seed(3);
    let recipe = Recipe::new(&net(), &settings, &Fit::new(), DataSpec::new("synthetic")).unwrap();
    let text = recipe.to_json();
    assert_eq!(Recipe::from_json(&text).unwrap(), recipe);
    assert!(text.contains("\"pattern\": \"0.*\""), "{text}");
    assert_eq!(recipe.compile(&Registry::new(), &Device::cpu()).unwrap().frozen_count(), 784 * 24 + 24 + 24 * 16 + 16);
    fails(Recipe::from_json(&text.replace("\"frozen\"", "\"frosen\"")), "bad-recipe", &["frosen"]);
    // without groups the text is as it was before there were any
    let plain =
        Recipe::new(&net(), &Compile::new(Adam::default(), CrossEntropy::new()).input([784]), &Fit::new(), DataSpec::new("synthetic"));
    assert!(!plain.unwrap().to_json().contains("groups"));
    SUITE.ran(1);
}

/// An autoencoder whose decoder is the encoder's transpose.
fn tied(s: &Scope, x: &Var) -> Var {
    let h = s.at("encoder").call(&Linear::new(5), x).tanh();
    h.matmul(&s.shared("encoder.weight")) + s.param("back", [7], Init::Zeros)
}

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut r = Philox::new(seed, "noise");
    (0..n).map(|_| (2.0 * r.uniform() - 1.0) as f32).collect()
}

fn autoencoder(optimizer: impl Into<Optimizer>, device: &Device) -> Model {
    module(tied).compile(Compile::new(optimizer, Mse::new()).input([7]).device(device.clone()).seed(8)).unwrap()
}

fn pairs() -> Dataset {
    let x = noise(7 * 12, 1);
    Dataset::new(HostTensor::f32([12, 7], x.clone()).unwrap(), HostTensor::f32([12, 7], x).unwrap()).unwrap()
}

/// The gradient in f64: by the graph, and by finite differences of the loss.
fn truth(values: &[(String, Vec<f64>)], x: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let b = Builder::new();
    let row: gradus::tensor::Shape = [7].into();
    let field = Field::new("x", DType::F32, row);
    let input = b.batch(12, field);
    let scope = Scope::root(&b, true);
    let loss = (tied(&scope, &input) - &input).square().mean().value().unwrap();
    let weight = scope.shared("encoder.weight").value().unwrap();
    let mut g = b.finish().unwrap();
    let gradient = gradients(&mut g, loss, &[weight]).unwrap()[0].unwrap();
    let run = |values: &[(String, Vec<f64>)], wanted| {
        let feed = |op: &Op| match op {
            Op::Parameter(p) => values.iter().find(|(n, _)| *n == p.name).map(|(_, v)| Data::Real(v.clone())),
            _ => Some(Data::Real(x.iter().map(|v| f64::from(*v)).collect())),
        };
        evaluate::<f64>(&g, &feed, &[wanted]).unwrap()[0].to_f64()
    };
    let slope = |i: usize| {
        let at = |step: f64| {
            let mut v = values.to_vec();
            v[0].1[i] += step;
            run(&v, loss)[0]
        };
        (at(1e-5) - at(-1e-5)) / 2e-5
    };
    (run(values, gradient), (0..values[0].1.len()).map(slope).collect())
}

#[test]
fn a_shared_parameter_gets_the_sum_of_both_gradients() {
    for device in SUITE.devices() {
        let mut m = autoencoder(Sgd::new(1.0), &device);
        assert_eq!(m.parameter_names().collect::<Vec<_>>(), ["encoder.weight", "encoder.bias", "back"]);
        let values: Vec<(String, Vec<f64>)> =
            ["encoder.weight", "encoder.bias", "back"].map(|n| (n.to_string(), m.parameter(n).unwrap().to_f64())).into();
        let (graph, slopes) = truth(&values, &noise(7 * 12, 1));
        m.trainer(&pairs(), Fit::new().batch_size(12).shuffle(false)).unwrap().steps(1).unwrap();
        let after = m.parameter("encoder.weight").unwrap().to_f64();
        for (i, (before, after)) in values[0].1.iter().zip(after).enumerate() {
            assert!((graph[i] - slopes[i]).abs() < 1e-8, "element {i}: {} by the graph, {} by differences", graph[i], slopes[i]);
            assert!((before - after - graph[i]).abs() < 2e-6, "element {i} on {device}: {} of {}", before - after, graph[i]);
        }
        SUITE.ran(1);
    }
}

#[test]
fn shared_parameters_train_are_saved_once_and_frozen_together() {
    let dir = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let mut m = autoencoder(Adam::new(0.02), &device);
        let h = m.fit(&pairs(), Fit::new().epochs(60).batch_size(6).verbose(0)).unwrap();
        assert!(h.get("loss")[59] < 0.5 * h.get("loss")[0], "{:?}", h.last("loss"));
        let path = dir.path().join("tied.safetensors");
        m.save_weights(&path).unwrap();
        let mut other = autoencoder(Adam::new(0.02).group("encoder.weight", Group::new().frozen()), &device);
        assert_eq!(other.load_weights(&path, Load::new()).unwrap().loaded, ["back", "encoder.bias", "encoder.weight"]);
        assert!(all_bits(&mut other) == all_bits(&mut m));
        let before = all_bits(&mut other);
        other.fit(&pairs(), Fit::new().epochs(2).batch_size(6).verbose(0)).unwrap();
        let after = all_bits(&mut other);
        assert!(before[0] == after[0] && before[1] != after[1] && before[2] != after[2], "{device}");
        SUITE.ran(1);
    }
}

/// A layer with buffers too, so that both travel.
fn normed(optimizer: impl Into<Optimizer>, seed: u64, device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(24)).add(BatchNorm1d::new()).add(Relu).add(Linear::new(10));
    let settings = Compile::new(optimizer, CrossEntropy::new()).input([784]).seed(seed).ema(0.9);
    net.compile(settings.device(device.clone())).unwrap()
}

fn everything(m: &mut Model) -> Vec<Vec<u32>> {
    let buffers: Vec<String> = m.buffer_names().map(String::from).collect();
    let buffers: Vec<Vec<u32>> =
        buffers.iter().map(|n| m.buffer(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect()).collect();
    [all_bits(m), buffers].concat()
}

/// The head is trained and then all of it: the weights stay and the optimizer begins anew, to the bits of a new model that got these weights.
#[test]
fn another_optimizer_for_a_model_that_exists() {
    for device in SUITE.devices() {
        let data = digits();
        let fit = || Fit::new().epochs(2).batch_size(50).shuffle(false).verbose(0);
        let head = AdamW::new(1e-2).group("3.*", Group::new()).group("*", Group::new().frozen());
        let all = || Adam::new(Schedule::cosine(1e-2, 20).warmup(3)).group("3.bias", Group::new().lr_multiplier(0.5));
        let mut m = normed(head, 1, &device);
        m.fit(&data, fit()).unwrap();
        let before = everything(&mut m);
        assert_eq!(m.frozen_count(), 784 * 24 + 24 + 48);
        m.recompile(all()).unwrap();
        assert_eq!((m.frozen_count(), everything(&mut m)), (0, before.clone()), "{device}");
        assert!(m.settings().optimizer == all().into() && m.gradient("0.weight").is_err());

        let mut new = normed(all(), 2, &device);
        let report = new.copy_weights(&m, Load::new()).unwrap();
        assert_eq!((report.loaded.len(), report.fresh.len(), everything(&mut new)), (6 + 3, 0, before.clone()), "{device}");
        let histories = [m.fit(&data, fit()).unwrap(), new.fit(&data, fit()).unwrap()];
        assert_eq!(histories[0].get("loss"), histories[1].get("loss"), "{device}");
        assert_eq!(everything(&mut m), everything(&mut new), "{device}");
        assert_ne!(everything(&mut m), before);
        // the average began at these weights
        assert_eq!(m.ema_parameter("0.weight").unwrap(), new.ema_parameter("0.weight").unwrap(), "{device}");

        // what cannot be changes nothing: the moments are still there
        let after = everything(&mut m);
        for bad in [Adam::new(f64::NAN), Adam::new(0.1).group("nothing.*", Group::new())] {
            assert_eq!(m.recompile(bad).unwrap_err().code(), "invalid-config");
        }
        m.swap_ema().unwrap();
        assert_eq!(m.recompile(Adam::new(0.1)).unwrap_err().code(), "unsupported");
        m.swap_ema().unwrap();
        assert_eq!(everything(&mut m), after);
        assert_eq!(m.fit(&data, fit()).unwrap().get("loss"), new.fit(&data, fit()).unwrap().get("loss"), "{device}");
        SUITE.ran(1);
    }
}

/// Under the rules of a file: strict, or with names renamed, left out and passed over; from one device to another.
#[test]
fn weights_from_model_to_model() {
    let data = digits();
    for device in SUITE.devices() {
        let mut teacher = normed(Sgd::new(0.1), 1, &device);
        teacher.fit(&data, Fit::new().batch_size(50).verbose(0)).unwrap();
        let mut student = normed(Adam::new(0.1), 2, &Device::cpu());
        let own = everything(&mut student);
        // a model of other shapes is refused whole
        let e = student.copy_weights(&model(Sgd::new(0.1), &Device::cpu()), Load::new()).unwrap_err();
        let text = e.to_string();
        assert_eq!(e.code(), "weight-mismatch");
        for part in ["where: the other model", "missing: ", "3.weight", "unexpected: 2.bias"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(everything(&mut student), own);
        // the trunk alone
        let report = student.copy_weights(&teacher, Load::new().ignore("3.*").allow_missing("3.*")).unwrap();
        assert_eq!(report.to_string(), "7 loaded, 2 fresh (3.weight, 3.bias), 2 ignored");
        let (from, to) = (everything(&mut teacher), everything(&mut student));
        assert!(from[..4] == to[..4] && from[6..] == to[6..] && own[4..6] == to[4..6], "{device}");
        // under other names
        let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).device(Device::cpu());
        let mut named = module(|s, x| s.at("trunk").call(&Linear::new(24), x)).compile(settings).unwrap();
        let report = named.copy_weights(&teacher, Load::new().rename("0.", "trunk.").ignore("1.*").ignore("3.*")).unwrap();
        assert_eq!(
            (report.loaded, bits(&mut named, "trunk.bias")),
            (vec!["trunk.bias".into(), "trunk.weight".into()], bits(&mut teacher, "0.bias"))
        );
        SUITE.ran(1);
    }
    SUITE.ran(1);
}
