//! How long a run is, as its workers say: they must agree.

use super::rules::Rules;
use crate::exchange::{Hello, Mode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long a run is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Length {
    /// What the worker that came first has said.
    first: Hello,
    /// Batches of an epoch of each worker's rows: one that comes again counts once.
    batches: BTreeMap<usize, u64>,
}

impl Length {
    pub fn new(first: &Hello) -> Self {
        Length { first: first.clone(), batches: BTreeMap::from([(first.rank, first.batches)]) }
    }

    /// Notes another worker; says what does not agree. `settled`: the run has begun.
    pub fn agree(&mut self, hello: &Hello, settled: bool) -> Result<(), String> {
        let (a, b) = (&self.first, hello);
        let pairs = [
            ("epochs", a.epochs, b.epochs),
            ("a batch size of", a.batch_size, b.batch_size),
            ("rows of its own (1) or of all (0):", a.own_rows.into(), b.own_rows.into()),
            ("an order that is shuffled (1) or not (0):", a.shuffle.into(), b.shuffle.into()),
        ];
        if let Some((what, of_first, of_this)) = pairs.into_iter().find(|(_, a, b)| a != b) {
            return Err(format!("this worker has {what} {of_this}, worker {} has {of_first}", a.rank));
        }
        if !b.own_rows && a.rows != b.rows {
            return Err(format!("this worker has {} rows, worker {} has {}", b.rows, a.rank, a.rows));
        }
        if a.step != b.step || a.untouched != b.untouched {
            return Err(format!("this worker's training step is another than that of worker {}", a.rank));
        }
        if settled && b.batches > self.most() {
            return Err(format!("this worker has {} batches in an epoch, and the run has begun with {} at most", b.batches, self.most()));
        }
        self.batches.insert(b.rank, b.batches);
        Ok(())
    }

    /// The most batches of an epoch of a worker's rows.
    fn most(&self) -> u64 {
        self.batches.values().copied().max().unwrap_or(0)
    }

    /// Parameters that the loss does not depend on.
    pub fn untouched(&self) -> &[String] {
        &self.first.untouched
    }

    /// Clocks of an epoch.
    pub fn rounds(&self, rules: &Rules) -> u64 {
        match rules.mode {
            Mode::Local { every } => self.most().div_ceil(every.max(1) as u64),
            _ if self.first.own_rows => self.most(),
            _ => self.most().div_ceil(rules.workers as u64),
        }
    }

    /// Clocks of the run; `None` for more than can be counted.
    pub fn clocks(&self, rules: &Rules) -> Option<u64> {
        self.rounds(rules).checked_mul(self.first.epochs).filter(|c| *c < u64::from(u32::MAX))
    }

    /// Updates of an epoch, and of the run, where they are the server's.
    pub fn updates(&self, rules: &Rules) -> (u64, u64) {
        let per_epoch = match (rules.mode.gathers(), self.first.own_rows) {
            (true, _) => self.rounds(rules),
            (false, true) => self.batches.values().fold(0u64, |sum, b| sum.saturating_add(*b)),
            (false, false) => self.most(),
        };
        (per_epoch, per_epoch.saturating_mul(self.first.epochs))
    }
}
