//! A server with its workers in this process: they exchange through memory.

use super::event::Standing;
use super::rules::Rules;
use super::shared::{FAILED, Server};
use super::watcher::Watcher;
use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::exchange::{Worker, WorkerReport};
use crate::train::{Device, Evaluation, Fit, History, Mean, Model, Recipe, Registry};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Several workers and their server in this process. On the CPU each worker has its part of the threads; on a GPU they share the adapter, which makes
/// nothing faster but shows how a mode trains.
///
/// ```
/// use gradus::exchange::Mode;
/// use gradus::prelude::*;
/// use gradus::server::{Cluster, Rules};
/// use gradus::train::{DataSpec, HeldOut, Recipe, Registry};
/// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(10)).add(Softmax);
/// let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new());
/// let data = DataSpec::new("synthetic:300:100").flatten().scale(1.0 / 255.0).test(HeldOut::Test);
/// let recipe = Recipe::new(&net, &settings, &Fit::new().epochs(2).verbose(0), data)?;
/// let outcome = Cluster::new(Rules::new(2).mode(Mode::Sync)).run(&recipe, &Registry::new(), &Device::cpu())?;
/// assert_eq!((outcome.history["loss"].len(), outcome.standing.greatest_staleness), (2, 0));
/// assert!(outcome.test.unwrap()["accuracy"] > 0.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Cluster {
    rules: Rules,
}

/// What came of a distributed run.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClusterOutcome {
    /// The server's model.
    pub model: Model,
    /// Loss and metrics over the rows of all workers, and over the validation set, by epoch.
    pub history: History,
    /// Where the run stood at its end.
    pub standing: Standing,
    /// What each worker has done.
    pub workers: Vec<WorkerReport>,
    /// What the test set says of the model, if the recipe has one.
    pub test: Option<Evaluation>,
}

impl Cluster {
    /// A server and workers by these rules.
    pub fn new(rules: Rules) -> Self {
        Cluster { rules }
    }

    /// A whole recipe: loads its data, trains with all workers, evaluates on the test set.
    ///
    /// Each worker takes batches of the recipe's size: in [`Mode::Sync`](crate::exchange::Mode::Sync) with W workers the run is, to the bit, that of one
    /// worker with `fit.accumulate = W` (but for the running statistics of [`BatchNorm1d`](crate::nn::BatchNorm1d), of which those of rank 0 count). Fails as [`Recipe::run`] does, and on settings that a server does not have:
    /// checkpoints, budgets, callbacks other than an early stopping ([`Watcher`]). Ctrl-C ends it in good order, as it does [`Model::fit`].
    pub fn run(&self, recipe: &Recipe, registry: &Registry, device: &Device) -> Result<ClusterOutcome> {
        let recipe = recipe.clone().checked()?;
        let sets = recipe.data.load_seeded(registry, &recipe.seeds)?;
        let mut fit = recipe.fit.clone();
        fit.validation = sets.validation.clone();
        let part = device.part_of(self.rules.workers);
        let server = recipe.compile(registry, device)?;
        let mut outcome = self.fit(server, |_| recipe.compile(registry, &part), &sets.train, &fit)?;
        let batch = recipe.fit.batch_size.max(256);
        outcome.test = sets.test.map(|set| outcome.model.evaluate(&set, batch.min(set.len()))).transpose()?;
        Ok(outcome)
    }

    /// As [`Cluster::run`], of models that the program makes: that of the server, and with `make` that of each rank.
    pub fn fit(&self, server: Model, make: impl Fn(usize) -> Result<Model> + Sync, data: &Dataset, fit: &Fit) -> Result<ClusterOutcome> {
        check(fit, &self.rules)?;
        let server = Server::new(server, self.rules.clone())?;
        let watcher = Watcher::new(fit)?;
        let hears = watcher.clone();
        server.watch(move |event| hears.hear(event));
        let (alone, all) = (Fit { validation: None, callbacks: vec![], verbose: 0, ..fit.clone() }, self.rules.workers);
        let errors: Mutex<Vec<Error>> = Mutex::new(vec![]);
        let work = |rank: usize| -> Option<WorkerReport> {
            let mut link = server.link();
            let run = || make(rank).and_then(|mut model| model.worker(&mut link, Worker::new(rank, all)).run(data, &alone));
            // a source of the user's may panic: the others would wait for this worker
            let done = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(panicked(rank)));
            done.map_err(|e| {
                server.fail(&e.to_string());
                errors.lock().unwrap_or_else(PoisonError::into_inner).push(e);
            })
            .ok()
        };
        let work = &work;
        let workers: Vec<Option<WorkerReport>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..all).map(|rank| scope.spawn(move || work(rank))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_default()).collect()
        });
        let mut errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        // the cause, rather than what it was to the others
        let cause = errors.iter().position(|e| !e.to_string().starts_with(FAILED)).unwrap_or(0);
        if cause < errors.len() {
            return Err(errors.swap_remove(cause));
        }
        let standing = server.standing();
        let workers: Vec<WorkerReport> = workers.into_iter().flatten().collect();
        let seen = watcher.history();
        // whoever was ahead has seen rows of the next epoch
        let mut history = joined(&workers, seen.epochs());
        for name in seen.names().filter(|n| n.starts_with("val_")) {
            seen.get(name).iter().for_each(|value| history.push(name, *value));
        }
        (history.interrupted, history.stopped_epoch, history.restored_epoch) = (seen.interrupted, seen.stopped_epoch, seen.restored_epoch);
        Ok(ClusterOutcome { model: server.into_model()?, history, standing, workers, test: None })
    }
}

fn check(fit: &Fit, rules: &Rules) -> Result<()> {
    let mut f = Faults::default();
    f.check(fit.checkpoint.is_none(), "fit.checkpoint", "several workers have another one", "leave it out");
    f.check(!rules.shard.is_part(), "shard", "a cluster has one server", "leave it out: nothing is gained in one process");
    f.finish()
}

/// Loss and metrics over the rows of all workers.
fn joined(workers: &[WorkerReport], epochs: usize) -> History {
    let mut history = History::default();
    let Some(first) = workers.first() else { return history };
    for epoch in 0..epochs as u64 {
        let mut mean = Mean::default();
        workers.iter().flat_map(|w| &w.means).filter(|(e, _)| *e == epoch).for_each(|(_, m)| mean.join(m));
        mean.evaluation(&first.measures).iter().for_each(|(name, value)| history.push(name, value));
    }
    history
}

fn panicked(rank: usize) -> Error {
    Error::Distributed {
        problem: "a worker has panicked".into(),
        at: format!("worker {rank}"),
        help: "its message stands above; code of your own runs in it, as data sources".into(),
    }
}
