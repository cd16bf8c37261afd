//! The three faces of a training loop: `fit` waits, `fit_async` lets go of the thread, `Trainer::turn` goes on for a moment. One set of bits.

use crate::common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::Turn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

static SUITE: Suite = Suite::new("faces", 22);

/// Polls until the future is ready, `most` times at most.
fn polled<T>(mut work: Pin<&mut impl Future<Output = T>>, most: usize) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    (0..most).find_map(|_| match work.as_mut().poll(&mut cx) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => {
            std::thread::yield_now();
            None
        }
    })
}

/// Polls when it is woken, and at no other time.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread, AtomicBool);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::SeqCst);
            self.0.unpark();
        }
    }
    let woken = Arc::new(Unpark(std::thread::current(), AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let (mut work, mut cx) = (pin!(work), Context::from_waker(&waker));
    loop {
        while !woken.1.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
        if let Poll::Ready(done) = work.as_mut().poll(&mut cx) {
            return done;
        }
    }
}

fn table(rows: usize) -> Dataset {
    let x: Vec<f32> = (0..4 * rows).map(|i| (i as f32 * 0.37).sin()).collect();
    let y = x.chunks(4).map(|r| r[0] * r[1] + 0.5 * r[2] - r[3]).collect();
    Dataset::new(HostTensor::f32([rows, 4], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap()
}

fn model(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(16)).add(Tanh).add(Dropout::new(0.2)).add(Linear::new(1));
    let settings = Compile::new(Adam::new(0.01), Mse::new()).input([4]).seed(3).clip_norm(1.0).device(device.clone());
    net.compile(settings).unwrap()
}

fn bits(model: &Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// With all that a run may have beside: a ragged batch, accumulation, validation, a callback that keeps weights, a checkpoint.
fn whole(folder: &std::path::Path, name: &str) -> Fit {
    Fit::new()
        .epochs(4)
        .batch_size(8)
        .accumulate(2)
        .validation(&table(20))
        .callback(EarlyStopping::new("val_loss").patience(2).restore_best_weights(true))
        .checkpoint(Checkpoint::new(folder.join(name)).every_steps(3))
        .verbose(0)
}

#[test]
fn fit_async_gives_the_bits_of_fit() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let data = table(77);
        let (mut waits, mut lets_go) = (model(&device), model(&device));
        let history = waits.fit(&data, whole(folder.path(), "a")).unwrap();
        let other = block_on(async { lets_go.fit_async(&data, whole(folder.path(), "b")).await }).unwrap();
        assert_eq!(history.get("val_loss"), other.get("val_loss"), "{device}");
        assert_eq!(history.get("loss"), other.get("loss"));
        assert_eq!(bits(&waits), bits(&lets_go), "{device}");
        let seen = waits.evaluate(&data, 9).unwrap();
        assert_eq!(seen["loss"], block_on(lets_go.evaluate_async(&data, 9)).unwrap()["loss"]);
        assert_eq!(waits.predict(&data, 9).unwrap(), block_on(lets_go.predict_async(&data, 9)).unwrap());
        let batch = HostTensor::f32([2, 4], vec![0.5; 8]).unwrap();
        let y = HostTensor::f32([2, 1], vec![0.1; 2]).unwrap();
        let report = waits.train_on_batch((&batch, &y)).unwrap();
        assert_eq!(report, block_on(lets_go.train_on_batch_async((&batch, &y))).unwrap());
        assert_eq!(waits.predict_on_batch(&batch).unwrap(), block_on(lets_go.predict_on_batch_async(&batch)).unwrap());
        SUITE.ran(1);
    }
}

/// An executor may move a future between threads.
#[test]
fn the_future_can_be_sent() {
    fn sent<T: Send>(work: T) -> T {
        work
    }
    let (mut m, data) = (model(&Device::cpu()), table(16));
    let work = sent(m.fit_async(&data, Fit::new().epochs(1).verbose(0)));
    block_on(work).unwrap();
    let thread = std::thread::spawn(move || {
        block_on(sent(m.evaluate_async(&data, 4))).unwrap();
        block_on(sent(m.predict_async(&data, 4))).unwrap();
    });
    thread.join().unwrap();
    SUITE.ran(1);
}

/// Two models on one thread take turns, and neither learns of the other.
#[test]
fn two_futures_on_one_thread() {
    for device in SUITE.devices() {
        let data = table(64);
        let fit = || Fit::new().epochs(3).batch_size(8).verbose(0);
        let mut alone = model(&device);
        alone.fit(&data, fit()).unwrap();
        let (mut a, mut b) = (model(&device), model(&device));
        {
            let (mut first, mut second) = (pin!(a.fit_async(&data, fit())), pin!(b.fit_async(&data, fit())));
            let (mut turns, mut done) = ([0, 0], [false, false]);
            while done != [true, true] {
                if !done[0] {
                    done[0] = polled(first.as_mut(), 1).is_some();
                    turns[0] += 1;
                }
                if !done[1] {
                    done[1] = polled(second.as_mut(), 1).is_some();
                    turns[1] += 1;
                }
            }
            assert!(turns.iter().all(|t| *t > 3), "{turns:?} turns: it did not let go of the thread");
        }
        assert_eq!(bits(&alone), bits(&a));
        assert_eq!(bits(&alone), bits(&b));
        SUITE.ran(1);
    }
}

/// Every turn asks to be polled again: an executor that waits for the waker gets on.
#[test]
fn a_waker_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let (mut m, data) = (model(&Device::cpu()), table(16));
    let mut work = pin!(m.fit_async(&data, Fit::new().epochs(2).batch_size(4).verbose(0)));
    let mut polls = 0;
    while work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        polls += 1;
        assert_eq!(count.0.load(Ordering::Relaxed), polls);
    }
    assert!(polls >= 2, "{polls}");
    SUITE.ran(1);
}

/// A fit that is dropped in the middle leaves a model with so many steps behind it, and nothing else.
#[test]
fn dropped_in_mid_fit() {
    for device in SUITE.devices() {
        let data = table(64);
        let fit = || Fit::new().epochs(20).batch_size(8).steps_per_submit(2).verbose(0);
        let (mut held, mut parts) = (None, 0);
        for polls in [1, 2, 3, 5, 8, 13, 40] {
            let mut m = model(&device);
            {
                let mut work = pin!(m.fit_async(&data, fit()));
                assert!(polled(work.as_mut(), polls).is_none(), "{device}: the run was over after {polls} turns");
            }
            // readable at once, and the count of steps is that of the weights
            let weights = bits(&m);
            m.evaluate(&data, 16).unwrap();
            m.predict(&data, 16).unwrap();
            let one = data.clone().take(8);
            let steps = m.train_on_batch(&one).unwrap().step - 1;
            let mut other = model(&device);
            let mut run = other.trainer(&data, fit()).unwrap();
            let mut left = steps as usize;
            while left > 0 {
                left -= run.steps(left).unwrap().unwrap().losses.len();
            }
            assert_eq!(weights, bits(run.model()), "{device}: after {polls} turns, {steps} steps");
            parts += usize::from(steps > 0);
            // trains on, and holds no more than a model that was never dropped
            m.fit(&data, fit().epochs(1)).unwrap();
            let bytes = m.device_bytes();
            assert!(*held.get_or_insert(bytes) == bytes, "{device}: {bytes} bytes, and {held:?} before");
        }
        assert!(parts > 2, "{device}: {parts}");
        SUITE.ran(1);
    }
}

/// Dropped over and over: what was under way is not kept.
#[test]
fn dropped_many_times() {
    for device in SUITE.devices() {
        let data = table(64);
        let mut m = model(&device);
        m.fit(&data, Fit::new().batch_size(8).verbose(0)).unwrap();
        m.evaluate(&data, 16).unwrap();
        m.predict(&data, 16).unwrap();
        let bytes = m.device_bytes();
        for i in 0..30 {
            drop(polled(pin!(m.fit_async(&data, Fit::new().batch_size(8).steps_per_submit(1).verbose(0))), 1 + i % 7));
            drop(polled(pin!(m.evaluate_async(&data, 16)), 1 + i % 3));
            drop(polled(pin!(m.predict_async(&data, 16)), 1 + i % 3));
        }
        m.fit(&data, Fit::new().batch_size(8).verbose(0)).unwrap();
        m.predict(&data, 16).unwrap();
        assert_eq!(m.device_bytes(), bytes, "{device}");
        SUITE.ran(1);
    }
}

/// A loop by turns: the same reports in sum, the same bits; a checkpoint and an evaluation between two turns disturb nothing.
#[test]
fn turns_give_the_bits_of_fit() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let data = table(77);
        let fit = || Fit::new().epochs(3).batch_size(8).accumulate(2).verbose(0);
        let mut waits = model(&device);
        let expected = waits.fit(&data, fit()).unwrap();
        let mut m = model(&device);
        let mut run = m.trainer(&data, fit()).unwrap();
        let (mut losses, mut epochs, mut turns, mut pending) = (0, 0, 0, 0);
        let path = folder.path().join(format!("{}.gradus", device.kind()));
        let history = loop {
            turns += 1;
            match run.turn().unwrap() {
                Turn::Progress(report) => losses += report.losses.len(),
                Turn::Epoch(report) => {
                    assert!(report.epoch_ended);
                    (losses, epochs) = (losses + report.losses.len(), epochs + 1);
                }
                Turn::Done(history) => break history,
                _ => pending += 1,
            }
            if turns == 3 {
                run.checkpoint(&path).unwrap();
            }
            if turns == 4 {
                run.evaluate(&data, 16).unwrap();
            }
        };
        assert_eq!((losses, epochs), (15, 3), "{device}: {turns} turns, {pending} of them pending");
        assert!(matches!(run.turn().unwrap(), Turn::Done(_)));
        assert_eq!(expected.get("loss"), history.get("loss"));
        assert_eq!(bits(&waits), bits(run.model()), "{device}");
        // a run goes on from the file to the same bits, by steps
        let mut m = model(&device);
        let mut run = m.trainer(&data, fit().checkpoint(Checkpoint::new(&path)).resume(Resume::Required)).unwrap();
        while run.steps(2).unwrap().is_some() {}
        assert_eq!(bits(&waits), bits(run.model()), "{device}: resumed");
        assert_eq!(expected.get("loss"), run.history().get("loss"));
        SUITE.ran(1);
    }
}

/// `steps` after turns sees to what they have left under way.
#[test]
fn steps_after_turns() {
    for device in SUITE.devices() {
        let data = table(64);
        let fit = || Fit::new().epochs(2).batch_size(8).steps_per_submit(1).verbose(0);
        let mut waits = model(&device);
        waits.fit(&data, fit()).unwrap();
        let mut m = model(&device);
        let mut run = m.trainer(&data, fit()).unwrap();
        let mut losses = 0;
        while !run.is_over() {
            if let Turn::Progress(r) | Turn::Epoch(r) = run.turn().unwrap() {
                losses += r.losses.len();
            }
            losses += run.steps(3).unwrap().map_or(0, |r| r.losses.len());
        }
        assert_eq!(losses, 16, "{device}");
        assert_eq!(bits(&waits), bits(run.model()), "{device}");
        SUITE.ran(1);
    }
}

/// A budget of seconds ends a run by turns as it ends one that waits: time between two turns counts while steps are under way.
#[test]
fn turns_within_a_budget() {
    use gradus::train::Budget;
    for device in SUITE.devices() {
        let data = table(64);
        let endless = Fit::new().batch_size(8).steps_per_submit(1).verbose(0);
        let mut m = model(&device);
        let mut run = m.trainer(&data, endless.clone().budget(Budget::updates(11))).unwrap();
        let mut losses = 0;
        while let turn @ (Turn::Progress(_) | Turn::Epoch(_) | Turn::Pending) = run.turn().unwrap() {
            if let Turn::Progress(r) | Turn::Epoch(r) = turn {
                losses += r.losses.len();
            }
        }
        assert_eq!(losses, 11, "{device}");
        let data = table(6400);
        let mut run = m.trainer(&data, endless.budget(Budget::seconds(0.05))).unwrap();
        let began = std::time::Instant::now();
        let mut losses = 0;
        loop {
            match run.turn().unwrap() {
                Turn::Done(_) => break,
                Turn::Progress(r) | Turn::Epoch(r) => losses += r.losses.len(),
                _ => {}
            }
            assert!(began.elapsed().as_secs() < 60, "{device}: the budget of 0.05 s does not end it");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // the pauses count where steps are under way in them: not the 800 of an epoch
        assert!(losses > 0 && (device.kind() == "cpu" || losses < 400), "{device}: {losses}");
        SUITE.ran(1);
    }
}

/// What is done between two turns finds the weights of the steps that were told of: kept weights, evaluation, an end.
#[test]
fn between_two_turns() {
    for device in SUITE.devices() {
        let data = table(64);
        let fit = || Fit::new().epochs(3).batch_size(8).steps_per_submit(1).verbose(0);
        let mut m = model(&device);
        let mut run = m.trainer(&data, fit()).unwrap();
        let mut told = 0;
        while told < 4 {
            if let Turn::Progress(r) = run.turn().unwrap() {
                told += r.losses.len();
            }
        }
        run.keep_weights("here").unwrap();
        let there = bits(run.model());
        for _ in 0..3 {
            run.turn().unwrap();
        }
        run.restore_weights("here").unwrap();
        assert_eq!(bits(run.model()), there, "{device}");
        run.turn().unwrap();
        run.stop();
        let (mut last, mut done) = (0, false);
        for _ in 0..100 {
            match run.turn().unwrap() {
                Turn::Done(_) => done = true,
                Turn::Progress(r) | Turn::Epoch(r) => {
                    assert!(!done, "{device}: steps after the end");
                    last = r.step;
                }
                _ => std::thread::yield_now(),
            }
        }
        assert!(done && last <= 24, "{device}");
        SUITE.ran(1);
    }
}

/// Batches by hand, evaluations and predictions that are dropped: what counts is what the weights have, and the next answer is its own.
#[test]
fn dropped_by_hand() {
    for device in SUITE.devices() {
        let data = table(64);
        let batch = |i: usize| data.clone().take(4 + i);
        let (mut dropped, mut whole) = (model(&device), model(&device));
        let folder = tempfile::tempdir().unwrap();
        for i in 0..6 {
            // nothing is left of the last one, so this one is queued at its first turn; the second model does it whole
            dropped.save(folder.path().join("model")).unwrap();
            let ended = polled(pin!(dropped.train_on_batch_async(&batch(i))), 1);
            let report = whole.train_on_batch(batch(i)).unwrap();
            assert!(ended.is_none_or(|r| r.unwrap() == report), "{device}");
            drop(polled(pin!(dropped.evaluate_async(&data, 5)), 1 + i));
            drop(polled(pin!(dropped.predict_async(&data, 64)), 1));
            assert_eq!(dropped.predict(&data, 16).unwrap(), whole.predict(&data, 16).unwrap(), "{device}: after {i}");
            assert_eq!(dropped.evaluate(&data, 7).unwrap()["loss"], whole.evaluate(&data, 7).unwrap()["loss"], "{device}: after {i}");
        }
        assert_eq!(dropped.train_on_batch(batch(0)).unwrap(), whole.train_on_batch(batch(0)).unwrap(), "{device}");
        assert_eq!(bits(&dropped), bits(&whole), "{device}");
        SUITE.ran(1);
    }
}

/// A file that is written after a fit was dropped holds the counters that belong to its weights.
#[test]
fn saved_after_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let data = table(64);
        let mut m = model(&device);
        drop(polled(pin!(m.fit_async(&data, Fit::new().epochs(9).batch_size(8).steps_per_submit(1).verbose(0))), 9));
        let path = folder.path().join(device.kind());
        m.save(&path).unwrap();
        let mut other = Model::load_on(&path, device.clone()).unwrap();
        assert_eq!(bits(&m), bits(&other));
        let one = data.clone().take(8);
        assert_eq!(m.train_on_batch(&one).unwrap(), other.train_on_batch(&one).unwrap(), "{device}");
        assert_eq!(bits(&m), bits(&other));
        SUITE.ran(1);
    }
}
