//! Workers and server in one process as a host sees them: early stopping, and what it may be asked for.

use crate::common::need::Suite;
use gradus::exchange::Mode;
use gradus::prelude::*;
use gradus::server::{Cluster, Rules};
use gradus::train::callbacks::TerminateOnNaN;

static SUITE: Suite = Suite::new("cluster", 3);

fn digits(seed: u64, rows: usize) -> Dataset {
    data::synthetic_digits(seed, rows, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn model() -> Model {
    let settings = Compile::new(Adam::new(3e-3), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(3);
    let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(10));
    net.compile(settings.device(Device::cpu_threads(1))).unwrap()
}

fn bits(model: &Model) -> Vec<u32> {
    let of = |n: &str| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    model.parameter_names().flat_map(of).collect()
}

fn fit(stop: EarlyStopping) -> Fit {
    Fit::new().epochs(7).batch_size(8).verbose(0).validation(&digits(9, 64)).callback(stop)
}

/// On the validation set and on the loss, stopped and at the end of the run, with the best weights and with the last: in step as one worker.
#[test]
fn it_stops_where_one_worker_does() {
    let data = digits(4, 203);
    let cases = [
        (EarlyStopping::new("val_loss").patience(2).min_delta(10.0).restore_best_weights(true), Some(3), Some(1)),
        (EarlyStopping::new("val_accuracy").patience(50).restore_best_weights(true), None, None),
        (EarlyStopping::new("loss").min_delta(10.0).start_from_epoch(2), Some(4), None),
    ];
    for (stop, stopped, restored) in cases {
        let mut alone = model();
        let told = alone.fit(&data, fit(stop.clone()).accumulate(2)).unwrap();
        let together = Cluster::new(Rules::new(2)).fit(model(), |_| Ok(model()), &data, &fit(stop.clone())).unwrap();
        let seen = &together.history;
        assert_eq!((seen.stopped_epoch(), seen.restored_epoch()), (told.stopped_epoch(), told.restored_epoch()), "{stop:?}");
        assert_eq!(seen.stopped_epoch(), stopped, "{stop:?}");
        assert!(restored.is_none() || seen.restored_epoch() == restored, "{stop:?}");
        for name in ["loss", "accuracy", "val_loss", "val_accuracy"] {
            let off = seen.get(name).iter().zip(told.get(name)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(seen.get(name).len() == stopped.unwrap_or(7) && off < 1e-9, "{name}: {seen:?}, and {told:?}");
        }
        assert!(bits(&alone) == bits(&together.model), "{stop:?}");
    }
    SUITE.ran(1);
}

/// Whoever is ahead has begun the next epoch: it is no part of the history.
#[test]
fn it_stops_out_of_step() {
    let data = digits(4, 203);
    for mode in [Mode::SemiAsync { staleness: 2 }, Mode::Async, Mode::Local { every: 3 }] {
        let stop = EarlyStopping::new("val_loss").patience(1).min_delta(10.0);
        let outcome = Cluster::new(Rules::new(3).mode(mode)).fit(model(), |_| Ok(model()), &data, &fit(stop)).unwrap();
        let h = &outcome.history;
        assert_eq!((h.stopped_epoch(), h.epochs(), h.get("val_loss").len()), (Some(2), 2, 2), "{mode}");
        assert!(outcome.standing.over && !h.interrupted(), "{mode}");
    }
    SUITE.ran(1);
}

/// What a server cannot do is said before anything is trained.
#[test]
fn what_a_server_has_not_is_refused() {
    let data = digits(4, 16);
    let refused = |fit: Fit| Cluster::new(Rules::new(1)).fit(model(), |_| Ok(model()), &data, &fit).unwrap_err().to_string();
    let e = refused(fit(EarlyStopping::new("accuracy")));
    assert!(e.contains("fit.callbacks[0].monitor") && e.contains("val_"), "{e}");
    let e = refused(Fit::new().callback(EarlyStopping::new("val_loss")));
    assert!(e.contains("a validation set"), "{e}");
    assert!(refused(Fit::new().callback(TerminateOnNaN::new())).contains("terminate_on_nan"));
    assert!(refused(fit(EarlyStopping::new("val_los"))).contains("val_los"));
    SUITE.ran(1);
}
