//! The loss scale: what is skipped and what is not, how the scale moves, that it moves alike however a run is cut; and that in f32 it
//! changes no bit.

use crate::common::need::Suite;
use gradus::nn::{LayerNorm, Loss};
use gradus::optim::{DynamicLossScale, LossScale};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::collections::BTreeMap;

static SUITE: Suite = Suite::new("loss_scale", 32);

const WIDTH: usize = 6;

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(747_796_405).wrapping_add(12345);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Rows in their order; those of the bad batches carry a weight that no loss survives.
fn table(rows: usize, batch: usize, bad: &[usize]) -> Dataset {
    heavy(rows, batch, bad, 1.0)
}

/// The same with this weight for good rows.
fn heavy(rows: usize, batch: usize, bad: &[usize], good: f32) -> Dataset {
    let x = noise(WIDTH * rows, 3);
    let y: Vec<f32> = x.chunks(WIDTH).map(|r| r[0] * r[1] + 0.5 * r[2] - r[3]).collect();
    let weight = (0..rows).map(|r| if bad.contains(&(r / batch)) { f32::INFINITY } else { good }).collect();
    Dataset::from_fields(vec![
        ("x".to_string(), HostTensor::f32([rows, WIDTH], x).unwrap()),
        ("y".to_string(), HostTensor::f32([rows, 1], y).unwrap()),
        ("weight".to_string(), HostTensor::f32([rows, 1], weight).unwrap()),
    ])
    .unwrap()
}

/// A network with running statistics, whose loss weighs each row.
fn weighed(compile: Compile) -> Model {
    let net = |s: &Scope, batch: &gradus::train::Batch| {
        let h = s.at("fc1").call(&Linear::new(12).bias(false), &batch["x"]);
        let h = s.at("norm").call(&BatchNorm1d::new(), &h).tanh();
        let y = s.at("fc2").call(&Linear::new(1), &h);
        let loss = ((&y - &batch["y"]).square() * &batch["weight"]).mean();
        gradus::train::StepOut::new(loss).output("y", &y)
    };
    gradus::train::step(net).compile(compile).unwrap()
}

fn settings(optimizer: impl Into<Optimizer>, device: &Device) -> Compile {
    Compile::step(optimizer).input([WIDTH]).seed(4).device(device.clone())
}

fn small() -> DynamicLossScale {
    LossScale::dynamic().init_scale(1024.0).growth_interval(3)
}

/// All that a step may change: parameters, buffers, moments, the average.
fn everything(model: &mut Model) -> BTreeMap<String, Vec<u32>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    model.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let words = |data: &[u8]| data.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    file.tensors().into_iter().map(|(n, t)| (n, words(t.data()))).collect()
}

/// Exactly the bad steps are skipped, and change nothing; the scale halves there, and doubles after three good ones.
#[test]
fn a_bad_step_changes_nothing() {
    let bad = [2usize, 3, 8];
    for device in SUITE.devices() {
        for (what, c) in [
            ("adam", settings(Adam::new(0.01), &device).ema(0.9)),
            ("clipped", settings(Sgd::new(0.05).momentum(0.9), &device).clip_norm(0.5)),
            ("by value", settings(RmsProp::new(0.01), &device).clip_value(0.1)),
            ("lamb", settings(Lamb::new(0.01), &device).ema(0.5)),
        ] {
            let data = table(4 * 16, 4, &bad);
            let mut model = weighed(c.loss_scale(small()));
            let mut run = model.trainer(&data, Fit::new().batch_size(4).shuffle(false)).unwrap();
            let (mut scale, mut good, mut applied) = (1024.0, 0, 0);
            for step in 0..16 {
                let before = everything(run.model());
                let r = run.steps(1).unwrap().unwrap();
                let after = everything(run.model());
                if bad.contains(&step) {
                    assert_eq!((before == after, &r.skipped[..]), (true, &[0][..]), "{device}, {what}, step {step}");
                    assert!(!r.loss.is_finite() && !r.losses[0].is_finite());
                    (scale, good) = (scale / 2.0, 0);
                } else {
                    assert!(r.skipped.is_empty() && r.loss.is_finite() && r.grad_norm.is_finite(), "{device}, {what}, step {step}: {r:?}");
                    let still = before.iter().filter(|(n, w)| after[*n] == **w).map(|(n, _)| n);
                    assert_eq!(still.collect::<Vec<_>>(), [""; 0], "{device}, {what}, step {step}");
                    (good, applied) = (good + 1, applied + 1);
                    if good == 3 {
                        (scale, good) = (2.0 * scale, 0);
                    }
                }
                let now = run.model().loss_scale().unwrap();
                assert_eq!((now.scale, now.growth_tracker, r.loss_scale), (scale, good, Some(scale)), "{device}, {what}, step {step}");
                assert_eq!(r.step, applied, "{device}, {what}");
            }
            let h = run.history();
            assert_eq!((h.get("skipped"), h.get("loss_scale"), h.skipped()), (&[3.0][..], &[f64::from(scale)][..], &[3, 4, 9][..]));
            // the bad losses are no part of the epoch's mean
            assert!(h.last("loss").unwrap().is_finite());
        }
        SUITE.ran(1);
    }
}

/// The loss of a batch that weighs nothing is no part of its update's, be it NaN.
#[test]
fn what_weighs_nothing_is_not_told() {
    for device in SUITE.devices() {
        let net = |s: &Scope, batch: &gradus::train::Batch| {
            let y = s.at("fc").call(&Linear::new(1), &batch["x"]);
            let counted = batch["weight"].sum();
            // 0 / 0 where nothing counts
            let loss = ((&y - &batch["y"]).square() * &batch["weight"]).sum() / &counted;
            gradus::train::StepOut::new(loss).weight(&counted).output("y", &y)
        };
        let rows = 16;
        let x = noise(WIDTH * rows, 3);
        let weight = (0..rows).map(|r| if (4..8).contains(&r) { 0.0 } else { 1.0 + r as f32 / 8.0 }).collect();
        let data = Dataset::from_fields([
            ("y", HostTensor::f32([rows, 1], x.iter().step_by(WIDTH).map(|x| x * x).collect()).unwrap()),
            ("x", HostTensor::f32([rows, WIDTH], x).unwrap()),
            ("weight", HostTensor::f32([rows, 1], weight).unwrap()),
        ]);
        let data = data.unwrap();
        let told = |accumulate: usize| {
            let mut model = gradus::train::step(net).compile(settings(Sgd::new(0.1), &device).loss_scale(small())).unwrap();
            let fit = Fit::new().batch_size(4).accumulate(accumulate).shuffle(false);
            model.trainer(&data, fit).unwrap().steps(1).unwrap().unwrap()
        };
        let (alone, both) = (told(1), told(2));
        assert_eq!((both.rows, &both.skipped[..]), (8, &[0][..]), "{device}");
        let (alone, both) = (alone.losses[0], both.losses[0]);
        assert!(alone > 0.0 && both == alone, "{device}: {both} and {alone}");
        SUITE.ran(1);
    }
}

/// A skipped step leaves no trace: the run has the bits of one over the good rows alone.
#[test]
fn the_good_steps_are_as_without_the_bad_ones() {
    let (bad, batches) = ([0usize, 5, 6, 11], 12usize);
    for device in SUITE.devices() {
        let train = |data: &Dataset, scale: Option<LossScale>| {
            let mut c = settings(Adam::new(Schedule::cosine(0.05, 8)), &device).ema(0.9).clip_norm(1.0);
            c.loss_scale = scale;
            let mut model = weighed(c);
            model.fit(data, Fit::new().batch_size(4).shuffle(false).verbose(0)).unwrap();
            everything(&mut model)
        };
        let all = table(4 * batches, 4, &bad);
        let rows = |b: usize| (4 * b..4 * b + 4).collect::<Vec<_>>();
        let good: Vec<usize> = (0..batches).filter(|b| !bad.contains(b)).flat_map(rows).collect();
        let pick = |name: usize, width: usize| -> Vec<f32> {
            let words = [noise(WIDTH * 4 * batches, 3)];
            let x = &words[0];
            match name {
                0 => good.iter().flat_map(|r| x[r * WIDTH..][..WIDTH].to_vec()).collect(),
                1 => good.iter().map(|r| &x[r * WIDTH..][..WIDTH]).map(|r| r[0] * r[1] + 0.5 * r[2] - r[3]).collect(),
                _ => vec![1.0; good.len() * width],
            }
        };
        let field = |i: usize, name: &str, w: usize| (name.to_string(), HostTensor::f32([good.len(), w], pick(i, w)).unwrap());
        let only = Dataset::from_fields(vec![field(0, "x", WIDTH), field(1, "y", 1), field(2, "weight", 1)]).unwrap();
        let (scaled, plain) = (train(&all, Some(small().into())), train(&only, None));
        assert_eq!(scaled, plain, "{device}");
        assert_eq!(train(&all, Some(LossScale::fixed(4096.0))), plain, "{device}, fixed");
        SUITE.ran(1);
    }
}

/// In f32 a power of two is divided out again to the bit: parameters, gradients, norms, however the loss is made.
#[test]
fn in_f32_no_bit_changes() {
    for device in SUITE.devices() {
        let x = noise(8 * 40, 5);
        let real: Vec<f32> = x.chunks(8).map(|r| r[0] - r[1] * r[2]).collect();
        let class: Vec<u32> = x.chunks(8).map(|r| u32::from(r[0] > 0.0) + u32::from(r[1] > r[2])).collect();
        let rows = || HostTensor::f32([40, 8], x.clone()).unwrap();
        let real = Dataset::new(rows(), HostTensor::f32([40, 1], real).unwrap()).unwrap();
        let class = Dataset::new(rows(), HostTensor::u32([40], class).unwrap()).unwrap();
        let net = |out: usize| {
            Sequential::new().add(Linear::new(16)).add(Gelu).add(Dropout::new(0.2)).add(LayerNorm::new()).add(Linear::new(out))
        };
        let custom = || loss::custom("weighed", |y, t| (0.3 * (y - t).square().mean() + (y - t).abs().mean() * 0.7) * 0.35);
        let cases: [(&str, &Dataset, usize, Loss); 5] = [
            ("cross-entropy", &class, 3, CrossEntropy::new().into()),
            ("smoothed", &class, 3, CrossEntropy::new().label_smoothing(0.1).into()),
            ("mse", &real, 1, Mse::new().into()),
            ("huber", &real, 1, gradus::nn::Huber::new().into()),
            ("custom", &real, 1, custom()),
        ];
        for (what, data, out, loss) in cases {
            for clip in [None, Some(0.3)] {
                let train = |scale: Option<LossScale>| {
                    let mut c = Compile::new(Sgd::new(0.1).momentum(0.9), loss.clone()).input([8]).seed(2).device(device.clone());
                    (c.loss_scale, c.clip_norm) = (scale, clip);
                    let mut model = net(out).compile(c).unwrap();
                    let mut run = model.trainer(data, Fit::new().epochs(3).batch_size(16)).unwrap();
                    let mut seen = vec![];
                    while let Some(r) = run.steps(1).unwrap() {
                        seen.push((r.loss.to_bits(), r.grad_norm.to_bits()));
                        assert!(r.skipped.is_empty());
                    }
                    let bits = |t: HostTensor| t.as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    let names: Vec<String> = model.parameter_names().map(String::from).collect();
                    let all = names.iter().map(|n| (bits(model.parameter(n).unwrap()), bits(model.gradient(n).unwrap())));
                    (seen, all.collect::<Vec<_>>())
                };
                let mut plain = train(None);
                for scale in [LossScale::fixed(1.0), LossScale::fixed(2f64.powi(20)), LossScale::fixed(2f64.powi(-10)), small().into()] {
                    let scaled = train(Some(scale));
                    // without clipping the optimizer adds up the norm for the log, and in another order
                    if clip.is_none() {
                        plain.0.iter_mut().zip(&scaled.0).for_each(|(p, s)| {
                            let (a, b) = (f32::from_bits(p.1), f32::from_bits(s.1));
                            assert!((a - b).abs() <= 1e-6 * a, "{device}, {what}: {a} {b}");
                            p.1 = s.1;
                        });
                    }
                    assert!(scaled == plain, "{device}, {what}, clipped {clip:?}, {scale:?}");
                }
            }
        }
        SUITE.ran(1);
    }
}

/// PyTorch's GradScaler, step by step.
#[test]
fn as_pytorch_moves_it() {
    let golden: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/loss_scale.json")).unwrap())
            .unwrap();
    let number = |v: &serde_json::Value| v.as_f64().or_else(|| v.as_str()?.parse().ok()).unwrap() as f32;
    for device in SUITE.devices() {
        for t in golden["traces"].as_array().unwrap() {
            let many = |key: &str| t[key].as_array().unwrap().iter().map(number).collect::<Vec<f32>>();
            let get = |key: &str| t[key].as_f64().unwrap();
            let x = many("x");
            let n = x.len();
            let data = Dataset::new(HostTensor::f32([n, 1], x).unwrap(), HostTensor::f32([n, 1], vec![0.0; n]).unwrap()).unwrap();
            let scale = LossScale::dynamic()
                .init_scale(get("init_scale"))
                .growth_factor(get("growth_factor"))
                .backoff_factor(get("backoff_factor"))
                .growth_interval(get("growth_interval") as u32);
            let net = module(|s, x| x * s.param("w", [1], Init::Ones));
            let c = Compile::new(Sgd::new(0.125).momentum(0.5), loss::custom("mean", |y, t| (y + t * 0.0).mean()));
            let mut model = net.compile(c.input([1]).loss_scale(scale).device(device.clone())).unwrap();
            let mut run = model.trainer(&data, Fit::new().batch_size(1).shuffle(false)).unwrap();
            let (scales, trackers, weights) = (many("scale"), many("growth_tracker"), many("w"));
            for step in 0..n {
                run.steps(1).unwrap().unwrap();
                let now = run.model().loss_scale().unwrap();
                assert_eq!((now.scale, now.growth_tracker as f32), (scales[step], trackers[step]), "{device}, step {step}");
                let w = run.model().parameter("w").unwrap().as_f32().unwrap()[0];
                assert!((w - weights[step]).abs() <= 1e-6 * weights[step].abs(), "{device}, step {step}: {w} {}", weights[step]);
            }
        }
        SUITE.ran(1);
    }
}

/// Gradients beyond f32 under the scale, finite without it: the scale falls until they fit, and then nothing tells the run from another.
#[test]
fn the_scale_falls_until_gradients_fit() {
    for device in SUITE.devices() {
        let data = heavy(4 * 40, 4, &[], 1000.0);
        let scale = LossScale::dynamic().init_scale(2f64.powi(126));
        let mut model = weighed(settings(Sgd::new(1e-5), &device).loss_scale(scale));
        let mut run = model.trainer(&data, Fit::new().batch_size(4).shuffle(false)).unwrap();
        let r = run.steps(40).unwrap().unwrap();
        let n = r.skipped.len();
        assert!((1..20).contains(&n), "{device}: {:?}", r.skipped);
        assert!(r.losses.iter().all(|l| l.is_finite()) && r.step == 40 - n as u64);
        assert_eq!(r.loss_scale, Some(2f32.powi(126 - n as i32)));
        SUITE.ran(1);
    }
}

/// Steps of a submit, steps of a call, batches of an update: no bit depends on the first two.
#[test]
fn cuts_change_nothing() {
    let bad = [1usize, 4, 5, 17, 18, 30, 46];
    for device in SUITE.devices() {
        for accumulate in [1, 2, 3] {
            let data = table(4 * 47 + 3, 4, &bad);
            let train = |submit: usize, call: usize| {
                let c = settings(Adam::new(Schedule::cosine(0.05, 40)), &device).ema(0.9).loss_scale(small());
                let mut model = weighed(c);
                let fit = Fit::new().epochs(2).batch_size(4).shuffle(false).accumulate(accumulate).steps_per_submit(submit);
                let mut run = model.trainer(&data, fit).unwrap();
                let mut losses = vec![];
                while let Some(r) = run.steps(call).unwrap() {
                    losses.extend(r.losses.iter().map(|l| l.to_bits()));
                }
                let h = run.history();
                let columns = ["loss", "loss_scale", "skipped"].map(|c| h.get(c).iter().map(|v| v.to_bits()).collect::<Vec<_>>());
                let seen = (losses, columns, h.skipped().to_vec(), format!("{:?}", run.model().loss_scale()));
                (seen, everything(&mut model))
            };
            let whole = train(1, 1);
            for (submit, call) in [(3, usize::MAX), (16, usize::MAX), (0, 7), (0, usize::MAX)] {
                assert!(train(submit, call) == whole, "{device}: {accumulate} batches an update, {submit} a submit, {call} a call");
            }
            // a bad batch takes its update along
            let skipped: Vec<u64> = (0..48usize.div_ceil(accumulate) as u64)
                .filter(|u| bad.iter().any(|b| b / accumulate == *u as usize))
                .map(|u| u + 1)
                .collect();
            assert_eq!(whole.0.2[..skipped.len()], skipped[..], "{device}, {accumulate}");
        }
        SUITE.ran(1);
    }
}

/// A rate that is set in a loop of one's own is the next step's, however many were skipped before.
#[test]
fn a_rate_of_ones_own() {
    for device in SUITE.devices() {
        let x: Vec<f32> = (0..24).map(|i| if i % 3 == 1 { f32::NAN } else { 1.0 + i as f32 }).collect();
        let data = Dataset::new(HostTensor::f32([24, 1], x.clone()).unwrap(), HostTensor::f32([24, 1], vec![0.0; 24]).unwrap()).unwrap();
        let net = module(|s, x| x * s.param("w", [1], Init::Ones));
        let c = Compile::new(Sgd::new(1.0), loss::custom("mean", |y, t| (y + t * 0.0).mean())).input([1]).loss_scale(small());
        let mut model = net.compile(c.device(device.clone())).unwrap();
        let mut run = model.trainer(&data, Fit::new().batch_size(1).shuffle(false)).unwrap();
        let (mut w, mut at) = (1.0f32, 0);
        for (call, steps) in [1usize, 4, 2, 7, 1, 5, 4].into_iter().enumerate() {
            let rate = 0.5f32.powi(call as i32);
            run.set_learning_rate(rate).unwrap();
            run.steps(steps).unwrap().unwrap();
            x[at..at + steps].iter().filter(|x| x.is_finite()).for_each(|x| w -= rate * x);
            at += steps;
            assert_eq!(run.model().parameter("w").unwrap().as_f32(), Some(&[w][..]), "{device}, call {call}");
        }
        SUITE.ran(1);
    }
}

/// Saved in mid-epoch, with the count half-way and skipped steps behind it: it goes on to the same bits.
#[test]
fn a_run_goes_on() {
    for device in SUITE.devices() {
        let data = table(4 * 20, 4, &[1, 2, 7, 15]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.gradus");
        let new = || weighed(settings(Adam::new(0.02), &device).loss_scale(small()));
        let fit = || Fit::new().epochs(2).batch_size(4).shuffle(false);
        let end = |mut run: Trainer<'_>| {
            while run.steps(3).unwrap().is_some() {}
            let h = run.history();
            let columns: Vec<u64> = ["loss", "loss_scale", "skipped"].iter().flat_map(|c| h.get(c)).map(|v| v.to_bits()).collect();
            let seen = (columns, h.skipped().to_vec(), format!("{:?}", run.model().loss_scale()));
            (seen, everything(run.model()))
        };
        for at in [5, 9, 25] {
            let mut model = new();
            let whole = end(model.trainer(&data, fit()).unwrap());
            let mut model = new();
            let mut run = model.trainer(&data, fit()).unwrap();
            while run.steps_done() < at {
                run.steps((at - run.steps_done()).min(4)).unwrap().unwrap();
            }
            let now = run.model().loss_scale();
            assert!(now.unwrap().skipped > 0 && now.unwrap().growth_tracker > 0, "{now:?}");
            run.checkpoint(&path).unwrap();
            let mut model = new();
            let again = fit().checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
            let mut run = model.trainer(&data, again).unwrap();
            assert_eq!(run.model().loss_scale(), now, "{device}");
            assert!(end(run) == whole, "{device}, from step {at}");
        }
        // under another kind of scale it is another run
        let mut model = weighed(settings(Adam::new(0.02), &device).loss_scale(LossScale::fixed(8.0)));
        let e = model.trainer(&data, fit().checkpoint(Checkpoint::new(&path)).resume(Resume::Required)).unwrap_err();
        assert!(e.to_string().contains("compile.loss_scale"), "{e}");
        // a model's file has it, too
        let mut model = new();
        model.fit(&data, fit().verbose(0)).unwrap();
        let now = model.loss_scale();
        let save = folder.path().join("model");
        let file = Sequential::new().add(Linear::new(1));
        let c = Compile::new(Sgd::new(0.1), Mse::new()).input([2]).loss_scale(small().init_scale(8.0)).device(device.clone());
        let other = file.compile(c).unwrap();
        other.save(&save).unwrap();
        assert_eq!(Model::load_on(&save, device.clone()).unwrap().loss_scale(), other.loss_scale());
        assert_ne!(now, other.loss_scale());
        SUITE.ran(1);
    }
}

/// What no scale cures halts, with the parameters as they were; from 2^16 after as many updates as under a fixed scale.
#[test]
fn what_no_scale_cures_halts() {
    for device in SUITE.devices() {
        let bad: Vec<usize> = (3..100).collect();
        for scale in [LossScale::dynamic().into(), LossScale::fixed(65536.0)] {
            let mut model = weighed(settings(Sgd::new(0.1), &device).loss_scale(scale));
            let data = table(4 * 100, 4, &bad);
            let mut run = model.trainer(&data, Fit::new().batch_size(4).shuffle(false).steps_per_submit(7)).unwrap();
            let r = run.steps(3).unwrap().unwrap();
            assert_eq!((r.step, r.skipped.len()), (3, 0));
            let before = everything(run.model());
            let e = run.steps(90).unwrap_err();
            let text = e.to_string();
            assert!(e.code() == "non-finite-loss" && text.contains("no scale cures that"), "{device}: {text}");
            assert!(text.contains("at step 4"), "{text}");
            assert_eq!(run.model().loss_scale().unwrap().skipped, 40, "{device}, {scale:?}");
            assert!(everything(run.model()) == before, "{device}");
        }
        SUITE.ran(1);
    }
}

/// By hand, in a loop of one's own, with looks at the layers; and what is said of it.
#[test]
fn people_see_numbers_without_the_scale() {
    for device in SUITE.devices() {
        let data = table(4 * 12, 4, &[2, 3]);
        let look = |scale: Option<LossScale>| {
            let mut c = settings(Sgd::new(0.05), &device);
            c.loss_scale = scale;
            let mut model = weighed(c);
            let clean = table(4 * 2, 4, &[]);
            let fit = Fit::new().batch_size(4).shuffle(false).diagnostics(gradus::train::Diagnostics::per_layer(1));
            let mut run = model.trainer(&clean, fit).unwrap();
            run.steps(2).unwrap().unwrap().diagnostics
        };
        let (scaled, plain) = (look(Some(LossScale::fixed(2f64.powi(14)))), look(None));
        for (s, p) in scaled.iter().zip(&plain).flat_map(|(s, p)| s.layers.iter().zip(&p.layers)) {
            let (s, p) = (s.gradient.unwrap(), p.gradient.unwrap());
            assert!((s.norm - p.norm).abs() <= 1e-5 * p.norm && (s.std - p.std).abs() <= 1e-5 * p.std, "{device}: {s:?} {p:?}");
        }
        assert_eq!(scaled.len(), 2);

        let folder = tempfile::tempdir().unwrap();
        let (csv, lines) = (folder.path().join("log.csv"), folder.path().join("log.jsonl"));
        let fit = || {
            let fit = Fit::new().epochs(2).batch_size(4).shuffle(false).verbose(0);
            fit.callback(gradus::train::callbacks::CsvLogger::new(&csv)).callback(gradus::train::callbacks::JsonLines::new(&lines))
        };
        let mut model = weighed(settings(Sgd::new(0.05), &device).loss_scale(small()));
        let h = model.fit(&data, fit().callback(EarlyStopping::new("loss").patience(5))).unwrap();
        assert_eq!((h.get("skipped"), h.skipped()), (&[2.0, 2.0][..], &[3, 4, 15, 16][..]));
        let text = std::fs::read_to_string(&csv).unwrap();
        let text: Vec<&str> = text.lines().collect();
        assert_eq!(text[0], "epoch,loss,loss_scale,skipped", "{text:?}");
        assert!(text[1].ends_with(&format!(",{},2", h.get("loss_scale")[0])), "{text:?}");
        assert!(std::fs::read_to_string(&lines).unwrap().contains("\"skipped\":2"));
        let mut plain = weighed(settings(Sgd::new(0.05), &device));
        plain.fit(&table(8, 4, &[]), fit()).unwrap();
        assert!(!std::fs::read_to_string(&lines).unwrap().contains("loss_scale"));
        assert!(plain.loss_scale().is_none());

        // a batch by hand
        let mut model = weighed(settings(Sgd::new(0.05), &device).loss_scale(small()));
        let before = everything(&mut model);
        let r = model.train_on_batch(table(4, 4, &[0])).unwrap();
        assert_eq!((&r.skipped[..], r.step, r.loss_scale), (&[0][..], 0, Some(512.0)));
        assert!(before == everything(&mut model), "{device}");
        let r = model.train_on_batch(table(4, 4, &[])).unwrap();
        assert_eq!((r.skipped.len(), r.step, model.loss_scale().unwrap().growth_tracker), (0, 1, 1));
        SUITE.ran(1);
    }
}

/// It costs the launch that finds the norm, and no other; and no look back at the device.
#[test]
fn what_it_costs() {
    for device in SUITE.devices() {
        let x = || HostTensor::f32([64, 8], noise(64 * 8, 1)).unwrap();
        let class = Dataset::new(x(), HostTensor::u32([64], vec![1; 64]).unwrap()).unwrap();
        let real = Dataset::new(x(), HostTensor::f32([64, 3], noise(64 * 3, 2)).unwrap()).unwrap();
        for (data, loss) in [(&class, Loss::from(CrossEntropy::new())), (&real, Mse::new().into())] {
            let launches = |scale: Option<LossScale>, clip: Option<f64>| {
                let mut c = Compile::new(Adam::default(), loss.clone()).input([8]).device(device.clone());
                (c.loss_scale, c.clip_norm) = (scale, clip);
                let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(3));
                let mut model = net.compile(c).unwrap();
                let program = model.prepare(data, 16).unwrap();
                let reads = model.traffic().reads;
                model.fit(data, Fit::new().batch_size(16).verbose(0)).unwrap();
                (program.launches.len(), model.traffic().reads - reads)
            };
            let (plain, clipped) = (launches(None, None), launches(None, Some(1.0)));
            let scaled = launches(Some(LossScale::dynamic().into()), None);
            assert_eq!(scaled, plain, "{device}, {loss:?}");
            assert_eq!(launches(Some(LossScale::dynamic().into()), Some(1.0)), clipped, "{device}, {loss:?}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn settings_are_checked() {
    let faults = |scale: LossScale| {
        let c = Compile::new(Sgd::new(0.1), Mse::new()).input([1]).loss_scale(scale).device(Device::cpu());
        match Sequential::new().add(Linear::new(1)).compile(c) {
            Err(gradus::Error::InvalidConfig { faults }) => faults.into_iter().map(|f| f.key).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let all = LossScale::dynamic().init_scale(3.0).growth_factor(1.0).backoff_factor(1.5).growth_interval(0);
    let key = |k: &str| format!("compile.loss_scale.{k}");
    assert_eq!(faults(all.into()), ["init_scale", "growth_factor", "backoff_factor", "growth_interval"].map(key));
    for x in [0.0, -4.0, 100.0, f64::NAN, f64::INFINITY, 2f64.powi(127)] {
        assert_eq!(faults(LossScale::fixed(x)), [key("fixed")]);
    }
    for s in [LossScale::none(), LossScale::fixed(8.0), small().into()] {
        let c = Compile::new(Sgd::new(0.1), Mse::new()).input([1]).loss_scale(s);
        let text = serde_json::to_string(&c).unwrap();
        assert_eq!(serde_json::from_str::<Compile>(&text).unwrap(), c, "{text}");
    }
    assert!(serde_json::from_str::<LossScale>(r#"{"dynamic":{"init":1}}"#).is_err());
    assert_eq!(serde_json::from_str::<LossScale>(r#"{"dynamic":{}}"#).unwrap(), LossScale::dynamic().into());
    SUITE.ran(1);
    // the two of a plain and a switched-off one
    let c = Compile::new(Sgd::new(0.1), Mse::new()).input([1]).loss_scale(LossScale::none()).device(Device::cpu());
    assert!(Sequential::new().add(Linear::new(1)).compile(c).unwrap().loss_scale().is_none());
    SUITE.ran(1);
}

/// In mixed precision, too: neither the weights nor their copies in f16 move. The gradients are finite in f32, and beyond f16 at the first scales.
#[test]
fn a_gradient_beyond_f16_changes_nothing() {
    for device in SUITE.devices() {
        let rows = 32;
        let (x, y) = (noise(WIDTH * rows, 5), noise(rows, 6));
        let data = Dataset::new(HostTensor::f32([rows, WIDTH], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap();
        let net = Sequential::new().add(Linear::new(16)).add(Tanh).add(Linear::new(1));
        let loss = loss::custom("heavy", |y, t| (y - t).square().mean() * 64.0);
        let c = Compile::new(Adam::new(0.01), loss).input([WIDTH]).seed(4).ema(0.9).precision(Precision::mixed()).device(device.clone());
        let mut model = net.compile(c.loss_scale(LossScale::dynamic().init_scale(2.0f64.powi(14)).growth_interval(2))).unwrap();
        let probe = Dataset::new(HostTensor::f32([4, WIDTH], noise(4 * WIDTH, 7)).unwrap(), HostTensor::f32([4, 1], vec![0.0; 4]).unwrap())
            .unwrap();
        let (mut skipped, mut moved) = (0, 0);
        for _ in 0..3 {
            let mut run = model.trainer(&data, Fit::new().batch_size(8).shuffle(false)).unwrap();
            for _ in 0..4 {
                let before = (everything(run.model()), run.model().predict(&probe, 4).unwrap());
                let r = run.steps(1).unwrap().unwrap();
                let after = (everything(run.model()), run.model().predict(&probe, 4).unwrap());
                assert!(r.loss.is_finite(), "{device}: {r:?}");
                assert_eq!(before == after, !r.skipped.is_empty(), "{device}: {r:?}");
                if r.skipped.is_empty() { moved += 1 } else { skipped += 1 }
            }
        }
        assert!(skipped > 0 && moved > 0, "{device}: {skipped} skipped, {moved} applied");
        SUITE.ran(1);
    }
}

/// Gradients of 1e-9 are 0 in f16: at scale 1 not one weight moves; with the dynamic scale the network learns as in f32.
#[test]
fn what_underflows_learns_with_a_scale() {
    for device in SUITE.devices() {
        let rows = 256;
        let x = noise(WIDTH * rows, 8);
        let y: Vec<f32> = x.chunks(WIDTH).map(|r| r[0] * r[1] + 0.5 * r[2] - r[3]).collect();
        let data = Dataset::new(HostTensor::f32([rows, WIDTH], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap();
        let trained = |precision: Precision, scale: Option<LossScale>| {
            let net = Sequential::new().add(Linear::new(32)).add(Tanh).add(Linear::new(1));
            let loss = loss::custom("tiny", |y, t| (y - t).square().mean() * 1e-8);
            let mut c = Compile::new(Sgd::new(1e7), loss).input([WIDTH]).seed(4).precision(precision).device(device.clone());
            if let Some(scale) = scale {
                c = c.loss_scale(scale);
            }
            let mut model = net.compile(c).unwrap();
            let before = everything(&mut model);
            let h = model.fit(&data, Fit::new().batch_size(32).epochs(30).verbose(0)).unwrap();
            (h.get("loss")[0], h.last("loss").unwrap(), before == everything(&mut model))
        };
        let (_, f32, _) = trained(Precision::F32, None);
        let (first, last, still) = trained(Precision::mixed(), Some(LossScale::none()));
        // the order of the rows, and with it the last digit of their mean, is another in each epoch
        assert!(still && (last / first - 1.0).abs() < 1e-6, "{device}: at scale 1 it went from {first} to {last}");
        let (first, last, still) = trained(Precision::mixed(), None);
        assert!(!still && last < first / 4.0 && (last / f32 - 1.0).abs() < 0.05, "{device}: from {first} to {last}, in f32 to {f32}");
        SUITE.ran(1);
    }
}

/// The gradients of a step that halts are without the scale that they were made with, not that of the step before.
#[test]
fn gradients_of_a_halt_are_without_its_scale() {
    for device in SUITE.devices() {
        let gradient = |scale: Option<LossScale>| {
            // the slope of a root at 0 is infinite
            let net = module(|s, x| s.at("fine").call(&Linear::new(1), x) + s.param("root", [1], Init::Zeros).abs().sqrt());
            let mut c = Compile::new(Sgd::new(0.1), Mse::new()).input([WIDTH]).seed(4).clip_norm(1.0).device(device.clone());
            c.loss_scale = scale;
            let mut model = net.compile(c).unwrap();
            let (x, y) = (vec![0.5; 16 * WIDTH], vec![1.0; 16]);
            let data = Dataset::new(HostTensor::f32([16, WIDTH], x).unwrap(), HostTensor::f32([16, 1], y).unwrap()).unwrap();
            let e = model.fit(&data, Fit::new().batch_size(4).verbose(0)).unwrap_err();
            assert_eq!(e.code(), "non-finite-gradient", "{device}: {e}");
            model.gradient("fine.weight").unwrap().as_f32().unwrap().to_vec()
        };
        // skipped at 2^-23, halted at 2^-24
        let scaled = gradient(Some(LossScale::dynamic().init_scale(2f64.powi(-23)).into()));
        assert_eq!(scaled, gradient(None), "{device}");
        assert!(scaled.iter().all(|g| g.is_finite() && *g != 0.0));
        SUITE.ran(1);
    }
}
