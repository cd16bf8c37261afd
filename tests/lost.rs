//! A device that is lost in mid-fit: training goes on and ends with the same bits.
#![cfg(feature = "gpu")]

mod common;

use common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::sync::Mutex;
use std::time::Duration;

static SUITE: Suite = Suite::new("lost", 17);

/// One at a time: they end the device that all of them share.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// The GPU in software; on the CPU nothing can be lost.
fn device() -> Option<Device> {
    SUITE.devices().into_iter().find(|d| d.gpu().is_some())
}

/// 10 batches of 32 and a ragged one.
fn digits() -> (Dataset, Dataset) {
    let (train, test) = data::synthetic_digits(3, 331, 70).unwrap();
    (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0))
}

fn compiled(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(5);
    net.compile(settings.device(device.clone())).unwrap()
}

fn lose(model: &Model) {
    model.device().gpu().unwrap().destroy();
}

/// Parameters, moments, counters: the whole model as its file.
fn bytes(model: &mut Model) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    model.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// A loop with a rate of its own, which loses the device before these steps; gives all that it reported, and the model as a file.
fn looped(device: &Device, per_call: usize, every: f64, lose_before: &[usize]) -> (Vec<String>, Vec<u8>, Model) {
    let (train, test) = digits();
    let mut model = compiled(device);
    let mut run = model.trainer(&train, Fit::new().epochs(3).batch_size(32).snapshot_every(every)).unwrap();
    let (mut seen, mut calls) = (Vec::new(), 0);
    loop {
        if lose_before.contains(&calls) {
            lose(run.model());
        }
        calls += 1;
        let Some(r) = run.steps(per_call).unwrap() else { break };
        seen.push(format!("{r:?}"));
        run.set_learning_rate(1e-3 / (1.0 + r.step as f32 / 50.0)).unwrap();
        if r.epoch_ended {
            if lose_before.contains(&(1000 + r.epoch)) {
                lose(run.model());
            }
            seen.push(format!("{:?}", run.evaluate(&test, 32).unwrap()));
        }
    }
    let file = bytes(&mut model);
    (seen, file, model)
}

#[test]
fn anywhere_in_a_loop() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(2, "no adapter") };
    let (seen, file, model) = looped(&device, 3, 10.0, &[]);
    assert_eq!((model.recoveries(), seen.len()), (0, 15));
    // before the first step, in mid-epoch, before an epoch's last steps, after its end, in evaluation, twice in a row
    for at in [&[0][..], &[2], &[3], &[4], &[1002], &[1, 2], &[0, 5, 1001, 1003]] {
        for every in [10.0, 1e-9] {
            let (got, got_file, model) = looped(&device, 3, every, at);
            assert_eq!(got, seen, "lost at {at:?}, a copy every {every} s");
            assert_eq!(got_file, file, "lost at {at:?}, a copy every {every} s");
            assert_eq!(model.recoveries(), at.len(), "lost at {at:?}");
            assert!(every > 1.0 || model.snapshots() > 0, "{}", model.snapshots());
        }
    }
    SUITE.ran(2);
}

/// From another thread, while submits are under way.
#[test]
fn at_any_moment_of_a_fit() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, test) = digits();
    let fit = || Fit::new().epochs(60).batch_size(32).verbose(0).validation(&test).steps_per_submit(2);
    let mut whole = compiled(&device);
    let began = std::time::Instant::now();
    let history = whole.fit(&train, fit()).unwrap();
    let took = began.elapsed();
    let file = bytes(&mut whole);
    let mut recoveries = 0;
    for share in [0.0, 0.02, 0.1, 0.25, 0.4, 0.5, 0.61, 0.72, 0.8] {
        let mut model = compiled(&device);
        let gpu = model.device().gpu().unwrap().clone();
        let ender = std::thread::spawn(move || {
            std::thread::sleep(took.mul_f64(share));
            gpu.destroy();
        });
        let got = model.fit(&train, fit().snapshot_every(if share > 0.3 { 0.01 } else { 10.0 })).unwrap();
        ender.join().unwrap();
        assert_eq!(got, history, "lost at {share} of the time");
        assert_eq!(bytes(&mut model), file, "lost at {share} of the time");
        recoveries += model.recoveries();
    }
    assert!(recoveries >= 6, "only {recoveries} of 9 came in time");
    SUITE.ran(1);
}

/// A loop by turns, with steps under way when the device goes.
#[test]
fn between_two_turns() {
    use gradus::train::Turn;
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let fit = || Fit::new().epochs(3).batch_size(32).steps_per_submit(2);
    let mut whole = compiled(&device);
    whole.fit(&train, fit().verbose(0)).unwrap();
    let file = bytes(&mut whole);
    for at in [&[0][..], &[1], &[4], &[2, 3, 9]] {
        let mut model = compiled(&device);
        let mut lost = 0;
        let mut gpu = model.device().gpu().cloned();
        let mut run = model.trainer(&train, fit()).unwrap();
        for turn in 0.. {
            if at.contains(&turn) {
                gpu.take().iter().for_each(|g| g.destroy());
                lost += 1;
            }
            match run.turn().unwrap() {
                Turn::Done(_) => break,
                Turn::Pending => std::thread::yield_now(),
                _ => gpu = gpu.or_else(|| run.model().device().gpu().cloned()),
            }
        }
        assert!(lost == at.len() && model.recoveries() > 0, "lost at {at:?}");
        assert_eq!(bytes(&mut model), file, "lost at {at:?}");
    }
    SUITE.ran(1);
}

/// The rate is set between turns, and steps at the old one are lost: they are done again at the old one.
#[test]
fn a_rate_that_moves_between_turns() {
    use gradus::train::Turn;
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let run = |lose_at: usize| {
        let mut model = compiled(&device);
        let mut gpu = model.device().gpu().cloned();
        let mut run = model.trainer(&train, Fit::new().epochs(2).batch_size(32).steps_per_submit(1)).unwrap();
        let (mut told, mut turns) = (vec![], 0);
        loop {
            match run.turn().unwrap() {
                Turn::Done(_) => break,
                Turn::Progress(r) | Turn::Epoch(r) => {
                    told.push((r.step, r.learning_rate.to_bits(), r.losses));
                    if lose_at == told.len() {
                        gpu.take().iter().for_each(|g| g.destroy());
                    }
                    // what is under way has the rate before
                    run.set_learning_rate(1e-3 / r.step as f32).unwrap();
                }
                _ => std::thread::yield_now(),
            }
            turns += 1;
            assert!(turns < 1_000_000);
        }
        let recoveries = run.model().recoveries();
        (told, bytes(&mut model), recoveries)
    };
    let (told, file, none) = run(0);
    assert_eq!((none, told.len()), (0, 22));
    // how many steps are under way when a rate is set is a matter of time: runs are compared that gave each step the same
    let rates = |told: &[(u64, u64, Vec<f32>)]| told.iter().map(|t| t.1).collect::<Vec<_>>();
    for at in [1, 3, 9, 12] {
        let alike = (0..20).map(|_| run(at)).find(|(got, ..)| rates(got) == rates(&told));
        let (got, got_file, recoveries) = alike.expect("of 20 runs one with the same rates");
        assert!(recoveries > 0, "lost at {at}");
        assert_eq!(got, told, "lost at {at}");
        assert!(got_file == file, "lost at {at}");
    }
    SUITE.ran(1);
}

/// A fit is dropped while a copy of the model is read back; then the model changes, and then the device is lost.
#[test]
fn dropped_in_the_middle_of_a_copy() {
    use std::task::{Context, Waker};
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let fit = || Fit::new().epochs(9).batch_size(32).steps_per_submit(1).snapshot_every(1e-9).verbose(0);
    for polls in 1..12 {
        let mut model = compiled(&device);
        {
            let mut work = std::pin::pin!(model.fit_async(&train, fit()));
            for _ in 0..polls {
                assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        }
        let values = HostTensor::f32([10], vec![0.25; 10]).unwrap();
        model.set_parameter("2.bias", &values).unwrap();
        let one = train.clone().take(32);
        model.train_on_batch(&one).unwrap();
        let before = bytes(&mut model);
        lose(&model);
        assert!(bytes(&mut model) == before, "dropped after {polls} turns");
        assert_eq!(model.recoveries(), 1);
    }
    SUITE.ran(1);
}

/// A fit that was dropped with steps under way, and then the device: what counts as done is what the weights have.
#[test]
fn after_a_fit_that_was_dropped() {
    use std::task::{Context, Waker};
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let fit = || Fit::new().epochs(60).batch_size(32).steps_per_submit(2).verbose(0);
    let one = train.clone().take(32);
    for polls in [2, 9, 30, 70] {
        let mut model = compiled(&device);
        {
            let mut work = std::pin::pin!(model.fit_async(&train, fit()));
            for _ in 0..polls {
                assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        }
        lose(&model);
        if polls % 2 == 0 {
            // the loss is met by what asks the model, or by what sees to the end of the steps
            model.predict(&train, 64).unwrap();
        }
        let steps = model.train_on_batch(&one).unwrap().step as usize - 1;
        assert_eq!(model.recoveries(), 1, "{polls} turns");
        let mut other = compiled(&model.device());
        let mut run = other.trainer(&train, fit()).unwrap();
        let mut left = steps;
        while left > 0 {
            left -= run.steps(left).unwrap().unwrap().losses.len();
        }
        other.train_on_batch(&one).unwrap();
        assert_eq!(model.parameter("0.weight").unwrap(), other.parameter("0.weight").unwrap(), "{polls} turns, {steps} steps");
    }
    SUITE.ran(1);
}

/// A run that goes on from a checkpoint has a copy of what it found there.
#[test]
fn after_going_on_from_a_checkpoint() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let plain = || Fit::new().epochs(3).batch_size(32);
    let mut whole = compiled(&device);
    let mut run = whole.trainer(&train, plain()).unwrap();
    run.steps(5).unwrap();
    run.set_learning_rate(5e-4).unwrap();
    lose(run.model());
    run.checkpoint(&path).unwrap();
    while run.steps(4).unwrap().is_some() {}
    let history = run.history().clone();
    let file = bytes(&mut whole);
    for at in [0, 1, 3] {
        let mut model = compiled(&device);
        // of another run before, of which nothing may come back
        model.fit(&train, Fit::new().verbose(0)).unwrap();
        let mut run = model.trainer(&train, plain().checkpoint(Checkpoint::new(&path)).resume(Resume::Required)).unwrap();
        let mut calls = 0;
        loop {
            if calls == at {
                lose(run.model());
            }
            calls += 1;
            if run.steps(4).unwrap().is_none() {
                break;
            }
        }
        assert_eq!(*run.history(), history);
        assert_eq!((bytes(&mut model), model.recoveries()), (file.clone(), 1), "lost before call {at}");
    }
    SUITE.ran(1);
}

/// What is done between and after runs is remembered too; other models of the device come back as well.
#[test]
fn outside_of_a_run() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(2, "no adapter") };
    let (train, test) = digits();
    let fit = || Fit::new().epochs(1).batch_size(32).verbose(0);
    let work = |lossy: bool| {
        let (mut a, mut b) = (compiled(&device), compiled(&device));
        let mut out = Vec::new();
        let step = |m: &Model| {
            if lossy {
                lose(m)
            }
        };
        step(&a);
        out.push(format!("{:?}", a.fit(&train, fit()).unwrap().get("loss")));
        step(&a);
        a.set_parameter("0.bias", &HostTensor::f32([24], vec![0.25; 24]).unwrap()).unwrap();
        step(&a);
        out.push(format!("{:?}", a.parameter("0.bias").unwrap()));
        out.push(format!("{:?}", b.evaluate(&test, 32).unwrap()));
        out.push(format!("{:?}", b.fit(&train, fit().shuffle(false)).unwrap().get("loss")));
        step(&b);
        out.push(format!("{:?}", b.gradient("2.weight").unwrap()));
        step(&b);
        out.push(format!("{:?}", b.activation("1", &HostTensor::f32([2, 784], vec![0.5; 1568]).unwrap()).unwrap()));
        step(&b);
        out.push(format!("{:?}", b.predict(&test, 33).unwrap()));
        a.prepare(&test, 16).unwrap();
        step(&a);
        assert!(a.profile(&test, 16).unwrap().total() > 0.0);
        out.push(format!("{:?}", a.fit(&test, fit()).unwrap().get("accuracy")));
        (out, bytes(&mut a), bytes(&mut b), a.recoveries() + b.recoveries())
    };
    let (whole, broken) = (work(false), work(true));
    assert_eq!(whole.0, broken.0);
    assert_eq!((whole.1, whole.2), (broken.1, broken.2));
    assert!(whole.3 == 0 && broken.3 >= 5, "{} recoveries", broken.3);
    SUITE.ran(2);
}

/// Blocks that were read ahead and batches that the user made are trained on again.
#[test]
fn data_that_is_not_on_the_device() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, test) = digits();
    let work = |set: &Dataset, lose_at: &[usize]| {
        let mut model = compiled(&device);
        let (mut seen, mut calls) = (Vec::new(), 0);
        let mut may_lose = |m: &Model| {
            calls += 1;
            if lose_at.contains(&calls) {
                lose(m);
            }
        };
        let mut run = model.trainer(set, Fit::new().epochs(2).batch_size(32)).unwrap();
        while let Some(r) = run.steps(3).unwrap() {
            seen.push(format!("{r:?}"));
            may_lose(run.model());
            seen.push(format!("{:?}", run.model().train_on_batch(test.clone().take(9)).unwrap()));
            may_lose(run.model());
        }
        may_lose(&model);
        seen.push(format!("{:?}", model.evaluate(set, 50).unwrap()));
        may_lose(&model);
        seen.push(format!("{:?}", model.test_on_batch(&test).unwrap()));
        may_lose(&model);
        seen.push(format!("{:?}", model.predict_on_batch(&test).unwrap()));
        may_lose(&model);
        seen.push(format!("{:?}", model.train_on_batch(&test).unwrap()));
        (seen, bytes(&mut model), model.recoveries())
    };
    // blocks of two batches; and the set on the device, beside batches by hand
    let sets = [("streamed", train.clone().memory_budget(4 * (784 + 4 + 24) * 65)), ("resident", train)];
    for (kind, set) in &sets {
        let whole = work(set, &[]);
        for at in [&[1][..], &[2], &[5], &[8, 9], &[3, 17, 18, 19, 20], &[16, 20]] {
            let broken = work(set, at);
            assert_eq!(broken.0, whole.0, "{kind}, lost at {at:?}");
            assert!(broken.1 == whole.1 && broken.2 == at.len(), "{kind}, lost at {at:?}: {} recoveries", broken.2);
        }
    }
    SUITE.ran(1);
}

/// Without copies a loss is an error that names the device, again and again; the device itself is opened anew for others.
#[test]
fn without_copies() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let mut model = compiled(&device);
    let mut run = model.trainer(&train, Fit::new().epochs(3).batch_size(32).snapshot_every(0.0)).unwrap();
    run.steps(2).unwrap();
    lose(run.model());
    let e = run.steps(2).unwrap_err();
    assert_eq!(e.code(), "device-lost");
    assert!(["where:", "help:", &device.name(), "snapshot_every"].iter().all(|part| e.to_string().contains(part)), "{e}");
    assert!(run.steps(1).unwrap().is_none(), "the run is over");
    assert_eq!(model.evaluate(&train, 32).unwrap_err().code(), "device-lost");
    assert_eq!(model.recoveries(), 0);
    let mut other = compiled(&device);
    other.fit(&train, Fit::new().verbose(0)).unwrap();
    SUITE.ran(1);
}

/// Threads that wait for a device see its end at once.
#[test]
fn nobody_waits_for_ever() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let (send, receive) = std::sync::mpsc::channel();
    let next = |what: &str| receive.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("it waits: {what}"));
    let models: Vec<Model> = (0..2).map(|_| compiled(&device)).collect();
    for mut model in models {
        let (send, train) = (send.clone(), train.clone());
        std::thread::spawn(move || {
            let fit = Fit::new().epochs(usize::MAX).batch_size(32).snapshot_every(0.0);
            let mut run = model.trainer(&train, fit).unwrap();
            // before its first step a model is still known, and would be made again
            let _ = send.send(run.steps(1).map(|_| "trains").map_err(|e| e.code()));
            let end = loop {
                if let Err(e) = run.steps(usize::MAX) {
                    break e.code();
                }
            };
            let _ = send.send(Err(end));
        });
    }
    (0..2).for_each(|_| assert_eq!(next("the first step"), Ok("trains")));
    std::thread::sleep(Duration::from_millis(50));
    device.gpu().unwrap().destroy();
    (0..2).for_each(|_| assert_eq!(next("the end"), Err("device-lost")));
    SUITE.ran(1);
}

/// Frozen parameters come back too, and a general step is built from the same closure.
#[test]
fn a_general_step_with_a_frozen_layer() {
    use gradus::train::{StepOut, step};
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let trained = |lost: bool| {
        let net = step(|s, batch| {
            let h = s.at("trunk").call(&Linear::new(16), &batch["x"]).relu();
            let (class, bright) = (s.at("class").call(&Linear::new(10), &h), s.at("bright").call(&Linear::new(1), &h));
            let error = (&bright - batch["x"].mean_axes(&[1]).reshape([batch.len(), 1])).square().mean();
            StepOut::new(class.cross_entropy(&batch["y"]) + &error)
                .output("class", &class)
                .output("bright", &bright)
                .metric("error", &error)
        });
        let optimizer = Adam::default().group("trunk.*", Group::new().frozen());
        let mut model = net.compile(Compile::step(optimizer).input([784]).device(device.clone()).seed(5)).unwrap();
        model.set_parameter("trunk.bias", &HostTensor::f32([16], vec![0.25; 16]).unwrap()).unwrap();
        let (train, test) = digits();
        let mut run = model.trainer(&train, Fit::new().epochs(2).batch_size(32)).unwrap();
        while let Some(r) = run.steps(4).unwrap() {
            if lost && r.step == 8 {
                lose(run.model());
            }
        }
        if lost {
            lose(&model);
        }
        let outputs = model.predict_named(&test, 32).unwrap();
        assert_eq!((model.parameter("trunk.bias").unwrap().as_f32(), model.recoveries()), (Some(&[0.25; 16][..]), 2 * usize::from(lost)));
        (bytes(&mut model), outputs)
    };
    assert!(trained(true) == trained(false));
    SUITE.ran(1);
}

/// Updates of several batches, with clipping, groups and an average: lost between submits, and in the middle of an update.
#[test]
fn updates_of_several_batches() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let (train, _) = digits();
    let work = |set: &Dataset, every: f64, lose_at: &[u64], in_between: bool| {
        let net = Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(10));
        let optimizer = Adam::default().group("*.bias", Group::new().lr_multiplier(0.5));
        let settings = Compile::new(optimizer, CrossEntropy::new()).input([784]).seed(5).clip_norm(0.5).ema(0.9);
        let mut model = net.compile(settings.device(device.clone())).unwrap();
        // an update of 5 batches takes 3 submits of streamed blocks, or more where a submit has one step
        let fit = Fit::new().epochs(3).batch_size(16).accumulate(5).snapshot_every(every);
        let mut run = model.trainer(set, fit).unwrap();
        let (mut seen, mut enders) = (Vec::new(), Vec::new());
        while let Some(r) = run.steps(2).unwrap() {
            seen.push(format!("{r:?}"));
            if lose_at.contains(&r.step) {
                let gpu = run.model().device().gpu().unwrap().clone();
                match in_between {
                    false => gpu.destroy(),
                    true => enders.push(std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_micros(700));
                        gpu.destroy();
                    })),
                }
            }
        }
        enders.into_iter().for_each(|e| e.join().unwrap());
        let average = format!("{:?}", model.ema_parameter("0.weight").unwrap());
        (seen, bytes(&mut model), average)
    };
    for set in [train.clone(), train.clone().memory_budget(4 * (784 + 4 + 24) * 65)] {
        let whole = work(&set, 10.0, &[], false);
        for every in [10.0, 1e-9] {
            for at in [&[2][..], &[4], &[5, 7], &[2, 4, 9, 10]] {
                assert!(work(&set, every, at, false) == whole, "lost at {at:?}, a copy every {every} s");
                assert!(work(&set, every, at, true) == whole, "lost soon after {at:?}, a copy every {every} s");
            }
        }
    }
    SUITE.ran(1);
}

/// Updates that were skipped before the loss and after it: the scale, its count and the counters come back with the rest.
#[test]
fn skipped_updates() {
    use gradus::optim::LossScale;
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let rows = 203;
    let x: Vec<f32> = (0..4 * rows).map(|i| if i % 97 == 5 { f32::INFINITY } else { (i * 37 % 101) as f32 / 101.0 }).collect();
    let y = x.chunks(4).map(|r| r[0] - r[1]).collect();
    let data = Dataset::new(HostTensor::f32([rows, 4], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap();
    let work = |accumulate: usize, every: f64, lose_at: &[usize]| {
        let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Linear::new(1));
        let scale = LossScale::dynamic().growth_interval(3);
        let settings = Compile::new(Adam::new(Schedule::cosine(0.05, 60)), Mse::new()).input([4]).seed(5).loss_scale(scale).ema(0.9);
        let mut model = net.compile(settings.device(device.clone())).unwrap();
        let fit = Fit::new().epochs(3).batch_size(8).accumulate(accumulate).snapshot_every(every).steps_per_submit(2);
        let mut run = model.trainer(&data, fit).unwrap();
        let mut seen = Vec::new();
        while let Some(r) = run.steps(5).unwrap() {
            seen.push(format!("{r:?}"));
            if lose_at.contains(&run.steps_done()) {
                lose(run.model());
            }
        }
        let skipped = run.history().skipped().len();
        (seen, skipped, format!("{:?}", model.loss_scale()), bytes(&mut model))
    };
    for accumulate in [1, 2] {
        let whole = work(accumulate, 10.0, &[]);
        assert!(whole.1 > 3 && whole.1 < 60, "{} skipped", whole.1);
        for (every, at) in [(10.0, &[5][..]), (10.0, &[10, 26]), (1e-9, &[13, 15, 31])] {
            assert!(work(accumulate, every, at) == whole, "{accumulate} batches an update, lost at {at:?}, a copy every {every} s");
        }
    }
    SUITE.ran(1);
}

/// Arenas in several buffers come back in several.
#[test]
fn with_shards() {
    let _alone = alone();
    let Some(device) = device() else { return SUITE.skipped(1, "no adapter") };
    let train = digits().0;
    let net = || Sequential::new().add(Linear::new(48)).add(Relu).add(Linear::new(10));
    let settings = |device: &Device| Compile::new(Adam::default(), CrossEntropy::new()).input([784]).seed(5).device(device.clone());
    let trained = |device: &Device, every: f64, lose_before: &[usize]| {
        let mut model = net().compile(settings(device)).unwrap();
        let shards = model.prepare(&train, 32).unwrap().explain().contains("cut into 2 shards");
        let mut run = model.trainer(&train, Fit::new().epochs(2).batch_size(32).snapshot_every(every)).unwrap();
        let mut seen = Vec::new();
        loop {
            if lose_before.contains(&seen.len()) {
                lose(run.model());
            }
            let Some(r) = run.steps(3).unwrap() else { break };
            seen.push(format!("{r:?}"));
        }
        (shards, seen, bytes(&mut model), model.recoveries())
    };
    // the larger weight has 37,632 of all 38,300 elements
    let small = device.clone().with_binding_limit(4 * 37_760);
    let (shards, seen, file, recoveries) = trained(&device, 10.0, &[]);
    assert!(!shards && recoveries == 0);
    for every in [10.0, 1e-9] {
        let (shards, got, got_file, recoveries) = trained(&small, every, &[1, 6]);
        assert!(shards);
        assert_eq!(got, seen, "a copy every {every} s");
        assert_eq!(got_file, file, "a copy every {every} s");
        assert_eq!(recoveries, 2);
    }
    SUITE.ran(1);
}
