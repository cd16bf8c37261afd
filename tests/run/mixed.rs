//! Mixed precision: what is stored as f16, on both machines alike; what it saves; settings; evaluation, files, resume.

use crate::common::need::Suite;
use gradus::graph::Class;
use gradus::plan::{Program, Stored};
use gradus::prelude::*;
use gradus::tensor::{DType, HostTensor};

static SUITE: Suite = Suite::new("mixed", 20);

fn digits() -> Dataset {
    data::synthetic_digits(3, 1003, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn mlp(widths: &[usize]) -> Sequential {
    let (last, hidden) = widths.split_last().unwrap();
    hidden.iter().fold(Sequential::new(), |net, w| net.add(Linear::new(*w)).add(Relu)).add(Linear::new(*last))
}

fn article(device: &Device, precision: Precision) -> Model {
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(5);
    mlp(&[64, 32, 10]).compile(settings.precision(precision).device(device.clone())).unwrap()
}

/// Two blocks of normalisation, GELU and a residual, and a head.
fn residual(device: &Device, precision: Precision) -> Model {
    let net = module(|s, x| {
        let h = s.at("stem").call(&Linear::new(48), x);
        let h = (0..2).fold(h, |h, i| {
            let s = s.at(format!("blocks.{i}"));
            let y = s.at("norm").call(&gradus::nn::LayerNorm::new(), &h);
            let y = s.at("fc1").call(&Linear::new(96), &y).gelu();
            h + s.at("fc2").call(&Linear::new(48), &y)
        });
        s.at("head").call(&Linear::new(10), &h)
    });
    let settings = Compile::new(AdamW::new(1e-3), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(5);
    net.compile(settings.precision(precision).device(device.clone())).unwrap()
}

/// The losses of so many steps.
fn losses(model: &mut Model, data: &Dataset, steps: usize) -> Vec<f32> {
    let mut run = model.trainer(data, Fit::new().epochs(1000).batch_size(32)).unwrap();
    let mut out = Vec::new();
    while out.len() < steps {
        out.extend(run.steps(steps - out.len()).unwrap().unwrap().losses);
    }
    out
}

fn bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// How far the losses of the two machines may lie apart, relative to the loss: in 10 steps, in 100. A rounding to f16 that turns over moves a
/// value by up to 2^-10 of it, one of many in a sum; training carries it on, as it does a rounding to f32.
const FIRST: f32 = 2e-4;
const ALL: f32 = 1e-2;

#[test]
fn a_hundred_steps_are_alike() {
    for make in [article, residual] {
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for device in SUITE.devices() {
            let mut model = make(&device, Precision::mixed());
            let l = losses(&mut model, &digits(), 100);
            assert!(l[99] < 0.6 * l[0], "{device} learns: {} to {}", l[0], l[99]);
            if let Some(cpu) = seen.first() {
                let off = |(a, b): (&f32, &f32)| (a - b).abs() / a.abs();
                let all: Vec<f32> = cpu.iter().zip(&l).map(off).collect();
                let most = |part: &[f32]| part.iter().fold(0.0f32, |m, v| m.max(*v));
                println!("off by {:.1e} in 10 steps, {:.1e} in 100", most(&all[..10]), most(&all));
                assert!(most(&all[..10]) < FIRST && most(&all) < ALL, "{:?}", all);
            }
            seen.push(l);
        }
        SUITE.ran(1);
    }
}

/// f32 is close by, and not the same: something is rounded.
#[test]
fn near_to_f32() {
    let [f32, mixed] = [Precision::F32, Precision::mixed()].map(|p| losses(&mut article(&Device::cpu(), p), &digits(), 100));
    let off = |i: usize| (f32[i] - mixed[i]).abs() / f32[i];
    assert!(off(0) > 0.0 && off(0) < 1e-3 && off(99) < 0.05, "{} {}", off(0), off(99));
    SUITE.ran(1);
}

fn planned(net: Sequential, optimizer: impl Into<Optimizer>, input: usize, precision: Precision, batch: usize) -> Program {
    let classes = HostTensor::u32([batch], vec![0; batch]).unwrap();
    let data = Dataset::new(HostTensor::f32([batch, input], vec![0.5; batch * input]).unwrap(), classes).unwrap();
    let settings = Compile::new(optimizer, CrossEntropy::new()).input([input]).precision(precision).device(Device::cpu());
    let model = net.compile(settings).unwrap();
    (*model.prepare(&data, batch).unwrap()).clone()
}

fn both(make: impl Fn(Precision) -> Program) -> [Program; 2] {
    [make(Precision::F32), make(Precision::mixed())]
}

fn slots(p: &Program) -> usize {
    p.slots.iter().sum()
}

/// Activation slots are at most 0.55 of f32's.
#[test]
fn slots_take_half() {
    for (widths, batch) in [(&[64, 32, 10][..], 32), (&[1024, 1024, 10], 512)] {
        let [f32, mixed] = both(|p| planned(mlp(widths), Adam::default(), 784, p, batch));
        let ratio = slots(&mixed) as f64 / slots(&f32) as f64;
        println!("{widths:?}, batch {batch}: slots {} for {}: {ratio:.3}", slots(&mixed), slots(&f32));
        assert!(ratio <= 0.55, "{widths:?}: {ratio}");
        assert_eq!((mixed.full_slots, f32.full_slots), (slots(&f32), slots(&f32)), "what explain says it saves");
        assert!(f32.stored.is_empty() && !f32.explain().contains("f16"));
        assert!(mixed.explain().contains("less than the"), "{}", mixed.explain());
        SUITE.ran(1);
    }
}

/// 12 layers of width 256 in batches of 4,096, SGD with momentum: at most 0.64 in all. And as many launches.
#[test]
fn a_deep_network_takes_less() {
    let [f32, mixed] = both(|p| planned(mlp(&[256; 12]), Sgd::new(0.1).momentum(0.9), 256, p, 4096));
    let ratio = mixed.peak_bytes() as f64 / f32.peak_bytes() as f64;
    println!("{} for {}: {ratio:.3}", mixed.peak_bytes(), f32.peak_bytes());
    assert!(ratio <= 0.64, "{ratio}");
    assert_eq!(mixed.launches.len(), f32.launches.len());
    SUITE.ran(1);
}

/// What is planned is what is taken, on the CPU too, which holds some operands in f32 beside: the wide network, 4,096 rows.
#[test]
fn a_session_takes_less() {
    for device in SUITE.devices() {
        let taken = |p: Precision| {
            let rows = 4096;
            let classes = HostTensor::u32([rows], vec![0; rows]).unwrap();
            let data = Dataset::new(HostTensor::f32([rows, 784], vec![0.5; rows * 784]).unwrap(), classes).unwrap();
            let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).precision(p).device(device.clone());
            let model = mlp(&[1024, 1024, 10]).compile(settings).unwrap();
            let program = model.prepare(&data, rows).unwrap();
            (model.device_bytes() - 4 * (rows * 785) as u64, program.peak_bytes())
        };
        let (f32, mixed) = (taken(Precision::F32), taken(Precision::mixed()));
        println!("{device}: {} for {} bytes, planned {} for {}", mixed.0, f32.0, mixed.1, f32.1);
        assert!(mixed.0 as f64 <= 0.9 * f32.0 as f64, "{device}: {} for {}", mixed.0, f32.0);
        SUITE.ran(1);
    }
}

fn of(p: &Program, label: &str) -> Vec<Stored> {
    p.stored.iter().filter(|s| p.launches[s.launch].label.contains(label)).copied().collect()
}

/// What is kept in f32 is seen in `explain`, and gradients that flow to it are f32, too.
#[test]
fn layers_can_be_kept() {
    let step = |p: Precision| {
        let m = residual(&Device::cpu(), p);
        (*m.prepare(&digits(), 32).unwrap()).clone()
    };
    let all = step(Precision::mixed());
    let kept = step(Precision::mixed().keep_f32("blocks.1.*"));
    let halves = |p: &Program, label: &str| of(p, label).iter().filter(|s| s.dtype == DType::F16).count();
    assert!(halves(&all, "blocks.1.fc1") > 0 && halves(&all, "blocks.0.fc1") > 0, "{}", all.explain());
    assert!(halves(&kept, "blocks.1.fc1") == 0 && halves(&kept, "blocks.0.fc1") > 0, "{}", kept.explain());
    assert!(of(&kept, "blocks.1.fc1").iter().any(|s| s.class == Class::Kept) && kept.explain().contains("keep_f32"));
    // weights' gradients are f32 everywhere
    assert!(all.stored.iter().filter(|s| s.class == Class::WeightGradient).all(|s| s.dtype == DType::F32));
    let every = step(Precision::mixed().keep_f32("*"));
    assert!(every.stored.iter().all(|s| s.dtype == DType::F32 || s.class == Class::Feeds), "{}", every.explain());
    SUITE.ran(1);
}

#[test]
fn faults_are_told() {
    let settings = |p| Compile::new(Adam::default(), CrossEntropy::new()).input([784]).precision(p).device(Device::cpu());
    let e = mlp(&[10]).compile(settings(Precision::mixed().keep_f32("haed.*").keep_f32("0.*"))).unwrap_err();
    assert!(e.code() == "invalid-config" && e.to_string().contains("`haed.*` covers no layer"), "{e}");
    assert!(!e.to_string().contains("`0.*`"), "{e}");
    let e = mlp(&[10]).compile(settings(Precision::mixed()).device(Device::cpu().without_f16())).unwrap_err();
    assert!(e.code() == "no-f16" && e.to_string().contains("Precision::F32"), "{e}");
    mlp(&[10]).compile(settings(Precision::F32).device(Device::cpu().without_f16())).unwrap();
    for (text, p) in [
        ("\"f32\"", Precision::F32),
        ("\"mixed\"", Precision::mixed()),
        ("{\"mixed\":{\"keep_f32\":[\"head.*\"]}}", Precision::mixed().keep_f32("head.*")),
    ] {
        assert_eq!(serde_json::from_str::<Precision>(text).unwrap(), p);
        assert_eq!(serde_json::to_string(&p).unwrap(), text);
    }
    assert!(serde_json::from_str::<Precision>("{\"mixed\":{\"keep\":[]}}").is_err());
    SUITE.ran(1);
}

/// Evaluation and prediction read the copies that training left, and give f32; weights that are set are read at once.
#[test]
fn the_copies_follow_the_weights() {
    for device in SUITE.devices() {
        let mut model = article(&device, Precision::mixed());
        losses(&mut model, &digits(), 40);
        let (e, y) = (model.evaluate(&digits(), 100).unwrap(), model.predict(&digits(), 100).unwrap());
        // the same weights in a model whose copies the host has made
        let mut other = article(&device, Precision::mixed());
        for name in model.parameter_names().map(String::from).collect::<Vec<_>>() {
            let values = model.parameter(&name).unwrap();
            other.set_parameter(&name, &values).unwrap();
        }
        assert_eq!(other.evaluate(&digits(), 100).unwrap(), e, "{device}");
        assert_eq!(other.predict(&digits(), 100).unwrap(), y, "{device}");
        // and in f32 they give nearly the same
        let mut full = article(&device, Precision::F32);
        for name in model.parameter_names().map(String::from).collect::<Vec<_>>() {
            full.set_parameter(&name, &model.parameter(&name).unwrap()).unwrap();
        }
        let off = full.evaluate(&digits(), 100).unwrap()["loss"] / e["loss"] - 1.0;
        assert!(off.abs() < 2e-3 && off != 0.0, "{device}: {off}");
        SUITE.ran(1);
    }
}

/// The average of the weights and back, weights from a file: the copies go along.
#[test]
fn the_copies_follow_files_and_averages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let settings = || {
        Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).ema(0.9).precision(Precision::mixed()).seed(5).device(Device::cpu())
    };
    let mut model = mlp(&[64, 10]).compile(settings()).unwrap();
    losses(&mut model, &digits(), 30);
    let trained = model.evaluate(&digits(), 100).unwrap();
    model.swap_ema().unwrap();
    let smooth = model.evaluate(&digits(), 100).unwrap();
    model.save_weights(&path).unwrap();
    model.swap_ema().unwrap();
    assert!(model.evaluate(&digits(), 100).unwrap() == trained && smooth != trained);
    let mut other = mlp(&[64, 10]).compile(settings()).unwrap();
    other.load_weights(&path, Load::new()).unwrap();
    assert_eq!(other.evaluate(&digits(), 100).unwrap(), smooth);
    SUITE.ran(1);
}

/// 60 steps; or 25, a checkpoint, and a new model that goes on from it: the same bits. Another precision cannot go on.
#[test]
fn resume_is_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let path = folder.path().join(format!("{}.gradus", device.kind()));
        let fit = || Fit::new().epochs(3).batch_size(50).verbose(0);
        let mut whole = article(&device, Precision::mixed());
        whole.fit(&digits(), fit()).unwrap();
        let saved = || fit().checkpoint(Checkpoint::new(&path)).resume(Resume::IfPresent);
        let mut first = article(&device, Precision::mixed());
        first.fit(&digits(), saved().epochs(1)).unwrap();
        let mut second = article(&device, Precision::mixed());
        second.fit(&digits(), saved()).unwrap();
        assert_eq!(bits(&mut second), bits(&mut whole), "{device}");
        let e = article(&device, Precision::F32).fit(&digits(), saved()).unwrap_err();
        assert!(e.to_string().contains("compile.precision"), "{e}");
        SUITE.ran(1);
    }
}

/// A parameter that does not train has a copy, too.
#[test]
fn frozen_layers_are_read_from_copies() {
    for device in SUITE.devices() {
        let optimizer = Adam::new(1e-2).group("0.*", Group::new().frozen());
        let settings = Compile::new(optimizer, CrossEntropy::new()).input([784]).precision(Precision::mixed()).device(device.clone());
        let make = |p| mlp(&[64, 10]).compile(settings.clone().precision(p)).unwrap();
        let (mut model, full) = (make(Precision::mixed()), losses(&mut make(Precision::F32), &digits(), 60));
        let before = model.parameter("0.weight").unwrap();
        let l = losses(&mut model, &digits(), 60);
        assert!(
            l[0] != full[0] && (l[59] / full[59] - 1.0).abs() < 0.01,
            "{device}: {} to {}, in f32 {} to {}",
            l[0],
            l[59],
            full[0],
            full[59]
        );
        assert_eq!(model.parameter("0.weight").unwrap(), before);
        SUITE.ran(1);
    }
}

/// The reference rounds where the plan stores: bisection finds nothing, and finds what is planted.
#[test]
fn bisection_agrees() {
    for device in SUITE.devices() {
        let mut model = residual(&device, Precision::mixed());
        losses(&mut model, &digits(), 10);
        let found = model.bisect(&digits(), 16).unwrap();
        assert!(found.wrong.is_empty(), "{device}: {found}");
        SUITE.ran(1);
    }
}

/// The number of threads changes no bit.
#[test]
fn threads_change_nothing() {
    let run = |n| {
        let mut m = residual(&Device::cpu_threads(n), Precision::mixed());
        losses(&mut m, &digits(), 20);
        bits(&mut m)
    };
    let one = run(1);
    assert!(run(2) == one && run(5) == one);
    SUITE.ran(1);
}

/// The table of docs/mixed-precision.md: `cargo test --test run memory_table -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table"]
fn memory_table() {
    for (layers, width, batch) in [(3, 64, 32), (3, 1024, 512), (3, 1024, 4096), (12, 256, 512), (12, 256, 4096), (12, 1024, 4096)] {
        let optimizers: [(&str, Optimizer); 3] =
            [("SGD", Sgd::new(0.1).into()), ("SGD, momentum", Sgd::new(0.1).momentum(0.9).into()), ("Adam", Adam::default().into())];
        for (name, optimizer) in optimizers {
            let [f32, mixed] = both(|p| planned(mlp(&vec![width; layers]), optimizer.clone(), width, p, batch));
            let mib = |n: u64| n as f64 / f64::from(1 << 20);
            println!(
                "| {layers} x {width} | {batch} | {name} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.2} |",
                mib(slots(&f32) as u64),
                mib(slots(&mixed) as u64),
                slots(&mixed) as f64 / slots(&f32) as f64,
                mib(f32.peak_bytes()),
                mib(mixed.peak_bytes()),
                mixed.peak_bytes() as f64 / f32.peak_bytes() as f64
            );
        }
    }
}
