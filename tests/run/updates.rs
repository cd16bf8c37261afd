//! What makes an update besides the optimizer: accumulation, clipping, groups, an average of the weights; and how many launches they cost.

use crate::common::need::Suite;
use gradus::plan::{Phase, Program};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::sync::Arc;

static SUITE: Suite = Suite::new("updates", 23);

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(747_796_405).wrapping_add(12345);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Sixteen numbers and a smooth target.
fn table(rows: usize) -> Dataset {
    let x = noise(16 * rows, 3);
    let y = x.chunks(16).map(|r| r[0] * r[1] + 0.5 * r[2] - r[3]).collect();
    Dataset::new(HostTensor::f32([rows, 16], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap()
}

fn net() -> Sequential {
    Sequential::new().add(Linear::new(24)).add(Tanh).add(Linear::new(1))
}

fn settings(optimizer: impl Into<Optimizer>, device: &Device) -> Compile {
    Compile::new(optimizer, Mse::new()).input([16]).seed(4).device(device.clone())
}

fn bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// The norm of the difference of all parameters over their norm.
fn apart(a: &[u32], b: &[u32]) -> f64 {
    let f = |w: &u32| f64::from(f32::from_bits(*w));
    let sum = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    sum(&mut a.iter().zip(b).map(|(a, b)| f(a) - f(b))) / sum(&mut a.iter().map(f))
}

#[test]
fn accumulation_is_the_large_batch() {
    for device in SUITE.devices() {
        // windows of full batches, of a ragged last one, of one ragged batch alone
        for (rows, batch, n) in [(96, 8, 4), (90, 8, 4), (100, 8, 4), (97, 8, 12), (30, 8, 9)] {
            for clip in [None, Some(0.5)] {
                let data = table(rows);
                let train = |batch: usize, n: usize, per_call: usize| {
                    let mut c = settings(Sgd::new(0.1).momentum(0.9), &device);
                    c.clip_norm = clip;
                    let mut model = net().compile(c).unwrap();
                    let mut run = model.trainer(&data, Fit::new().epochs(3).batch_size(batch).accumulate(n)).unwrap();
                    let mut reports = vec![];
                    while let Some(r) = run.steps(per_call).unwrap() {
                        reports.push(r);
                    }
                    (reports, bits(&mut model))
                };
                let (large, small) = (train(batch * n, 1, 1), train(batch, n, 1));
                let what = format!("{device}: {rows} rows by {batch} x {n}, clipped {clip:?}");
                assert_eq!(large.0.len(), small.0.len(), "{what}");
                for (a, b) in large.0.iter().zip(&small.0) {
                    assert_eq!((a.step, a.epoch, a.rows, a.epoch_ended), (b.step, b.epoch, b.rows, b.epoch_ended), "{what}");
                    let near = |a: f32, b: f32| (a - b).abs() <= 1e-5 * a.abs() + 1e-6;
                    assert!(
                        near(a.loss, b.loss) && near(a.grad_norm, b.grad_norm) && near(a.losses[0], b.losses[0]),
                        "{what}: {a:?} {b:?}"
                    );
                }
                assert!(apart(&large.1, &small.1) < 1e-5, "{what}: {}", apart(&large.1, &small.1));
                let whole = train(batch, n, usize::MAX);
                assert!(whole.1 == small.1, "{what}: calls cut the run");
                let losses = |r: &[gradus::train::StepReport]| r.iter().flat_map(|r| r.losses.clone()).collect::<Vec<_>>();
                assert_eq!(losses(&whole.0), losses(&small.0), "{what}");
            }
        }
        SUITE.ran(1);
    }
}

/// Where a loss is a mean over weights and not over rows, so is that of an update's batches.
#[test]
fn accumulation_weighs_by_what_was_counted() {
    let classes = |rows: usize| {
        let x = noise(16 * rows, 3);
        let y: Vec<u32> = x.chunks(16).map(|r| if r[0] > 0.4 { 0 } else { 1 + u32::from(r[1] > 0.0) }).collect();
        let weight: Vec<f32> = noise(rows, 9).iter().map(|w| w + 1.0).collect();
        // some batches of 8 hold nothing that counts
        let mask = (0..rows).map(|i| if (i / 8) % 3 == 1 || i % 5 == 0 { 0.0 } else { 1.0 }).collect();
        let of = |v: Vec<f32>| HostTensor::f32([rows], v).unwrap();
        [
            ("x", HostTensor::f32([rows, 16], x).unwrap()),
            ("y", HostTensor::u32([rows], y).unwrap()),
            ("weight", of(weight)),
            ("mask", of(mask)),
        ]
    };
    let scores = || Sequential::new().add(Linear::new(24)).add(Tanh).add(Linear::new(3));
    for device in SUITE.devices() {
        let c = |o: Sgd| Compile::new(o, CrossEntropy::new().class_weights([0.2, 1.0, 7.0])).metric(Accuracy::new()).input([16]).seed(4);
        let masked = || {
            let net = gradus::train::step(|s, b| {
                let y = s.at("fc").call(&Linear::new(1), &b["x"]);
                let counted = b["mask"].sum();
                let errors = (y.reshape([y.shape().dims()[0]]) - b["weight"].clone()).square() * &b["mask"];
                gradus::train::StepOut::new(errors.sum() / counted.maximum(&counted.number(1.0))).weight(&counted).output("y", &y)
            });
            net.compile(Compile::step(Sgd::new(0.05)).input([16]).seed(4).device(device.clone())).unwrap()
        };
        let sgd = || Sgd::new(0.1).momentum(0.9);
        // class weights; with sample weights; sample weights alone; a mask in a step of one's own; many metrics, which share a buffer
        for (kind, rows) in [(0, 96), (1, 100), (2, 96), (3, 100), (4, 97)] {
            let all = classes(rows);
            let pick = |names: &[&str]| {
                Dataset::from_fields(all.iter().filter(|f| names.contains(&f.0)).map(|f| (f.0, f.1.clone())).collect::<Vec<_>>()).unwrap()
            };
            let (data, plain) = (pick(&["x", "y", "weight"]), pick(&["x", "y"]));
            let train = |batch: usize, n: usize, clip: Option<f64>| {
                let compiled = |mut c: Compile| {
                    c.clip_norm = clip;
                    scores().compile(c.device(device.clone())).unwrap()
                };
                let (mut model, data) = match kind {
                    0 => (compiled(c(sgd())), &plain),
                    1 => (compiled(c(sgd())), &data),
                    2 => (compiled(Compile::new(sgd(), CrossEntropy::new()).input([16]).seed(4)), &data),
                    3 => (masked(), &pick(&["x", "weight", "mask"])),
                    _ => {
                        let top = |k| gradus::nn::TopKAccuracy::new(k);
                        let c = c(sgd()).metric(top(1)).metric(top(2)).metric(top(3)).metric(gradus::nn::ConfusionMatrix::new(3));
                        (compiled(c), &plain)
                    }
                };
                let fit = Fit::new().epochs(2).batch_size(batch).accumulate(n).diagnostics(gradus::train::Diagnostics::per_layer(2));
                let mut run = model.trainer(data, fit.shuffle(kind != 3)).unwrap();
                let mut losses = vec![];
                while let Some(r) = run.steps(2).unwrap() {
                    losses.extend(r.losses);
                }
                let mean = run.history().last("loss").unwrap();
                (losses, mean, bits(&mut model))
            };
            for clip in [None, Some(0.5)] {
                let (large, small) = (train(32, 1, clip), train(8, 4, clip));
                let what = format!("{device}, {kind}, {rows} rows, clipped {clip:?}");
                let near = |a: f64, b: f64| (a - b).abs() <= 2e-5 * a.abs() + 1e-6;
                assert_eq!(large.0.len(), small.0.len(), "{what}");
                assert!(large.0.iter().zip(&small.0).all(|(a, b)| near((*a).into(), (*b).into())), "{what}: {:?} {:?}", large.0, small.0);
                assert!(near(large.1, small.1), "{what}: {} {}", large.1, small.1);
                assert!(apart(&large.2, &small.2) < 1e-5, "{what}: {}", apart(&large.2, &small.2));
            }
        }
        SUITE.ran(1);
    }
}

/// Where submits are cut changes no bit, nor that the rows come in blocks.
#[test]
fn accumulation_has_the_same_bits_however_it_is_fed() {
    for device in SUITE.devices() {
        let run = |data: &Dataset, submit: usize| {
            let mut model = net().compile(settings(Adam::new(0.01), &device).ema(0.9).clip_norm(1.0)).unwrap();
            let fit = Fit::new().epochs(2).batch_size(4).accumulate(5).steps_per_submit(submit).verbose(0);
            let history = model.fit(data, fit).unwrap();
            (bits(&mut model), format!("{:?}", history.get("loss")))
        };
        let data = table(203);
        let whole = run(&data, 0);
        assert!(run(&data, 1) == whole && run(&data, 3) == whole, "{device}");
        // blocks of three batches: an update spans several
        let blocks = data.clone().memory_budget(4 * (4 * 17 + 24) * 12);
        assert!(run(&blocks, 0) == whole, "{device}");
        SUITE.ran(1);
    }
}

#[test]
fn accumulation_moves_the_schedule_by_updates() {
    let mut model = net().compile(settings(Sgd::new(0.1), &Device::cpu())).unwrap();
    let data = table(100);
    let mut run = model.trainer(&data, Fit::new().batch_size(10).accumulate(4)).unwrap();
    assert_eq!(run.steps_per_epoch(), 3);
    let r = run.steps(2).unwrap().unwrap();
    assert_eq!((r.step, r.rows, r.losses.len(), r.epoch_ended), (2, 80, 2, false));
    let r = run.steps(2).unwrap().unwrap();
    assert_eq!((r.step, r.rows, r.losses.len(), r.epoch_ended), (3, 20, 1, true));
    let e = model.trainer(&data, Fit::new().accumulate(0)).unwrap_err();
    assert!(e.to_string().contains("fit.accumulate"), "{e}");
    SUITE.ran(1);
}

/// Program (d) of the API: a frozen trunk, biases without decay, rates of their own.
#[test]
fn groups_hold_what_they_say() {
    for device in SUITE.devices() {
        let optimizer = AdamW::new(0.01)
            .weight_decay(0.5)
            .group("0.*", Group::new().frozen())
            .group("*.bias", Group::new().weight_decay(0.0))
            .group("2.*", Group::new().lr_multiplier(0.0));
        let mut model = net().compile(settings(optimizer, &device)).unwrap();
        let bias = HostTensor::f32([1], vec![0.75]).unwrap();
        model.set_parameter("2.bias", &bias).unwrap();
        let before: Vec<_> = ["0.weight", "0.bias", "2.weight"].map(|n| model.parameter(n).unwrap()).into();
        model.fit(&table(64), Fit::new().epochs(2).verbose(0)).unwrap();
        for (name, before) in ["0.weight", "0.bias", "2.weight"].into_iter().zip(before) {
            assert_eq!(model.parameter(name).unwrap(), before, "{device}: {name}");
        }
        assert_ne!(model.parameter("2.bias").unwrap(), bias, "{device}");
        SUITE.ran(1);
    }
    let e = settings(AdamW::new(0.01).group("*", Group::new().lr_multiplier(-1.0).l1(0.1)), &Device::cpu());
    let e = net().compile(e).unwrap_err().to_string();
    assert!(e.contains("optimizer.groups[0].lr_multiplier") && e.contains("optimizer.groups[0].l1"), "{e}");
}

#[test]
fn the_average_takes_the_weights_place() {
    for device in SUITE.devices() {
        let compiled = |c: Compile| net().compile(c).unwrap();
        let mut model = compiled(settings(Adam::new(0.05), &device).ema(0.9));
        let mut plain = compiled(settings(Adam::new(0.05), &device));
        let data = table(64);
        let start = model.parameter("0.weight").unwrap();
        assert_eq!(model.ema_parameter("0.weight").unwrap(), start, "it begins as the weights");
        // by hand: a copy, then d * average + (1 - d) * weight
        let mut average = vec![];
        for step in 0..3 {
            model.train_on_batch(&data).unwrap();
            plain.train_on_batch(&data).unwrap();
            let w = model.parameter("0.weight").unwrap();
            if step == 0 {
                assert_eq!(model.ema_parameter("0.weight").unwrap(), w, "the first update begins it");
                average = w.as_f32().unwrap().to_vec();
            } else {
                average.iter_mut().zip(w.as_f32().unwrap()).for_each(|(a, w)| *a = 0.9 * *a + 0.1 * w);
            }
        }
        assert!(bits(&mut model) == bits(&mut plain), "an average changes no weight");
        let got = model.ema_parameter("0.weight").unwrap();
        got.as_f32().unwrap().iter().zip(&average).for_each(|(g, a)| assert!((g - a).abs() <= 1e-6, "{g} for {a}"));

        let (weights, loss) = (bits(&mut model), model.evaluate(&data, 64).unwrap()["loss"]);
        model.swap_ema().unwrap();
        assert!(model.ema_is_swapped() && model.parameter("0.weight").unwrap() == got);
        assert_eq!(model.ema_parameter("0.weight").unwrap(), got);
        assert_ne!(model.evaluate(&data, 64).unwrap()["loss"], loss);
        for e in [model.train_on_batch(&data).map(drop), model.fit(&data, Fit::new().verbose(0)).map(drop)] {
            let e = e.unwrap_err();
            assert!(e.code() == "unsupported" && e.to_string().contains("swap_ema"), "{e}");
        }
        // a file keeps both and which is where
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        model.save(&path).unwrap();
        let mut again = Model::load_on(&path, device.clone()).unwrap();
        assert!(again.ema_is_swapped());
        for m in [&mut model, &mut again] {
            m.swap_ema().unwrap();
            assert!(bits(m) == weights && m.ema_parameter("0.weight").unwrap() == got);
            m.train_on_batch(&data).unwrap();
        }
        assert!(bits(&mut model) == bits(&mut again));
        assert_eq!(model.ema_parameter("0.weight").unwrap(), again.ema_parameter("0.weight").unwrap());
        assert_eq!(plain.swap_ema().unwrap_err().code(), "unsupported");
        SUITE.ran(1);
    }
}

fn optimizers() -> Vec<Optimizer> {
    vec![
        Sgd::new(0.01).into(),
        Sgd::new(0.01).momentum(0.9).weight_decay(0.1).into(),
        Adam::new(0.01).into(),
        AdamW::new(0.01).amsgrad(true).into(),
        RmsProp::new(0.01).centered(true).momentum(0.9).into(),
        Adagrad::new(0.01).into(),
        Lion::new(0.01).into(),
        Lamb::new(0.01).into(),
    ]
}

/// A root's slope at 0 is infinite, its value is not: no parameter, moment or average moves, whatever the optimizer.
#[test]
fn a_bad_gradient_is_named_and_changes_nothing() {
    for device in SUITE.devices() {
        for (i, optimizer) in optimizers().into_iter().enumerate() {
            let (accumulate, clip) = ([1, 3][i % 2], [None, Some(1.0)][i / 2 % 2]);
            let what = format!("{device}, {optimizer:?}, {accumulate} batches, clipped {clip:?}");
            let compiled = || {
                let net = module(|s, x| {
                    let y = s.at("fine").call(&Linear::new(1), x);
                    &y + (x.sum_axes(&[1]).reshape([x.shape().dims()[0], 1]) * s.param("root", [1], Init::Zeros)).abs().sqrt()
                });
                let mut c = settings(optimizer.clone(), &device).ema(0.9);
                c.clip_norm = clip;
                net.compile(c).unwrap()
            };
            let fit = || Fit::new().batch_size(10).accumulate(accumulate).shuffle(false).verbose(0);
            let root = |m: &mut Model, x: f32| m.set_parameter("root", &HostTensor::f32([1], vec![x]).unwrap()).unwrap();
            let all = |m: &mut Model| {
                let averages = ["fine.weight", "fine.bias", "root"].map(|n| m.ema_parameter(n).unwrap());
                (bits(m), format!("{averages:?}"))
            };
            let mut models = [compiled(), compiled()];
            for m in &mut models {
                root(m, 0.5);
                m.fit(&table(60), fit()).unwrap();
                root(m, 0.0);
            }
            let [model, twin] = &mut models;
            let (before, steps) = (all(model), 60 / 10 / accumulate as u64);
            let e = model.fit(&table(60), fit().detect_anomaly(true)).unwrap_err();
            let gradus::Error::NonFiniteGradient { parameters, largest: None, cause: Some(_), step, .. } = &e else {
                panic!("{what}: {e}")
            };
            assert_eq!((e.code(), *step, &parameters[..]), ("non-finite-gradient", steps + 1, &["root".to_string()][..]), "{what}: {e}");
            assert!(e.to_string().contains("the gradient of `root`"), "{what}: {e}");
            assert!(all(model) == before, "{what}");
            // nor has anything else moved: it goes on as one that never halted
            for m in [&mut *model, &mut *twin] {
                root(m, 0.5);
                m.fit(&table(60), fit()).unwrap();
            }
            assert!(all(model) == all(twin), "{what}: not as one that never halted");
        }
        SUITE.ran(1);
    }
}

/// What the loss does not depend on is no part of the training: no decay, no moment, no average, as PyTorch has it. It is a parameter all the same.
#[test]
fn what_the_loss_leaves_out_stays() {
    for device in SUITE.devices() {
        let decayed: Vec<Optimizer> = vec![
            Sgd::new(0.1).weight_decay(0.5).into(),
            Sgd::new(0.1).weight_decay(0.5).momentum(0.9).into(),
            Sgd::new(0.1).l1(0.5).into(),
            Adam::new(0.1).weight_decay(0.5).into(),
            AdamW::new(0.1).weight_decay(0.5).group("*.bias", Group::new().weight_decay(0.1)).into(),
            RmsProp::new(0.1).weight_decay(0.5).into(),
            Adagrad::new(0.1).weight_decay(0.5).into(),
            Lion::new(0.1).weight_decay(0.5).into(),
            Lamb::new(0.1).weight_decay(0.5).into(),
        ];
        for (i, optimizer) in decayed.into_iter().enumerate() {
            // beside each other and between others, within a block and over several
            let compiled = |more: bool| {
                let net = gradus::train::step(move |s, b| {
                    if more {
                        let _ = (s.param("first", [3], Init::Ones), s.param("second", [1000], Init::Ones));
                    }
                    let h = s.at("in").call(&Linear::new(24), &b["x"]).tanh();
                    if more {
                        let _ = s.at("aside").call(&Linear::new(5), &h);
                    }
                    let y = s.at("out").call(&Linear::new(1), &h);
                    gradus::train::StepOut::new((&y - &b["y"]).square().mean()).output("y", &y)
                });
                net.compile(Compile::step(optimizer.clone()).input([16]).seed(4).ema(0.9).device(device.clone())).unwrap()
            };
            let (mut model, mut plain) = (compiled(true), compiled(false));
            let out: Vec<String> = model.parameter_names().map(String::from).collect();
            assert_eq!(out.len(), 8, "{out:?}");
            for name in ["in.weight", "in.bias", "out.weight", "out.bias"] {
                // draws are named by path: the same weights
                assert_eq!(model.parameter(name).unwrap(), plain.parameter(name).unwrap());
            }
            let before: Vec<_> = out.iter().map(|n| model.parameter(n).unwrap()).collect();
            let fit = || Fit::new().batch_size(16).epochs(2).accumulate(1 + i % 2).verbose(0);
            for m in [&mut model, &mut plain] {
                m.fit(&table(64), fit()).unwrap();
            }
            for (name, before) in out.iter().zip(before) {
                let (now, average, what) =
                    (model.parameter(name).unwrap(), model.ema_parameter(name).unwrap(), format!("{device}, {optimizer:?}: {name}"));
                if plain.parameter_names().any(|n| n == name) {
                    assert!(now != before && now == plain.parameter(name).unwrap(), "{what}");
                    assert_eq!(average, plain.ema_parameter(name).unwrap(), "{what}");
                } else {
                    assert!(now == before && average == before, "{what}");
                }
            }
        }
        SUITE.ran(1);
    }
}

/// Each of a hundred gradients is a number, their squares are not.
#[test]
fn a_norm_beyond_f32_is_told_as_such() {
    for device in SUITE.devices() {
        for clip in [None, Some(1.0)] {
            let net = module(|s, x| (x * s.param("small", [100], Init::Ones) * 0.5 + x * s.param("big", [100], Init::Ones)).sum_axes(&[1]));
            let loss = loss::custom("sum", |y, _| y.sum());
            let mut c = Compile::new(Sgd::new(0.1), loss).input([100]).device(device.clone());
            c.clip_norm = clip;
            let mut model = net.compile(c).unwrap();
            let data = Dataset::new(HostTensor::f32([1, 100], vec![1e20; 100]).unwrap(), HostTensor::f32([1], vec![0.0]).unwrap()).unwrap();
            let before = bits(&mut model);
            let e = model.fit(&data, Fit::new().detect_anomaly(true).verbose(0)).unwrap_err();
            let text = e.to_string();
            assert!(matches!(&e, gradus::Error::NonFiniteGradient { largest: Some(g), .. } if *g == 1e20), "{e}");
            assert!(text.contains("beyond f32") && text.contains("1e20") && text.contains("`big`") && !text.contains("not finite"), "{e}");
            assert!(bits(&mut model) == before, "{device}");
        }
        SUITE.ran(1);
    }
}

/// What is no rate, at whatever update a closure gives it, stops the run before that update, and before nothing else.
#[test]
fn a_rate_that_is_none_is_an_error() {
    let data = table(80);
    for device in SUITE.devices() {
        for bad in [f64::NAN, f64::INFINITY, 1e300, -0.1] {
            let run = |submit: usize, accumulate: usize| {
                let rate = Schedule::custom("late", move |u| if u == 3 { bad } else { 0.01 });
                let mut model = net().compile(settings(Adam::new(rate), &device)).unwrap();
                let fit = Fit::new().batch_size(8).accumulate(accumulate).steps_per_submit(submit).verbose(0);
                let e = model.fit(&data, fit).unwrap_err();
                assert_eq!(e.code(), "invalid-config", "{e}");
                let text = e.to_string();
                assert!(text.contains("optimizer.lr") && text.contains("update 3") && text.contains(&bad.to_string()), "{text}");
                bits(&mut model)
            };
            let mut three = net().compile(settings(Adam::new(0.01), &device)).unwrap();
            three.trainer(&data, Fit::new().batch_size(8)).unwrap().steps(3).unwrap();
            let three = bits(&mut three);
            assert!([0, 1, 2, 16].iter().all(|&submit| run(submit, 1) == three), "{device}: not the three updates before it");
            assert!(run(0, 2) == run(1, 2) && run(0, 2) != three, "{device}");
            // by hand
            let rate = Schedule::custom("late", move |u| if u == 1 { bad } else { 0.01 });
            let mut model = net().compile(settings(Sgd::new(rate), &device)).unwrap();
            model.train_on_batch(&data).unwrap();
            let before = bits(&mut model);
            assert!(model.train_on_batch(&data).unwrap_err().to_string().contains("update 1"));
            assert!(bits(&mut model) == before);
        }
        // each is a number, together they are not
        let optimizer = AdamW::new(1e20).weight_decay(1e30);
        let e = net().compile(settings(optimizer, &device)).unwrap().fit(&data, Fit::new().verbose(0)).unwrap_err();
        assert!(e.to_string().contains("beyond f32") && e.to_string().contains("update 0"), "{e}");
        SUITE.ran(1);
    }
}

/// f64 holds them, the device does not.
#[test]
fn settings_that_f32_does_not_hold_are_errors() {
    let refused = |c: Compile, key: &str| {
        let e = net().compile(c).unwrap_err();
        assert!(e.code() == "invalid-config" && e.to_string().contains(key), "{key}: {e}");
    };
    let cpu = Device::cpu();
    for x in [1e39, 1e300, f64::INFINITY, f64::NAN, -1.0] {
        let with = |o: Optimizer| settings(o, &cpu);
        refused(with(Sgd::new(x).into()), "optimizer.lr");
        refused(with(Sgd::new(Schedule::cosine(x, 10)).into()), "optimizer.lr");
        refused(with(Sgd::new(0.1).weight_decay(x).into()), "optimizer.weight_decay");
        refused(with(Sgd::new(0.1).l1(x).into()), "optimizer.l1");
        refused(with(Sgd::new(0.1).momentum(x).into()), "optimizer.momentum");
        refused(with(Adam::new(0.1).eps(x).into()), "optimizer.eps");
        refused(with(Lamb::new(0.1).eps(x).into()), "optimizer.eps");
        refused(with(Sgd::new(0.1).group("*", Group::new().lr_multiplier(x)).into()), "lr_multiplier");
        refused(with(Sgd::new(0.1).group("*", Group::new().weight_decay(x)).into()), "weight_decay");
        refused(settings(Sgd::new(0.1), &cpu).clip_norm(x), "compile.clip_norm");
        refused(settings(Sgd::new(0.1), &cpu).clip_value(x), "compile.clip_value");
        refused(settings(Sgd::new(0.1), &cpu).penalty("*", gradus::nn::Penalty::l2(x)), "compile.penalties[0].l2");
        let mut model = net().compile(settings(Sgd::new(0.1), &cpu)).unwrap();
        let late = gradus::train::callbacks::LearningRateScheduler::new("late", move |epoch, lr| if epoch == 1 { x } else { lr });
        let e = model.fit(&table(8), Fit::new().epochs(3).callback(late).verbose(0)).unwrap_err();
        assert!(e.code() == "invalid-config" && e.to_string().contains("learning_rate"), "{e}");
        let data = table(8);
        assert!(model.trainer(&data, Fit::new()).unwrap().set_learning_rate(x as f32).is_err());
    }
    refused(settings(Lamb::new(0.1).eps(1e-60), &cpu), "optimizer.eps");
    refused(settings(Sgd::new(0.1), &cpu).clip_norm(1e-60), "compile.clip_norm");
    SUITE.ran(1);
}

/// The launches of a training step, by phase, and of the batches of an update before the last: the table in docs/launches.md.
#[test]
fn launches_are_those_of_the_docs() {
    let device = Device::cpu();
    let data = table(64);
    let program = |c: Compile| -> Arc<Program> { net().compile(c).unwrap().prepare(&data, 32).unwrap() };
    let launches = |c: Compile| program(c).launches.len();
    let base = launches(settings(Sgd::new(0.1), &device));
    let update = program(settings(Sgd::new(0.1), &device));
    let ends = [Phase::Finish, Phase::Update].map(|p| update.phase(p).len());
    assert_eq!(ends, [1, 1], "the norm of all gradients, then the update");
    let of = |o: Optimizer| launches(settings(o, &device)) - base;
    let group = || Group::new().lr_multiplier(0.5).weight_decay(0.1);
    let three = RmsProp::default().centered(true).momentum(0.9);
    let docs = include_str!("../../docs/launches.md");
    let told = |row: &str, launches: usize| {
        let line = docs.lines().find(|l| l.starts_with(&format!("| {row} |"))).unwrap_or_else(|| panic!("the docs lack `{row}`"));
        assert!(line.contains(&format!("| + {launches} |")), "{row}: {launches}, and the docs say {line}");
    };
    for o in [
        Sgd::new(0.1).momentum(0.9).into(),
        Adam::default().into(),
        AdamW::default().into(),
        three.clone().into(),
        Adagrad::default().into(),
        Lion::default().into(),
    ] {
        told("Sgd, Adam, AdamW, RmsProp, Adagrad, Lion", of(o));
    }
    told("Lamb", of(Lamb::default().into()));
    told("groups", of(Adam::default().group("0.*", group()).group("*.bias", group()).into()));
    told("groups", of(Lamb::default().group("*.bias", group()).into()) - 2);
    let with = |c: fn(Compile) -> Compile, o: Optimizer| launches(c(settings(o.clone(), &device))) - launches(settings(o, &device));
    for o in [Optimizer::from(Sgd::new(0.1)), Adam::default().into(), Lamb::default().into(), three.clone().into()] {
        told("`Compile::clip_norm`", with(|c| c.clip_norm(1.0), o.clone()));
        told("`Compile::clip_value`", with(|c| c.clip_value(1.0), o));
    }
    for o in [Optimizer::from(Sgd::new(0.1)), Adam::default().into(), Lamb::default().into(), three.clone().into()] {
        told("`Compile::ema`", with(|c| c.ema(0.9), o.clone()));
        told("`Compile::loss_scale`", with(|c| c.loss_scale(gradus::optim::LossScale::fixed(1024.0)), o));
    }
    for o in [Optimizer::from(Sgd::new(0.1)), Adam::default().into(), Lamb::default().into()] {
        told("`Compile::precision(Precision::mixed())`", with(|c| c.precision(Precision::mixed()), o.clone()));
        told("`Compile::clip_value`", with(|c| c.precision(Precision::mixed()).clip_norm(1.0), o.clone()) - with(|c| c.clip_norm(1.0), o));
    }
    SUITE.ran(1);
}

/// No buffer is read back for it: the log of a submit is all that comes.
#[test]
fn no_read_back_per_step() {
    let Some(device) = SUITE.devices().into_iter().find(|d| d.gpu().is_some()) else { return SUITE.skipped(1, "no adapter") };
    let c = settings(Lamb::default().group("*.bias", Group::new().weight_decay(0.0)), &device).clip_norm(1.0).ema(0.9);
    let mut model = net().compile(c).unwrap();
    let data = table(640);
    let mut run = model.trainer(&data, Fit::new().batch_size(8).accumulate(4).steps_per_submit(8).snapshot_every(0.0)).unwrap();
    run.steps(2).unwrap();
    let before = run.model().traffic();
    run.steps(16).unwrap();
    let after = run.model().traffic();
    assert_eq!((after.steps - before.steps, after.reads - before.reads), (64, 0));
    assert!(after.submits - before.submits <= 3, "{after:?}");
    SUITE.ran(1);
}

/// The last update of this epoch has one batch: its line has no weight, and is narrower than those of the updates before it. Three classes or
/// four: lines of metrics come in steps of four words.
#[test]
fn an_update_of_one_batch_has_a_line_of_its_own() {
    let devices = SUITE.devices();
    for classes in 2..=5usize {
        let labels = HostTensor::u32([10], (0..10).map(|i| (i * 7 % classes) as u32).collect()).unwrap();
        let data = Dataset::new(HostTensor::f32([10, 16], noise(160, 5)).unwrap(), labels).unwrap();
        let histories: Vec<History> = devices
            .iter()
            .map(|device| {
                let loss = CrossEntropy::new().class_weights((1..=classes).map(|c| c as f64));
                let settings = Compile::new(Adam::new(0.02), loss).input([16]).seed(4).device(device.clone());
                let settings = settings.metric(gradus::nn::F1::new().average(gradus::nn::Average::Macro)).metric(Accuracy::new());
                let mut model = Sequential::new().add(Linear::new(classes)).compile(settings).unwrap();
                model.fit(&data, Fit::new().epochs(3).batch_size(3).accumulate(3).verbose(0)).unwrap()
            })
            .collect();
        for h in &histories {
            for name in ["loss", "f1", "accuracy"] {
                let off = h[name].iter().zip(&histories[0][name]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(h[name].len() == 3 && off < 1e-5, "{classes} classes, {name}: {:?} for {:?}", &h[name], &histories[0][name]);
            }
        }
    }
    SUITE.ran(1);
}
