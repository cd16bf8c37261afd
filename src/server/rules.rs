//! The settings of a server.

use super::outer::Outer;
use crate::error::{Faults, Result};
use crate::exchange::{Mode, Shard};
use serde::{Deserialize, Serialize};

/// How a server treats its workers.
///
/// ```
/// use gradus::exchange::Mode;
/// use gradus::server::Rules;
/// let rules = Rules::new(4).mode(Mode::SemiAsync { staleness: 2 }).damped(true).deadline(60.0);
/// assert_eq!(rules.workers, 4);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Rules {
    /// How many workers there are: at most so many, where they may come and go.
    pub workers: usize,
    /// How they keep step; [`Mode::Sync`].
    #[serde(default)]
    pub mode: Mode,
    /// Whether gradients that have missed `n` updates are divided by `n` (staleness-aware SGD, Zhang et al. 2016); they are not. For the modes without
    /// sums.
    #[serde(default)]
    pub damped: bool,
    /// What the server makes of the workers' average in [`Mode::Local`]; plain averaging.
    #[serde(default)]
    pub outer: Outer,
    /// Seconds after which a worker that owes gradients, or that has not come, is given up; 600. [`Mode::Sync`] ends with an error then, the others go on
    /// without it.
    #[serde(default = "ten_minutes")]
    pub deadline: f64,
    /// Which of how many servers this is; the only one.
    #[serde(default)]
    pub shard: Shard,
}

fn ten_minutes() -> f64 {
    600.0
}

impl Rules {
    /// So many workers, in step.
    pub fn new(workers: usize) -> Self {
        Rules { workers, mode: Mode::Sync, damped: false, outer: Outer::default(), deadline: ten_minutes(), shard: Shard::default() }
    }
    /// How they keep step.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    /// Whether gradients that have missed `n` updates are divided by `n`.
    pub fn damped(mut self, damped: bool) -> Self {
        self.damped = damped;
        self
    }
    /// What the server makes of the workers' average in [`Mode::Local`].
    pub fn outer(mut self, outer: Outer) -> Self {
        self.outer = outer;
        self
    }
    /// Seconds after which a worker is given up.
    pub fn deadline(mut self, seconds: f64) -> Self {
        self.deadline = seconds;
        self
    }
    /// One of several servers, counted from 0: it has a range of the parameters, and workers reach all of them by [`Shards`](crate::exchange::Shards).
    pub fn shard(mut self, index: usize, of: usize) -> Self {
        self.shard = Shard { index, of };
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        f.check((1..=MOST_WORKERS).contains(&self.workers), "workers", self.workers, "give 1 to 100,000");
        f.check(self.deadline > 0.0, "deadline", self.deadline, "give seconds above 0");
        f.check(
            !(self.damped && self.mode.gathers()),
            "damped",
            format!("with the mode `{}`", self.mode),
            "no gradient is late there: leave it out",
        );
        self.outer.faults(&mut f, self.mode);
        let Shard { index, of } = self.shard;
        f.check(index < of, "shard", format!("number {index} of {of}"), "give 0 to the number of servers less 1");
        let some = !matches!(self.mode, Mode::Local { every: 0 } | Mode::SemiAsync { staleness: 0 });
        f.check(some, "mode", self.mode, "give a number of at least 1");
        f.finish()
    }
}

/// Most workers of a run.
pub(super) const MOST_WORKERS: usize = 100_000;
