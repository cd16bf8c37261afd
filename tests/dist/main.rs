//! Distributed runs over the network, with real processes on loopback: to the bits of one process, whoever is killed, hangs or talks nonsense.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod files;
mod hostile;
mod processes;
mod proxy;
mod shards;

use common::need::Suite;
use gradus::exchange::{Connect, Exchange, Hello, Mode, Pulled, Push, Reply, Welcome, Worker, connect};
use gradus::prelude::*;
use gradus::server::{Cluster, Rules, Serve, Server, Serving, serve};
use gradus::train::{DataSpec, Recipe, Registry};
use processes::Folder;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

static SUITE: Suite = Suite::new("dist", 30);

type Bits = BTreeMap<String, Vec<u32>>;

/// 203 rows in batches of 8: the last batch is smaller, and the last clock of an epoch has one worker only.
fn recipe() -> Recipe {
    let net = Sequential::new().add(Linear::new(24)).add(BatchNorm1d::new()).add(Relu).add(Dropout::new(0.2)).add(Linear::new(10));
    let settings = Compile::new(AdamW::new(Schedule::cosine(3e-3, 30).warmup(4)), CrossEntropy::new()).input([784]).seed(3).clip_norm(0.5);
    let data = DataSpec::new("synthetic:203:10").flatten().scale(1.0 / 255.0);
    Recipe::new(&net, &settings, &Fit::new().epochs(3).batch_size(8).verbose(0), data).unwrap()
}

fn data() -> Dataset {
    let recipe = recipe();
    recipe.data.load_seeded(&Registry::new(), &recipe.seeds).unwrap().train
}

fn model(device: &Device) -> Model {
    recipe().compile(&Registry::new(), device).unwrap()
}

fn bits(model: &Model) -> Bits {
    let of = |n: &str| (n.to_string(), model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect());
    model.parameter_names().map(of).collect()
}

/// The parameters in a file of weights.
fn saved(path: &Path) -> Bits {
    let mut model = model(&Device::cpu());
    model.load_weights(path, Load::new()).unwrap();
    bits(&model)
}

/// What two workers in one process come to, in step.
fn undisturbed() -> Bits {
    let make = |_| Ok(model(&Device::cpu_threads(1)));
    bits(&Cluster::new(Rules::new(2)).fit(model(&Device::cpu()), make, &data(), &recipe().fit).unwrap().model)
}

/// A server in this process, and where it listens.
fn served(rules: Rules) -> (Server, Serving, String) {
    let server = Server::new(model(&Device::cpu()), rules).unwrap();
    let serving = serve(server.clone(), Serve::new("127.0.0.1:0")).unwrap();
    let addr = serving.addr().to_string();
    (server, serving, addr)
}

/// A link that takes its time before each push, and may have something done then.
struct Paced<E> {
    link: E,
    pause: Duration,
    before: Box<dyn FnMut(u64) + Send>,
}

impl<E: Exchange> Exchange for Paced<E> {
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
        (self.before)(push.clock);
        std::thread::sleep(self.pause);
        self.link.push(push, values, buffers)
    }
    fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
        self.link.leave(done)
    }
}

/// A worker on this thread. `before` is told each push.
fn works(
    addr: &str,
    worker: Worker,
    pause: u64,
    before: impl FnMut(u64) + Send + 'static,
) -> gradus::Result<gradus::exchange::WorkerReport> {
    let link = connect(addr, Connect::new().deadline(20.0))?;
    let mut link = Paced { link, pause: Duration::from_millis(pause), before: Box::new(before) };
    model(&Device::cpu_threads(1)).worker(&mut link, worker).run(&data(), &recipe().fit)
}

/// A server and two workers, all processes of their own, in step: the bits of one process. The secret is told.
#[test]
fn in_step_over_the_network_has_the_bits_of_one_process() {
    let folder = Folder::new();
    std::fs::write(folder.at("secret"), "0c81f2\n").unwrap();
    let with = ["--secret-file", "secret"];
    let ps = folder.ps(&[&["--workers", "2", "--save", "weights"], &with[..]].concat());
    let workers = [0, 1].map(|rank| folder.worker(&ps.addr, rank, 2, &with));
    for worker in workers {
        let said = worker.ends_well();
        assert!(said.contains("39 pushes, 0 of them known"), "{said}");
    }
    let said = ps.process.ends_well();
    assert!(said.contains("39 updates"), "{said}");
    assert!(saved(&folder.at("weights")) == undisturbed());
    SUITE.ran(1);
}

/// Every mode comes to its end over the network, within its bound; gradients as f16, too.
#[test]
fn every_mode_works_over_the_network() {
    let all = [Mode::SemiAsync { staleness: 1 }, Mode::Async, Mode::Local { every: 3 }, Mode::Sync];
    for mode in all {
        let (server, serving, addr) = served(Rules::new(3).mode(mode));
        std::thread::scope(|scope| {
            for rank in 0..3 {
                let addr = &addr;
                scope.spawn(move || {
                    let mut link = connect(addr, Connect::new().half(!mode.is_local())).unwrap();
                    let mut model = model(&Device::cpu_threads(1));
                    model.worker(&mut link, Worker::new(rank, 3)).run(&data(), &recipe().fit).unwrap();
                    assert!(bits(&model).values().flatten().all(|w| f32::from_bits(*w).is_finite()));
                });
            }
        });
        serving.wait().unwrap();
        let standing = server.standing();
        let updates = match mode {
            Mode::Sync => 3 * 9,
            Mode::Local { .. } => 3 * 3,
            _ => 3 * 26,
        };
        assert!(standing.over && standing.updates == updates, "{mode}: {standing:?}");
        assert!(mode.bound().is_none_or(|bound| standing.greatest_staleness <= bound), "{mode}: {standing:?}");
    }
    SUITE.ran(1);
}

/// The largest tenth of the gradients with error feedback learns as all of them do; all of them as the largest have the same bits.
#[test]
fn the_largest_gradients_alone() {
    let run = |top: Option<f32>| {
        let (server, serving, addr) = served(Rules::new(2));
        std::thread::scope(|scope| {
            for rank in 0..2 {
                let addr = &addr;
                let worker = top.map_or(Worker::new(rank, 2), |t| Worker::new(rank, 2).top_k(t));
                scope.spawn(move || works(addr, worker, 0, |_| {}).unwrap());
            }
        });
        serving.stop();
        let model = server.into_model().unwrap();
        (bits(&model), model.evaluate(&data(), 203).unwrap()["loss"])
    };
    let (dense, loss) = run(None);
    assert!(dense == undisturbed());
    assert!(run(Some(1.0)).0 == dense);
    let (other, sparse) = run(Some(0.1));
    assert!(other != dense && sparse < loss + 0.3, "{sparse}, and {loss} of all");
    let e = works(&served(Rules::new(1)).2, Worker::new(0, 1).top_k(0.0), 0, |_| {}).unwrap_err();
    assert_eq!(e.code(), "invalid-config");
    SUITE.ran(1);
}
