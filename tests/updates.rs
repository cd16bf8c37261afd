//! What makes an update besides the optimizer: accumulation, clipping, groups, an average of the weights; and how many launches they cost.

#[path = "common/need.rs"]
mod need;

use gradus::plan::Program;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use need::Suite;
use std::sync::Arc;

static SUITE: Suite = Suite::new("updates", 13);

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
        // by hand: d * average + (1 - d) * weight
        let mut average = start.as_f32().unwrap().to_vec();
        for _ in 0..3 {
            model.train_on_batch(&data).unwrap();
            plain.train_on_batch(&data).unwrap();
            let w = model.parameter("0.weight").unwrap();
            average.iter_mut().zip(w.as_f32().unwrap()).for_each(|(a, w)| *a = 0.9 * *a + 0.1 * w);
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

/// A root's slope at 0 is infinite, its value is not.
#[test]
fn a_bad_gradient_is_named_and_changes_nothing() {
    for device in SUITE.devices() {
        for accumulate in [1, 3] {
            let net = module(|s, x| {
                let y = s.at("fine").call(&Linear::new(1), x);
                &y + (x.sum_axes(&[1]).reshape([x.shape().dims()[0], 1]) * s.param("root", [1], Init::Zeros)).abs().sqrt()
            });
            let mut model = net.compile(settings(Adam::new(0.01), &device).clip_norm(1.0).ema(0.9)).unwrap();
            let before = bits(&mut model);
            let fit = || Fit::new().batch_size(10).accumulate(accumulate).verbose(0);
            let e = model.fit(&table(60), fit().detect_anomaly(true)).unwrap_err();
            assert!(matches!(&e, gradus::Error::NonFiniteGradient { cause: Some(_), .. }), "{e}");
            assert_eq!(e.code(), "non-finite-gradient", "{e}");
            assert!(e.to_string().contains("`root`") && e.to_string().contains("step 1"), "{e}");
            assert!(bits(&mut model) == before, "{device}");
            model.set_parameter("root", &HostTensor::f32([1], vec![0.5]).unwrap()).unwrap();
            model.fit(&table(60), Fit::new().batch_size(10).accumulate(accumulate).verbose(0)).unwrap();
        }
        SUITE.ran(1);
    }
}

/// The launches of a training step, by phase, and of the batches of an update before the last: the table in docs/launches.md.
#[test]
fn launches_are_those_of_the_docs() {
    let device = Device::cpu();
    let data = table(64);
    let program = |c: Compile| -> Arc<Program> { net().compile(c).unwrap().prepare(&data, 32).unwrap() };
    let launches = |c: Compile| program(c).launches.len();
    let base = launches(settings(Sgd::new(0.1), &device));
    let of = |o: Optimizer| launches(settings(o, &device)) - base;
    let group = || Group::new().lr_multiplier(0.5).weight_decay(0.1);
    let three = RmsProp::default().centered(true).momentum(0.9);
    let docs = include_str!("../docs/launches.md");
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
    for o in [Optimizer::from(Sgd::new(0.1)), Adam::default().into(), Lamb::default().into()] {
        told("`Compile::ema`", with(|c| c.ema(0.9), o));
    }
    for o in [Optimizer::from(Sgd::new(0.1)), Adam::default().into(), Lamb::default().into()] {
        told("`Compile::precision(Precision::mixed())`", with(|c| c.precision(Precision::mixed()), o.clone()));
        told("`Compile::clip_value`", with(|c| c.precision(Precision::mixed()).clip_norm(1.0), o.clone()) - with(|c| c.clip_norm(1.0), o));
    }
    told("`Compile::ema`, three moments, no `clip_norm` or `loss_scale`", with(|c| c.ema(0.9), three.clone().into()));
    told("`Compile::ema`", with(|c| c.ema(0.9).clip_norm(1.0), three.into()) - 1);
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
