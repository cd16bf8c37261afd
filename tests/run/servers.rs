//! Several servers, each with a range of the parameters: in step to the bits of one, and what none of them can do alone.

use crate::common::need::Suite;
use gradus::exchange::{Exchange, Hello, Mode, Pulled, Push, Reply, Shards, Welcome, Worker, WorkerReport};
use gradus::optim::{Lamb, Optimizer};
use gradus::prelude::*;
use gradus::server::{Cluster, Flow, Outer, Rules, Server, Watcher};
use std::sync::{Arc, Mutex};

static SUITE: Suite = Suite::new("servers", 19);

fn digits(rows: usize) -> Dataset {
    data::synthetic_digits(4, rows, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

/// Eight tensors of very different sizes, two buffers, dropout.
fn settings(optimizer: impl Into<Optimizer>) -> Compile {
    Compile::new(optimizer, CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(3)
}

fn compiled(settings: Compile) -> Model {
    let net = Sequential::new().add(Linear::new(24)).add(BatchNorm1d::new()).add(Relu).add(Dropout::new(0.2));
    net.add(Linear::new(16)).add(Relu).add(Linear::new(10)).compile(settings.device(Device::cpu_threads(1))).unwrap()
}

fn plain() -> Model {
    compiled(settings(Sgd::new(0.05)))
}

type Bits = Vec<(String, Vec<u32>)>;
type Make = Box<dyn Fn() -> Model + Sync>;
type Change = Box<dyn FnMut(&Push, &mut [u32]) + Send>;

/// Parameters and buffers.
fn bits(model: &Model) -> Bits {
    let words = |t: HostTensor| t.as_f32().unwrap().iter().map(|x| x.to_bits()).collect();
    let buffers = ["1.running_mean", "1.running_var"].map(|n| (n.to_string(), words(model.buffer(n).unwrap())));
    model.parameter_names().map(|n| (n.to_string(), words(model.parameter(n).unwrap()))).chain(buffers).collect()
}

fn fit() -> Fit {
    Fit::new().epochs(3).batch_size(8).verbose(0)
}

fn servers(make: impl Fn() -> Model, rules: &Rules, of: usize) -> Vec<Server> {
    (0..of).map(|index| Server::new(make(), rules.clone().shard(index, of)).unwrap()).collect()
}

fn link(servers: &[Server]) -> Shards {
    Shards::new(servers.iter().map(|s| Box::new(s.link()) as Box<dyn Exchange>).collect()).unwrap()
}

/// Two workers and their models.
fn run(servers: &[Server], make: impl Fn() -> Model + Sync, data: &Dataset) -> Vec<(Bits, WorkerReport)> {
    let (make, all) = (&make, servers);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|rank| {
                scope.spawn(move || {
                    let mut model = make();
                    let report = model.worker(&mut link(all), Worker::new(rank, 2)).run(data, &fit()).unwrap();
                    (bits(&model), report)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// 203 rows in batches of 8, two workers: what one server comes to, to the bit, with running statistics, in f16, and on from a model that has trained.
#[test]
fn in_step_they_have_the_bits_of_one() {
    let data = digits(203);
    let rate = || Schedule::cosine(3e-3, 30).warmup(4);
    let trained = || {
        let mut m = compiled(settings(Adam::new(rate())));
        m.fit(&data, fit().epochs(1)).unwrap();
        m
    };
    let fresh: [(&str, Make); 5] = [
        ("sgd", Box::new(plain)),
        ("adam", Box::new(move || compiled(settings(Adam::new(rate()).group("*.bias", Group::new().lr_multiplier(3.0)))))),
        ("lamb", Box::new(move || compiled(settings(Lamb::new(rate())).clip_value(0.01)))),
        ("mixed", Box::new(move || compiled(settings(AdamW::new(rate())).precision(Precision::mixed())))),
        ("frozen", Box::new(move || compiled(settings(Adam::new(rate()).group("4.*", Group::new().frozen()))))),
    ];
    for (name, make) in &fresh {
        let one = Cluster::new(Rules::new(2)).fit(make(), |_| Ok(make()), &data, &fit()).unwrap();
        for of in [2, 3] {
            let all = servers(make, &Rules::new(2), of);
            for (found, report) in run(&all, make, &data) {
                assert!(found == bits(&one.model), "{name}, {of} servers");
                assert_eq!((report.pushes, report.known), (39, 0));
            }
            assert!(all.iter().all(|s| s.standing().updates == one.standing.updates), "{name}");
        }
        SUITE.ran(1);
    }
    let make = || compiled(settings(Adam::new(rate())));
    let one = Cluster::new(Rules::new(2)).fit(trained(), |_| Ok(make()), &data, &fit()).unwrap();
    let all = servers(trained, &Rules::new(2), 2);
    assert!(run(&all, make, &data).iter().all(|(found, _)| *found == bits(&one.model)), "moments and counters do not begin anew");
    SUITE.ran(1);
}

/// A link that shows what goes through it, and may change it.
struct Seen<E> {
    link: E,
    /// Words of parameters and of buffers, by push.
    sizes: Arc<Mutex<Vec<[usize; 2]>>>,
    change: Change,
}

impl<E: Exchange> Exchange for Seen<E> {
    fn mode(&mut self) -> gradus::Result<Mode> {
        self.link.mode()
    }
    fn join(&mut self, hello: &Hello) -> gradus::Result<Welcome> {
        self.link.join(hello)
    }
    fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
        self.link.pull(clock, into)
    }
    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
        let mut values = values.to_vec();
        (self.change)(push, &mut values);
        self.sizes.lock().unwrap().push([values.len(), buffers.len()]);
        self.link.push(push, &values, buffers)
    }
    fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
        self.link.leave(done)
    }
}

/// No link carries all, tensors are not cut, and buffers go to the first alone.
#[test]
fn each_link_carries_its_range() {
    let make = || Sequential::new().add(Linear::new(40)).add(BatchNorm1d::new()).add(Linear::new(40)).add(Linear::new(8));
    let make = || make().compile(Compile::new(Sgd::new(0.1), Mse::new()).input([40]).device(Device::cpu_threads(1))).unwrap();
    let data = Dataset::new(HostTensor::f32([8, 40], vec![0.5; 320]).unwrap(), HostTensor::f32([8, 8], vec![1.0; 64]).unwrap()).unwrap();
    let all = servers(make, &Rules::new(1), 3);
    let sizes = [(); 3].map(|()| Arc::new(Mutex::new(vec![])));
    let links = all
        .iter()
        .zip(&sizes)
        .map(|(s, sizes)| Box::new(Seen { link: s.link(), sizes: sizes.clone(), change: Box::new(|_, _| {}) }) as Box<dyn Exchange>);
    let mut link = Shards::new(links.collect()).unwrap();
    make().worker(&mut link, Worker::new(0, 1)).run(&data, &Fit::new().epochs(1).batch_size(8)).unwrap();
    // weights of 1,600 and of 320 numbers, vectors of 40 and less: in steps of 128
    let seen = sizes.map(|s| s.lock().unwrap()[0]);
    assert_eq!(seen, [[1664 + 128 + 128, 3 * 128], [128 + 1664 + 128, 0], [384 + 128, 0]]);
    SUITE.ran(1);
}

/// Out of step and in local training they learn, too.
#[test]
fn out_of_step_they_learn() {
    let data = digits(400);
    let local = Rules::new(2).mode(Mode::Local { every: 3 });
    let all = [
        Rules::new(2).mode(Mode::SemiAsync { staleness: 2 }),
        Rules::new(2).mode(Mode::Async),
        Rules::new(2).mode(Mode::SemiAsync { staleness: 1 }).damped(true),
        local.clone(),
        local.outer(Outer::diloco()),
    ];
    for rules in all {
        let found = servers(plain, &rules, 2);
        let done = run(&found, plain, &data);
        assert!(done[0].0 == done[1].0, "{}: both are given the last parameters", rules.mode);
        let (first, last) = (done[0].1.history["loss"][0], done[0].1.history["loss"][2]);
        assert!(last < first - 0.2, "{}: {first}, {last}", rules.mode);
        let updates: Vec<u64> = found.iter().map(|s| s.standing().updates).collect();
        assert_eq!(updates, [if rules.mode.is_local() { 3 * 9 } else { 3 * 50 }; 2], "{}", rules.mode);
        SUITE.ran(1);
    }
}

/// Averages are of whole models, and workers clip whole gradients: `local` may have a largest norm.
#[test]
fn local_workers_clip_by_norm() {
    let (data, make) = (digits(64), || compiled(settings(Sgd::new(0.1)).clip_norm(0.1)));
    let rules = Rules::new(2).mode(Mode::Local { every: 2 });
    let one = Cluster::new(rules.clone()).fit(make(), |_| Ok(make()), &data, &fit()).unwrap();
    assert!(run(&servers(make, &rules, 2), make, &data).iter().all(|(found, _)| *found == bits(&one.model)));
    SUITE.ran(1);
}

/// Gradients that are not finite in the range of one server are void for all: the loss scale falls on each, without one each ends.
#[test]
fn they_judge_alike() {
    let data = digits(64);
    for scaled in [true, false] {
        let make = || if scaled { compiled(settings(Sgd::new(0.05)).precision(Precision::mixed())) } else { plain() };
        let all = servers(make, &Rules::new(2), 2);
        let (make, all) = (&make, &all);
        let work = |rank: usize| {
            let change = move |p: &Push, values: &mut [u32]| {
                if let (1, 4, Some(last)) = (rank, p.clock, values.last_mut()) {
                    *last = f32::INFINITY.to_bits();
                }
            };
            let mut link = Seen { link: link(all), sizes: Arc::default(), change: Box::new(change) };
            let mut model = make();
            let done = model.worker(&mut link, Worker::new(rank, 2)).run(&data, &fit());
            if let Err(e) = &done {
                all.iter().for_each(|s| s.fail(&e.to_string()));
            }
            done.map(|_| bits(&model)).map_err(|e| e.to_string())
        };
        let work = &work;
        let done = std::thread::scope(|scope| [0, 1].map(|rank| scope.spawn(move || work(rank))).map(|t| t.join().unwrap()));
        let standing: Vec<_> = all.iter().map(|s| (s.standing().updates, s.standing().skipped)).collect();
        if scaled {
            assert_eq!(standing, [(11, 1); 2]);
            assert!(done[0].is_ok() && done[0] == done[1]);
        } else {
            assert_eq!(standing, [(4, 0); 2]);
            assert!(done.iter().all(|d| d.as_ref().unwrap_err().contains("worker 1")), "{done:?}");
        }
        SUITE.ran(1);
    }
}

/// A worker that dies between its pushes to two servers, and one in its place: the first server takes no push twice.
#[test]
fn a_worker_that_dies_between_two_pushes() {
    let data = digits(100);
    let all = servers(plain, &Rules::new(2).deadline(30.0), 2);
    let work = |rank: usize, dies: bool| {
        let change = move |p: &Push, _: &mut [u32]| {
            if dies && p.clock == 5 {
                // until the first has it
                std::thread::sleep(std::time::Duration::from_millis(200));
                panic!("killed, as planned");
            }
        };
        let second = Seen { link: all[1].link(), sizes: Arc::default(), change: Box::new(change) };
        let mut link = Shards::new(vec![Box::new(all[0].link()), Box::new(second)]).unwrap();
        plain().worker(&mut link, Worker::new(rank, 2)).run(&data, &fit()).unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| work(0, false));
        assert!(scope.spawn(|| work(1, true)).join().is_err());
        let report = scope.spawn(|| work(1, false)).join().unwrap();
        assert_eq!((report.began_at, report.pushes, report.known), (5, 16, 0));
    });
    let standing: Vec<_> = all.iter().map(|s| (s.standing().updates, s.standing().known, s.standing().over)).collect();
    assert_eq!(standing, [(21, 1, true), (21, 0, true)]);
    SUITE.ran(1);
}

/// What no server can do alone is said before anything is trained, and so is a list of servers that is not theirs.
#[test]
fn what_does_not_fit_is_refused() {
    let refused = |model: Model, rules: Rules| {
        let e = Server::new(model, rules).unwrap_err();
        assert_eq!(e.code(), "invalid-config");
        e.to_string()
    };
    let of = |index, of| Rules::new(1).shard(index, of);
    let e = refused(compiled(settings(Sgd::new(0.1)).clip_norm(1.0)), of(0, 2));
    assert!(e.contains("compile.clip_norm") && e.contains("clip_value"), "{e}");
    assert!(refused(compiled(settings(Sgd::new(0.1)).ema(0.9)), of(1, 2)).contains("compile.ema"));
    let e = refused(plain(), of(0, 9));
    assert!(e.contains("9 servers, and 8 parameter tensors"), "{e}");
    assert!(refused(plain(), of(2, 2)).contains("number 2 of 2") && refused(plain(), of(0, 0)).contains("number 0 of 0"));
    assert_eq!(Shards::new(vec![]).unwrap_err().code(), "invalid-config");
    let e = Cluster::new(of(0, 2)).fit(plain(), |_| Ok(plain()), &digits(16), &fit()).unwrap_err();
    assert!(e.to_string().contains("one server"), "{e}");

    let all = servers(plain, &Rules::new(1), 2);
    let told = |link: &mut dyn Exchange| plain().worker(link, Worker::new(0, 1)).run(&digits(16), &fit()).unwrap_err().to_string();
    let links = |order: &[usize]| Shards::new(order.iter().map(|i| Box::new(all[*i].link()) as Box<dyn Exchange>).collect()).unwrap();
    let e = told(&mut links(&[1, 0]));
    assert!(e.contains("the server is shard 2/2, the worker takes it for shard 1/2") && e.contains("in the order"), "{e}");
    assert!(told(&mut links(&[0])).contains("shard 1/2, the worker takes it for shard 1/1"));
    assert!(told(&mut all[0].link()).contains("shard 1/2, the worker takes it for shard 1/1"));
    assert!(told(&mut links(&[0, 1, 1])).contains("for shard 1/3"));
    let others = servers(plain, &Rules::new(1).mode(Mode::Async), 2);
    assert!(told(&mut link(&[all[0].clone(), others[1].clone()])).contains("one server's mode is `sync`, another's `async`"));
    // of servers that say other things than the worker knows of them
    let e = told(&mut Shards::new(vec![Box::new(Server::new(plain(), Rules::new(1)).unwrap().link()), Box::new(all[1].link())]).unwrap());
    assert!(e.contains("shard 1/1, the worker takes it for shard 1/2"), "{e}");

    let e = all[0].clone().into_model().unwrap_err().to_string();
    assert!(e.contains("shard 1/2 alone") && e.contains("gradus worker --save"), "{e}");
    SUITE.ran(1);
}

/// A watcher of a shard sees a part of the model: it neither validates nor ends the run.
#[test]
fn a_watcher_sees_a_part() {
    let data = digits(16);
    let told = |watch: &dyn Fn(&Server)| {
        let all = servers(plain, &Rules::new(1), 2);
        watch(&all[1]);
        plain().worker(&mut link(&all), Worker::new(0, 1)).run(&data, &fit()).unwrap_err().to_string()
    };
    let fits = [fit().validation(&data), fit().callback(EarlyStopping::new("loss"))];
    for fit in fits {
        let e = told(&|server| {
            let watcher = Watcher::new(&fit).unwrap();
            server.watch(move |event| watcher.hear(event));
        });
        assert!(e.contains("a part of the parameters"), "{e}");
    }
    let e = told(&|server| server.watch(|_| Ok(Flow::Stop)));
    assert!(e.contains("shard 2/2 alone"), "{e}");
    SUITE.ran(1);
}

/// A file goes on as the shard that it is of, and as no other.
#[test]
fn a_file_is_of_one_shard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let data = digits(40);
    let all = servers(|| compiled(settings(Adam::new(0.01))), &Rules::new(1), 2);
    all[1].checkpoint(Checkpoint::new(&path).every_epochs(1)).unwrap();
    let mut model = compiled(settings(Adam::new(0.01)));
    model.worker(&mut link(&all), Worker::new(0, 1)).run(&data, &fit()).unwrap();
    all[1].write().unwrap();
    let restore = |rules: Rules| Server::restore(compiled(settings(Adam::new(0.01))), rules, &path);
    for rules in [Rules::new(1), Rules::new(1).shard(0, 2), Rules::new(1).shard(1, 3)] {
        let e = restore(rules).unwrap_err();
        assert!(e.code() == "invalid-config" && e.to_string().contains("shard"), "{e}");
    }
    assert_eq!(restore(Rules::new(1).shard(1, 2)).unwrap().standing().updates, 15);
    // a model would be half as it began, and nobody would see it
    for e in [Model::load(&path).unwrap_err(), compiled(settings(Adam::new(0.01))).load_weights(&path, Load::new()).unwrap_err()] {
        assert!(e.code() == "bad-file" && e.to_string().contains("one of several servers"), "{e}");
    }
    SUITE.ran(1);
}
