//! How long a run may be: by updates, rows, part of an epoch or seconds, each to the bits of as many steps by hand.

use gradus::optim::schedule::Span;
use gradus::prelude::*;
use gradus::train::Budget;

/// 103 rows: 13 updates an epoch in batches of 8, the last one of 7 rows.
fn rows() -> Dataset {
    let x = HostTensor::f32([103, 3], (0..309).map(|i| (i * 7 % 11) as f32 / 11.0).collect()).unwrap();
    let y = HostTensor::f32([103, 1], (0..103).map(|i| (i * 5 % 7) as f32 / 7.0).collect()).unwrap();
    Dataset::new(x, y).unwrap()
}

fn model_at(rate: impl Into<Schedule>) -> Model {
    let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Dropout::new(0.1)).add(Linear::new(1));
    net.compile(Compile::new(Adam::new(rate), Mse::new()).input([3]).device(Device::cpu_threads(1))).unwrap()
}

fn model() -> Model {
    model_at(0.01)
}

fn fit() -> Fit {
    Fit::new().batch_size(8).verbose(0)
}

fn weights(model: &Model) -> Vec<HostTensor> {
    model.parameter_names().map(|n| model.parameter(n).unwrap()).collect()
}

/// So many steps of a long run by epochs: the weights, and the loss over the open epoch.
fn by_hand(steps: usize, fit: Fit) -> (Vec<HostTensor>, f64) {
    let mut m = model();
    let mut run = m.trainer(&rows(), fit.epochs(9)).unwrap();
    while run.steps_done() < steps {
        let left = steps - run.steps_done();
        run.steps(left).unwrap();
    }
    let open = run.so_far()["loss"];
    (weights(&m), open)
}

#[test]
fn steps_of_a_longer_run() {
    for (budget, steps) in [
        (Budget::updates(20), 20),
        (Budget::updates(13), 13),
        (Budget::rows(103 + 50), 20),
        (Budget::rows(103), 13),
        (Budget::epochs(1.55), 20),
        (Budget::epochs(4).or(Budget::updates(21)).or(Budget::rows(155)), 20),
        (Budget::updates(5), 5),
    ] {
        let (expected, open) = by_hand(steps, fit());
        let mut m = model();
        let history = m.fit(&rows(), fit().budget(budget).validation(&rows())).unwrap();
        assert_eq!(weights(&m), expected, "{budget:?}");
        // an epoch that was cut has a line, too
        assert_eq!((history.epochs(), history["val_loss"].len()), (steps.div_ceil(13), steps.div_ceil(13)), "{budget:?}");
        assert_eq!(*history["val_loss"].last().unwrap(), m.evaluate(&rows(), 103).unwrap()["loss"]);
        if steps % 13 > 0 {
            assert_eq!(*history["loss"].last().unwrap(), open);
        }
        // a loop of one's own ends there, too
        let mut m = model();
        let mut run = m.trainer(&rows(), fit().budget(budget)).unwrap();
        while run.steps(3).unwrap().is_some() {}
        assert!(run.is_over() && run.steps_done() == steps);
        assert_eq!(weights(&m), expected, "{budget:?}");
    }
    // an update of several batches is one
    let two = || fit().accumulate(2).steps_per_submit(3);
    let mut m = model();
    m.fit(&rows(), two().budget(Budget::updates(10))).unwrap();
    assert_eq!(weights(&m), by_hand(10, two()).0);
}

/// A run that is cut at its budget goes on with a larger one, as if it had not been cut; over again it gives what it gave.
#[test]
fn a_larger_budget_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let with = |updates| {
        let kept = Checkpoint::new(&path).every_epochs(0);
        fit().budget(Budget::updates(updates)).validation(&rows()).checkpoint(kept).resume(Resume::IfPresent)
    };
    let first = model().fit(&rows(), with(20)).unwrap();
    assert_eq!(model().fit(&rows(), with(20)).unwrap(), first);
    let e = model().fit(&rows(), with(19)).unwrap_err().to_string();
    assert!(e.contains("fit.budget") && e.contains("after 19 updates") && e.contains("has 20 behind it"), "{e}");
    let mut resumed = model();
    let history = resumed.fit(&rows(), with(30)).unwrap();
    let mut whole = model();
    let expected = whole.fit(&rows(), fit().budget(Budget::updates(30)).validation(&rows())).unwrap();
    assert_eq!((weights(&resumed), history), (weights(&whole), expected));
}

#[test]
fn seconds_end_a_run() {
    let history = model().fit(&rows(), fit().budget(Budget::seconds(0.2).or(Budget::epochs(1e9)))).unwrap();
    let seconds: f64 = history.seconds().iter().sum();
    assert!((0.2..20.0).contains(&seconds) && history.epochs() > 1, "{seconds} {}", history.epochs());
    let few = model().fit(&rows(), fit().budget(Budget::seconds(600).or(Budget::updates(3)))).unwrap();
    assert_eq!(few.epochs(), 1);
    let bad = fit().budget(Budget::seconds(f64::NAN).or(Budget::epochs(0)).or(Budget::updates(0)).or(Budget::rows(0)));
    let e = model().fit(&rows(), bad).unwrap_err().to_string();
    assert!(e.starts_with("4 settings") && e.contains("fit.budget.rows"), "{e}");
}

/// A schedule whose lengths are parts of the run, or epochs, is the one of as many updates; so it is after a resume and a second `fit`.
#[test]
fn schedules_relative_to_the_run() {
    let relative = || Schedule::cosine(0.05, Span::Share(0.8)).warmup(Span::Epochs(0.5));
    // 4 epochs of 13 updates: 41.6 of 52, and half of 13
    let (absolute, fits) = (Schedule::cosine(0.05, 42).warmup(7), || fit().epochs(4));
    let (mut a, mut b) = (model_at(relative()), model_at(absolute.clone()));
    assert_eq!(a.fit(&rows(), fits()).unwrap(), b.fit(&rows(), fits()).unwrap());
    assert_eq!(weights(&a), weights(&b));
    let mut run = a.trainer(&rows(), fit().epochs(1)).unwrap();
    // 13 more updates: the run is the last fifth of one of 65
    assert_eq!(run.learning_rate(), Schedule::cosine(0.05, 52).warmup(7).at(52));
    run.steps(1).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let kept = || fits().checkpoint(Checkpoint::new(&path));
    let mut cut = model_at(relative());
    let mut run = cut.trainer(&rows(), kept()).unwrap();
    run.steps(9).unwrap();
    run.checkpoint(&path).unwrap();
    let mut resumed = model_at(relative());
    resumed.fit(&rows(), kept().resume(Resume::Required)).unwrap();
    assert_eq!(weights(&resumed), weights(&b));

    // nobody knows how long this is
    let says = |e: gradus::Error| {
        let text = e.to_string();
        assert!(e.code() == "invalid-config" && text.contains("optimizer.lr") && text.contains("relative to the run"), "{text}");
    };
    let mut m = model_at(relative());
    let before = weights(&m);
    says(m.fit(&rows(), fit().budget(Budget::seconds(9))).unwrap_err());
    let batch = |n: usize| HostTensor::f32([2, n], vec![0.5; 2 * n]).unwrap();
    let mut fresh = model_at(relative());
    says(fresh.train_on_batch([("x", batch(3)), ("y", batch(1))]).unwrap_err());
    assert_eq!((weights(&m), weights(&fresh)), (before.clone(), before));
    // epochs are known whatever ends the run
    model_at(Schedule::step(0.01, Span::Epochs(1.0), 0.5)).fit(&rows(), fit().budget(Budget::seconds(0.05))).unwrap();
}
