//! Several workers and a server: in step to the bits of one worker that accumulates, out of step within the bound, and what becomes of the run when
//! somebody fails.

use crate::common::need::Suite;
use gradus::exchange::{Exchange, Hello, Mode, Pulled, Push, Reply, Worker};
use gradus::optim::LossScale;
use gradus::prelude::*;
use gradus::server::{Cluster, Event, Flow, Outer, Rules, Server};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

static SUITE: Suite = Suite::new("workers", 27);

fn digits(rows: usize) -> Dataset {
    data::synthetic_digits(4, rows, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

/// What a run may be made of: each of these is somewhere that workers could differ from one that accumulates.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Clipped,
    Norms,
    Mixed,
}

fn model(kind: Kind, device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(24));
    let net = if let Kind::Norms = kind { net.add(BatchNorm1d::new()) } else { net };
    let net = net.add(Relu).add(Dropout::new(0.2)).add(Linear::new(16)).add(Relu).add(Linear::new(10));
    let rate = Schedule::cosine(3e-3, 30).warmup(4);
    let settings = Compile::new(AdamW::new(rate).weight_decay(0.1), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(3);
    let settings = match kind {
        Kind::Clipped => settings.clip_norm(0.5).ema(0.9),
        Kind::Mixed => settings.precision(Precision::mixed()),
        _ => settings,
    };
    net.compile(settings.device(device.clone())).unwrap()
}

fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let of = |n: &str| (n.to_string(), model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect());
    model.parameter_names().map(of).collect()
}

fn fit() -> Fit {
    Fit::new().epochs(3).batch_size(8).verbose(0)
}

fn sync(workers: usize) -> Cluster {
    Cluster::new(Rules::new(workers))
}

/// 203 rows in batches of 8: the last batch is smaller, and the last update of an epoch has fewer batches than there are workers.
#[test]
fn workers_in_step_have_the_bits_of_one_that_accumulates() {
    let data = digits(203);
    for device in SUITE.devices() {
        for kind in [Kind::Plain, Kind::Clipped, Kind::Norms, Kind::Mixed] {
            for workers in [1, 2, 4] {
                let mut alone = model(kind, &device);
                let history = alone.fit(&data, fit().accumulate(workers)).unwrap();
                let run = || sync(workers).fit(model(kind, &device), |_| Ok(model(kind, &device)), &data, &fit()).unwrap();
                let together = run();
                assert_eq!(together.standing.updates, 3 * 26usize.div_ceil(workers) as u64);
                assert!(bits(&alone) == bits(&together.model), "{kind:?}, {workers} workers on {device}");
                for name in ["loss", "accuracy"] {
                    let pairs = history.get(name).iter().zip(together.history.get(name));
                    assert!(pairs.clone().count() == 3 && pairs.clone().all(|(a, b)| (a - b).abs() < 1e-9), "{name}");
                }
                if let Kind::Clipped = kind {
                    let of = |m: &Model| m.ema_parameter("0.weight").unwrap();
                    assert!(of(&alone) == of(&together.model), "the average of the weights");
                }
                if workers == 2 {
                    assert!(bits(&run().model) == bits(&together.model), "it does not repeat");
                }
            }
        }
        SUITE.ran(1);
    }
}

/// Three workers, of 5, 12 and 3 rows of their own, make the gradient of all 20 rows.
#[test]
fn rows_of_ones_own_count_by_their_number() {
    let data = digits(20);
    let compile = || {
        let settings = Compile::new(Sgd::new(1.0), CrossEntropy::new()).input([784]).seed(5).device(Device::cpu());
        Sequential::new().add(Linear::new(10)).compile(settings).unwrap()
    };
    let mut alone = compile();
    alone.fit(&data, Fit::new().batch_size(20).shuffle(false).verbose(0)).unwrap();
    let server = Server::new(compile(), Rules::new(3)).unwrap();
    std::thread::scope(|scope| {
        for (rank, rows) in [0..5usize, 5..17, 17..20].into_iter().enumerate() {
            let (mut link, part) = (server.link(), data.select(rows).unwrap());
            let fit = Fit::new().batch_size(20).shuffle(false);
            scope.spawn(move || compile().worker(&mut link, Worker::new(rank, 3).own_rows()).run(&part, &fit).unwrap());
        }
    });
    let together = server.into_model().unwrap();
    for name in ["0.weight", "0.bias"] {
        let (a, b) = (alone.parameter(name).unwrap(), together.parameter(name).unwrap());
        let off = a.as_f32().unwrap().iter().zip(b.as_f32().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-6, "{name} is off by {off}");
    }
    SUITE.ran(1);
}

/// Where a worker has fewer rows than the others it rests at the end of each epoch, and the run comes to its end.
#[test]
fn a_worker_with_fewer_rows_rests() {
    for mode in [Mode::Sync, Mode::SemiAsync { staleness: 1 }, Mode::Async, Mode::Local { every: 2 }] {
        let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(2).mode(mode)).unwrap();
        let epochs = Arc::new(AtomicUsize::new(0));
        let seen = epochs.clone();
        server.watch(move |event| {
            if let Event::Epoch { .. } = event {
                seen.fetch_add(1, SeqCst);
            }
            Ok(Flow::Go)
        });
        std::thread::scope(|scope| {
            for (rank, rows) in [40, 9].into_iter().enumerate() {
                let (mut link, fit) = (server.link(), fit());
                let run = move || {
                    let mut model = model(Kind::Plain, &Device::cpu_threads(1));
                    model.worker(&mut link, Worker::new(rank, 2).own_rows()).run(&digits(rows), &fit).unwrap()
                };
                scope.spawn(run);
            }
        });
        let standing = server.standing();
        let pushes = if mode.is_local() { 9 } else { 15 };
        assert_eq!((epochs.load(SeqCst), standing.over, standing.clocks), (3, true, vec![pushes; 2]), "{mode}");
        SUITE.ran(1);
    }
}

/// Every mode learns, and nobody is further ahead than the mode allows.
#[test]
fn every_mode_learns_within_its_bound() {
    let (data, test) = data::synthetic_digits(0, 2_000, 500).unwrap();
    let (data, test) = (data.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0));
    let compile = |threads| {
        let settings = Compile::new(Sgd::new(0.1).momentum(0.5), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(1);
        let net = Sequential::new().add(Linear::new(32)).add(Relu).add(Linear::new(10));
        net.compile(settings.device(Device::cpu_threads(threads)))
    };
    let fit = Fit::new().epochs(4).batch_size(16).verbose(0);
    let mut alone = compile(1).unwrap();
    alone.fit(&data, fit.clone()).unwrap();
    let reached = alone.evaluate(&test, 500).unwrap()["accuracy"];
    let rules = |mode| Rules::new(3).mode(mode);
    let all = [
        rules(Mode::Sync),
        rules(Mode::SemiAsync { staleness: 1 }).damped(true),
        rules(Mode::SemiAsync { staleness: 4 }),
        rules(Mode::Async),
        rules(Mode::Local { every: 5 }),
        rules(Mode::Local { every: 5 }).outer(Outer::diloco()),
    ];
    for rules in all {
        let outcome = Cluster::new(rules.clone()).fit(compile(1).unwrap(), |_| compile(1), &data, &fit).unwrap();
        let accuracy = outcome.model.evaluate(&test, 500).unwrap()["accuracy"];
        assert!(accuracy > reached - 0.1, "{}: {accuracy}, and {reached} alone", rules.mode);
        let s = &outcome.standing;
        assert!(rules.mode.bound().is_none_or(|bound| s.greatest_staleness <= bound), "{}: {}", rules.mode, s.greatest_staleness);
        let updates = match rules.mode {
            Mode::Sync => 4 * 125u64.div_ceil(3),
            Mode::Local { .. } => 4 * 42u64.div_ceil(5),
            _ => 4 * 125,
        };
        assert_eq!(s.updates, updates, "{}", rules.mode);
        SUITE.ran(1);
    }
}

/// Averaging after each step of plain SGD is summing gradients, but for the roundings: without shuffling the same rows meet in the same step.
#[test]
fn averages_after_every_step_are_summed_gradients() {
    let data = digits(64);
    let compile = || {
        let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).seed(5).device(Device::cpu());
        Sequential::new().add(Linear::new(10)).compile(settings)
    };
    let of = |mode| {
        let fit = Fit::new().epochs(2).batch_size(8).shuffle(false).verbose(0);
        let outcome = Cluster::new(Rules::new(2).mode(mode)).fit(compile().unwrap(), |_| compile(), &data, &fit).unwrap();
        outcome.model.parameter("0.weight").unwrap()
    };
    let (a, again, b) = (of(Mode::Local { every: 1 }), of(Mode::Local { every: 1 }), of(Mode::Sync));
    assert!(a == again, "it does not repeat");
    let off = a.as_f32().unwrap().iter().zip(b.as_f32().unwrap()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-6, "off by {off}");
    SUITE.ran(1);
}

/// A link that changes what goes through it, or notes it.
pub struct Meddler<E> {
    pub link: E,
    pub push: Box<dyn FnMut(Push) -> Push + Send>,
}

impl<E: Exchange> Exchange for Meddler<E> {
    fn mode(&mut self) -> gradus::Result<Mode> {
        self.link.mode()
    }
    fn join(&mut self, hello: &Hello) -> gradus::Result<gradus::exchange::Welcome> {
        self.link.join(hello)
    }
    fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
        self.link.pull(clock, into)
    }
    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
        let push = (self.push)(*push);
        let all = push.finite;
        self.link.push(&push, if all { values } else { &[] }, if all { buffers } else { &[] })
    }
    fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
        self.link.leave(done)
    }
}

/// A worker whose gradients are not finite ends the run of all, and is named.
#[test]
fn a_gradient_that_is_not_finite_names_its_worker() {
    let data = digits(64);
    let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(3)).unwrap();
    let errors = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for rank in 0..3 {
            let (link, server, data, errors) = (server.link(), &server, &data, &errors);
            scope.spawn(move || {
                let push = Box::new(move |p: Push| Push { finite: p.finite && (rank, p.clock) != (1, 2), ..p });
                let mut link = Meddler { link, push };
                let mut model = model(Kind::Plain, &Device::cpu_threads(1));
                let e = model.worker(&mut link, Worker::new(rank, 3)).run(data, &fit()).unwrap_err();
                server.fail(&e.to_string());
                errors.lock().unwrap().push(e.to_string());
            });
        }
    });
    let errors = errors.into_inner().unwrap();
    assert!(errors.len() == 3 && errors.iter().all(|e| e.contains("worker 1")), "{errors:?}");
    assert_eq!(server.standing().updates, 2);
    SUITE.ran(1);
}

/// Under a loss scale the clock is void for all, and the scale is halved for all.
#[test]
fn under_a_loss_scale_such_a_clock_is_void() {
    let data = digits(64);
    let server = Server::new(model(Kind::Mixed, &Device::cpu()), Rules::new(2)).unwrap();
    let scales = Arc::new(Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for rank in 0..2 {
            let (link, data, scales) = (server.link(), &data, scales.clone());
            scope.spawn(move || {
                let push = Box::new(move |p: Push| {
                    scales.lock().unwrap().push((p.clock, p.scale.unwrap()));
                    Push { finite: (rank, p.clock) != (1, 1), ..p }
                });
                let mut link = Meddler { link, push };
                model(Kind::Mixed, &Device::cpu_threads(1)).worker(&mut link, Worker::new(rank, 2)).run(data, &fit()).unwrap();
            });
        }
    });
    let mut scales = scales.lock().unwrap().clone();
    scales.sort_by_key(|s| s.0);
    let expected = |clock| if clock < 2 { 65536.0 } else { 32768.0 };
    assert!(scales.len() == 24 && scales.iter().all(|(clock, scale)| *scale == expected(*clock)), "{scales:?}");
    let standing = server.standing();
    assert_eq!((standing.updates, standing.skipped), (11, 1));
    SUITE.ran(1);
}

/// A worker that stops in the middle, as if it had been killed, and one that takes its place: the bits of a run that nobody disturbed.
#[test]
fn another_worker_goes_on_where_one_stopped() {
    let data = digits(100);
    let undisturbed =
        sync(2).fit(model(Kind::Clipped, &Device::cpu()), |_| Ok(model(Kind::Clipped, &Device::cpu())), &data, &fit()).unwrap();
    let server = Server::new(model(Kind::Clipped, &Device::cpu()), Rules::new(2)).unwrap();
    let run = |rank: usize, stop: u64| {
        let push = Box::new(move |p: Push| if p.clock == stop { panic!("killed, as planned") } else { p });
        let mut link = Meddler { link: server.link(), push };
        model(Kind::Clipped, &Device::cpu_threads(1)).worker(&mut link, Worker::new(rank, 2)).run(&data, &fit()).unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(0, u64::MAX));
        assert!(scope.spawn(|| run(1, 5)).join().is_err());
        let report = scope.spawn(|| run(1, u64::MAX)).join().unwrap();
        assert_eq!((report.began_at, report.pushes), (5, 16));
    });
    assert!(bits(&undisturbed.model) == bits(&server.into_model().unwrap()));
    SUITE.ran(1);
}

/// Two workers of one rank: the newer is served, the older is told.
#[test]
fn an_older_worker_of_a_rank_is_refused() {
    let data = digits(40);
    let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(1)).unwrap();
    let newer = server.clone();
    let mut taken = false;
    let other = data.clone();
    let push = Box::new(move |p: Push| {
        if p.clock == 3 && !std::mem::replace(&mut taken, true) {
            let report = model(Kind::Plain, &Device::cpu()).worker(&mut newer.link(), Worker::new(0, 1)).run(&other, &fit()).unwrap();
            assert_eq!((report.began_at, report.pushes), (3, 12));
        }
        p
    });
    let mut link = Meddler { link: server.link(), push };
    let e = model(Kind::Plain, &Device::cpu()).worker(&mut link, Worker::new(0, 1)).run(&data, &fit()).unwrap_err();
    assert_eq!(e.code(), "distributed");
    assert!(e.to_string().contains("a newer worker has taken this one's rank"), "{e}");
    let mut alone = model(Kind::Plain, &Device::cpu());
    alone.fit(&data, fit()).unwrap();
    assert!(bits(&alone) == bits(&server.into_model().unwrap()), "the older worker has left something");
    SUITE.ran(1);
}

/// What does not fit is an error that says what to do.
#[test]
fn what_does_not_fit_is_refused() {
    let data = digits(40);
    let told = |server: &Server, worker: Worker, model: &mut Model, fit: Fit| {
        model.worker(&mut server.link(), worker).run(&data, &fit).unwrap_err().to_string()
    };
    let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(2).deadline(0.2)).unwrap();
    let mut same = model(Kind::Plain, &Device::cpu());
    let e = told(&server, Worker::new(0, 2), &mut model(Kind::Clipped, &Device::cpu()), fit());
    assert!(e.contains("fingerprint") && e.contains("same recipe"), "{e}");
    assert!(told(&server, Worker::new(0, 3), &mut same, fit()).contains("for 2 workers"));
    assert!(told(&server, Worker::new(2, 2), &mut same, fit()).contains("rank"));
    assert!(told(&server, Worker::new(0, 2), &mut same, fit().accumulate(2)).contains("fit.accumulate"));
    // nobody else comes
    let e = told(&server, Worker::new(0, 2), &mut same, fit());
    assert!(e.contains("nothing has come from worker 1 for 0.2 seconds"), "{e}");
    for rules in [Rules::new(0), Rules::new(2).deadline(0.0), Rules::new(2).damped(true), Rules::new(2).outer(Outer::diloco())] {
        assert_eq!(Server::new(model(Kind::Plain, &Device::cpu()), rules).unwrap_err().code(), "invalid-config");
    }
    SUITE.ran(1);
}

/// What would train something else is refused: each of these is a fault that nothing else would show.
#[test]
fn workers_that_train_something_else_are_refused() {
    let net = |p: f64| Sequential::new().add(Linear::new(8)).add(Dropout::new(p)).add(Linear::new(10));
    let settings = || Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).device(Device::cpu());
    let make = |p, settings: Compile| net(p).compile(settings).unwrap();
    let server = Server::new(make(0.1, settings()), Rules::new(2).deadline(0.3)).unwrap();
    let fit = || Fit::new().batch_size(8).verbose(0);
    let data = digits(40);
    let told = |p, settings: Compile, fit: Fit, data: &Dataset| {
        let mut model = make(p, settings);
        model.worker(&mut server.link(), Worker::new(1, 2)).run(data, &fit).unwrap_err().to_string()
    };
    std::thread::scope(|scope| {
        let first =
            scope.spawn(|| make(0.1, settings()).worker(&mut server.link(), Worker::new(0, 2)).run(&data, &fit()).unwrap_err().to_string());
        while server.standing().present == 0 {
            std::thread::yield_now();
        }
        let all = [
            (told(0.1, settings().loss_scale(LossScale::fixed(64.0)), fit(), &data), "fingerprint"),
            (told(0.2, settings(), fit(), &data), "training step"),
            (told(0.1, settings(), fit().batch_size(9), &data), "batch size of 9"),
            (told(0.1, settings(), fit().shuffle(false), &data), "shuffled"),
            (told(0.1, settings(), fit().epochs(2), &data), "epochs 2"),
            (told(0.1, settings(), fit(), &digits(39)), "39 rows"),
        ];
        for (error, what) in all {
            assert!(error.contains(what), "{error}");
        }
        assert!(first.join().unwrap().contains("worker 1"));
    });
    SUITE.ran(1);
}

/// In the modes that go on without others a run of two comes to its end with one.
#[test]
fn elastic_modes_go_on_without_one_that_does_not_come() {
    for (mode, updates) in [(Mode::Local { every: 2 }, 9), (Mode::SemiAsync { staleness: 1 }, 15), (Mode::Async, 15)] {
        let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(2).mode(mode).deadline(2.0)).unwrap();
        let (epochs, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
        let (count, lost) = (epochs.clone(), seen.clone());
        server.watch(move |event| {
            match event {
                Event::Epoch { .. } => drop(count.fetch_add(1, SeqCst)),
                Event::Lost { rank } => lost.lock().unwrap().push(rank),
                _ => {}
            }
            Ok(Flow::Go)
        });
        model(Kind::Plain, &Device::cpu()).worker(&mut server.link(), Worker::new(0, 2).own_rows()).run(&digits(40), &fit()).unwrap();
        let lost = seen.lock().unwrap().clone();
        assert_eq!((server.standing().updates, epochs.load(SeqCst), lost), (updates, 3, vec![1]), "{mode}");
        SUITE.ran(1);
    }
}

/// A server's model that has trained before goes on as `fit` does: other orders, other draws, the schedule and the statistics where they were.
#[test]
fn a_model_that_has_trained_goes_on() {
    let data = digits(60);
    let trained = || {
        let mut m = model(Kind::Norms, &Device::cpu());
        m.fit(&data, fit().epochs(2)).unwrap();
        m
    };
    let mut alone = trained();
    alone.fit(&data, fit()).unwrap();
    let outcome = sync(1).fit(trained(), |_| Ok(model(Kind::Norms, &Device::cpu())), &data, &fit()).unwrap();
    assert!(bits(&alone) == bits(&outcome.model));
    for name in ["1.running_mean", "1.running_var"] {
        assert!(alone.buffer(name).unwrap() == outcome.model.buffer(name).unwrap(), "{name}");
    }
    SUITE.ran(1);
}

/// A watcher stops a run, ends it with its error, and changes what workers are given.
#[test]
fn who_watches_decides() {
    let data = digits(40);
    let run = |watch: fn(Event<'_>) -> gradus::Result<Flow>| {
        let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(1)).unwrap();
        server.watch(watch);
        let done = model(Kind::Plain, &Device::cpu()).worker(&mut server.link(), Worker::new(0, 1)).run(&data, &fit());
        (done, server.standing(), server.into_model().unwrap())
    };
    let (done, standing, _) = run(|e| Ok(if let Event::Update { number: 7, .. } = e { Flow::Stop } else { Flow::Go }));
    assert_eq!((done.unwrap().pushes, standing.updates, standing.over), (7, 7, true));
    let (done, standing, _) = run(|e| match e {
        Event::Epoch { .. } => Err(gradus::Error::callback("no more disk")),
        _ => Ok(Flow::Go),
    });
    assert!(done.unwrap_err().to_string().contains("no more disk"));
    assert_eq!(standing.updates, 5);
    let (done, _, mut m) = run(|e| {
        if let Event::Epoch { epoch: 3, model } = e {
            model.set_parameter("0.bias", &HostTensor::f32([24], vec![0.25; 24])?)?;
        }
        Ok(Flow::Go)
    });
    done.unwrap();
    assert_eq!(m.parameter("0.bias").unwrap().as_f32().unwrap()[7], 0.25);
    let (done, ..) = run(|e| {
        if let Event::Epoch { model: place, .. } = e {
            *place = model(Kind::Plain, &Device::cpu());
        }
        Ok(Flow::Go)
    });
    assert!(done.unwrap_err().to_string().contains("another model"));
    m.fit(&data, fit()).unwrap();
    SUITE.ran(1);
}

/// A worker's thread that panics ends the run of all at once, and is the error.
#[test]
fn a_panic_is_everybodys() {
    let data = digits(40);
    let make = |rank| if rank == 1 { panic!("as planned") } else { Ok(model(Kind::Plain, &Device::cpu())) };
    let e = sync(2).fit(model(Kind::Plain, &Device::cpu()), make, &data, &fit()).unwrap_err().to_string();
    assert!(e.contains("a worker has panicked") && e.contains("worker 1"), "{e}");
    SUITE.ran(1);
}

/// Messages that no worker of gradus sends change nothing.
#[test]
fn what_no_worker_would_send_is_refused() {
    struct Mean<E>(E, Vec<String>);
    impl<E: Exchange> Exchange for Mean<E> {
        fn mode(&mut self) -> gradus::Result<Mode> {
            self.0.mode()
        }
        fn join(&mut self, hello: &Hello) -> gradus::Result<gradus::exchange::Welcome> {
            let bad = [
                Hello { rank: usize::MAX, ..hello.clone() },
                Hello { version: "0".into(), ..hello.clone() },
                Hello { world: 0, ..hello.clone() },
            ];
            for b in bad {
                self.1.push(self.0.join(&b).unwrap_err().to_string());
            }
            self.0.join(hello)
        }
        fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
            assert_eq!(self.0.pull(u64::MAX, into).unwrap(), Reply::Rejoin);
            self.0.pull(clock, into)
        }
        fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
            let bad = [
                (*push, &values[1..]),
                (Push { rows: u64::MAX, ..*push }, values),
                (Push { counted: Some(f32::NAN), ..*push }, values),
                (Push { scale: Some(2.0), ..*push }, values),
                (Push { finite: false, ..*push }, values),
            ];
            for (p, v) in bad {
                self.1.push(self.0.push(&p, v, buffers).unwrap_err().to_string());
            }
            assert_eq!(self.0.push(&Push { clock: u64::MAX, ..*push }, values, buffers).unwrap(), Reply::Rejoin);
            let taken = self.0.push(push, values, buffers);
            assert_eq!(self.0.push(push, values, buffers).unwrap(), Reply::Known);
            taken
        }
        fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
            self.0.leave(done)
        }
    }
    let data = digits(40);
    let server = Server::new(model(Kind::Plain, &Device::cpu()), Rules::new(1)).unwrap();
    let mut link = Mean(server.link(), vec![]);
    model(Kind::Plain, &Device::cpu()).worker(&mut link, Worker::new(0, 1)).run(&data, &fit()).unwrap();
    assert_eq!((link.1.len(), server.standing().known), (3 + 15 * 5, 15));
    let mut alone = model(Kind::Plain, &Device::cpu());
    alone.fit(&data, fit()).unwrap();
    assert!(bits(&alone) == bits(&server.into_model().unwrap()));
    SUITE.ran(1);
}
