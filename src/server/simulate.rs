//! Distributed runs in virtual time: the rule and the updates of a real server, real gradients, and machines and networks that are made of numbers.

mod delay;
mod engine;
mod learner;
mod queue;

pub use delay::Delay;

use super::outer::Outer;
use super::rules::{MOST_WORKERS, Rules};
use crate::error::{Faults, Result};
use crate::exchange::Mode;
use crate::train::{Recipe, Registry};
use serde::{Deserialize, Serialize};

/// A link between a worker and the server, or the server's own to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Seconds that any message takes.
    pub latency: f64,
    /// Bytes a second, each way.
    pub bandwidth: f64,
}

/// What the server's processor needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerCost {
    /// Seconds for each push, whatever becomes of it.
    pub push: f64,
    /// Seconds for each update.
    pub update: f64,
}

/// Workers that die while they compute, and come again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crashes {
    /// How likely one is in the batches of one clock.
    pub probability: f64,
    /// Seconds until the worker is there again.
    pub restart: f64,
}

/// A distributed run that is simulated. The same seed gives the same run, to the bit of its losses and the nanosecond of its times.
///
/// Each worker takes batches of the recipe's size from one endless order of the rows, so that any number of workers has something to do.
///
/// ```
/// use gradus::exchange::Mode;
/// use gradus::prelude::*;
/// use gradus::server::{Delay, Simulation};
/// use gradus::train::{DataSpec, Recipe, Registry};
/// let net = Sequential::new().add(Linear::new(10));
/// let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]);
/// let data = DataSpec::new("synthetic:500:100").flatten().scale(1.0 / 255.0);
/// let recipe = Recipe::new(&net, &settings, &Fit::new().batch_size(16), data)?;
/// let run = |mode| {
///     let slow = Simulation::new(8, mode).compute(Delay::LogNormal { median: 0.02, sigma: 1.0 }).rows(8_000);
///     slow.run(&recipe, &Registry::new())
/// };
/// let (sync, free) = (run(Mode::Sync)?, run(Mode::Async)?);
/// assert!(free.seconds < sync.seconds && free.greatest_age > sync.greatest_age);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Simulation {
    /// How many workers there are.
    pub workers: usize,
    /// How they keep step.
    pub mode: Mode,
    /// Whether gradients that have missed `n` updates are divided by `n`; they are not.
    pub damped: bool,
    /// The outer step of [`Mode::Local`]; plain averaging.
    pub outer: Outer,
    /// Seconds that a worker computes for one batch; 10 ms.
    pub compute: Delay,
    /// The link of each worker; 0.1 ms and 125 MB/s (1 Gbit/s).
    pub link: Link,
    /// The server's link, which all share; the same.
    pub server_link: Link,
    /// What the server's processor needs; 1 ms for a push, 1 ms for an update.
    pub server: ServerCost,
    /// Workers that die; none does.
    pub crashes: Option<Crashes>,
    /// What delays and crashes are drawn from; 0.
    pub seed: u64,
    /// Rows after which the run ends, over all workers; the recipe's epochs.
    pub rows: Option<u64>,
    /// Seconds of virtual time after which it ends; without end.
    pub seconds: Option<f64>,
    /// The loss that is to be reached; none.
    pub target: Option<f64>,
    /// How often the loss is looked at, spread evenly over the rows; 50.
    pub looks: usize,
}

impl Simulation {
    /// So many workers that keep step in this way.
    pub fn new(workers: usize, mode: Mode) -> Self {
        let link = Link { latency: 1e-4, bandwidth: 125e6 };
        Simulation {
            workers,
            mode,
            damped: false,
            outer: Outer::default(),
            compute: Delay::Constant(0.01),
            link,
            server_link: link,
            server: ServerCost { push: 1e-3, update: 1e-3 },
            crashes: None,
            seed: 0,
            rows: None,
            seconds: None,
            target: None,
            looks: 50,
        }
    }
    /// Whether gradients that have missed `n` updates are divided by `n`.
    pub fn damped(mut self, damped: bool) -> Self {
        self.damped = damped;
        self
    }
    /// The outer step of [`Mode::Local`].
    pub fn outer(mut self, outer: Outer) -> Self {
        self.outer = outer;
        self
    }
    /// Seconds that a worker computes for one batch.
    pub fn compute(mut self, delay: Delay) -> Self {
        self.compute = delay;
        self
    }
    /// The link of each worker.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }
    /// The server's link, which all share.
    pub fn server_link(mut self, link: Link) -> Self {
        self.server_link = link;
        self
    }
    /// What the server's processor needs.
    pub fn server(mut self, cost: ServerCost) -> Self {
        self.server = cost;
        self
    }
    /// Workers that die.
    pub fn crashes(mut self, crashes: Crashes) -> Self {
        self.crashes = Some(crashes);
        self
    }
    /// What delays and crashes are drawn from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
    /// Rows after which the run ends, over all workers.
    pub fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }
    /// Seconds of virtual time after which the run ends.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = Some(seconds);
        self
    }
    /// The loss that is to be reached.
    pub fn target(mut self, loss: f64) -> Self {
        self.target = Some(loss);
        self
    }
    /// How often the loss is looked at.
    pub fn looks(mut self, looks: usize) -> Self {
        self.looks = looks;
        self
    }

    /// Runs it on one thread, with the model and data of this recipe. The loss is that of the validation set, or of the first 2,000 training rows where there is
    /// none.
    ///
    /// Fails on settings that cannot be used, as [`Recipe::run`] does, and where the workers' parameters do not fit in 4 GiB.
    pub fn run(&self, recipe: &Recipe, registry: &Registry) -> Result<Simulated> {
        self.check()?;
        engine::run(self, &recipe.clone().checked()?, registry)
    }

    fn check(&self) -> Result<()> {
        Rules::new(self.workers).mode(self.mode).damped(self.damped).outer(self.outer).check()?;
        let mut f = Faults::default();
        f.check(self.workers <= MOST_WORKERS, "workers", self.workers, "give fewer");
        self.compute.faults(&mut f);
        for (key, link) in [("link", self.link), ("server_link", self.server_link)] {
            f.check(link.latency.is_finite() && link.latency >= 0.0, &format!("{key}.latency"), link.latency, "give seconds, at least 0");
            f.check(link.bandwidth > 0.0, &format!("{key}.bandwidth"), link.bandwidth, "give bytes a second, above 0");
        }
        for (key, seconds) in [("server.push", self.server.push), ("server.update", self.server.update)] {
            f.check(seconds.is_finite() && seconds >= 0.0, key, seconds, "give seconds, at least 0");
        }
        if let Some(c) = self.crashes {
            f.check((0.0..1.0).contains(&c.probability), "crashes.probability", c.probability, "give at least 0 and less than 1");
            f.check(c.restart.is_finite() && c.restart >= 0.0, "crashes.restart", c.restart, "give seconds, at least 0");
        }
        f.check(self.seconds.is_none_or(|s| s > 0.0), "seconds", format!("{:?}", self.seconds), "give seconds above 0");
        f.check(self.rows != Some(0), "rows", 0, "give at least 1");
        f.finish()
    }
}

/// What came of a simulated run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Simulated {
    /// Seconds of virtual time.
    pub seconds: f64,
    /// Rows that were trained on, and updates made of them.
    pub rows: u64,
    /// Updates made.
    pub updates: u64,
    /// The loss over time: (seconds, loss).
    pub curve: Vec<(f64, f64)>,
    /// When the target was reached, if it was.
    pub reached: Option<f64>,
    /// Whether it ended because gradients were not finite.
    pub diverged: bool,
    /// The furthest that a worker was ahead of the slowest when it was given parameters.
    pub greatest_staleness: u64,
    /// Updates that gradients have missed: on average, and at most.
    pub mean_age: f64,
    /// The most updates that any gradients have missed.
    pub greatest_age: u64,
    /// Bytes over each worker's link, both ways.
    pub link_bytes: f64,
    /// The part of the time in which the server's link carried pushes, and pulls, and its processor worked.
    pub ingress: f64,
    /// The part of the time in which the server's link carried pulls.
    pub egress: f64,
    /// The part of the time in which the server's processor worked.
    pub processor: f64,
    /// The part of their time that workers computed.
    pub computing: f64,
    /// How often a worker died.
    pub crashes: u64,
}
