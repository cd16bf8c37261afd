//! How long a run may be: in epochs, updates, rows or seconds.

use crate::error::Faults;
use crate::model::accumulation::Accumulation;
use serde::{Deserialize, Serialize};

/// How long a run may be. The first of its numbers that is reached ends it, in mid-epoch if need be: then the history's last row is of the part of the
/// epoch that was trained.
///
/// A run by updates has the bits of as many steps of a longer one. Epochs and rows are counted in whole updates: a part of an epoch is rounded to the nearest
/// one, and rows end with the update that reaches them. Seconds are those within steps, as [`History::seconds`](crate::train::History::seconds) counts
/// them; they are looked at when a submit has ended, so that another run may end at another step.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::Budget;
/// let fit = Fit::new().budget(Budget::epochs(10).or(Budget::seconds(60)));
/// assert_eq!(fit.budget.seconds, Some(60.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Budget {
    /// Passes over the data, 2.5 for two and a half; no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Updates of the parameters; no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<u64>,
    /// Rows that were trained on, each as often as it was; no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Seconds of training; no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Budget {
    /// So many passes over the data.
    pub fn epochs(epochs: impl Into<f64>) -> Self {
        Budget { epochs: Some(epochs.into()), ..Self::default() }
    }
    /// So many updates.
    pub fn updates(updates: u64) -> Self {
        Budget { updates: Some(updates), ..Self::default() }
    }
    /// So many rows.
    pub fn rows(rows: u64) -> Self {
        Budget { rows: Some(rows), ..Self::default() }
    }
    /// So many seconds.
    pub fn seconds(seconds: impl Into<f64>) -> Self {
        Budget { seconds: Some(seconds.into()), ..Self::default() }
    }
    /// What this one ends or another one: of each number the smaller.
    pub fn or(self, other: Budget) -> Self {
        fn least<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(if b < a { b } else { a }),
                (a, b) => a.or(b),
            }
        }
        Budget {
            epochs: least(self.epochs, other.epochs),
            updates: least(self.updates, other.updates),
            rows: least(self.rows, other.rows),
            seconds: least(self.seconds, other.seconds),
        }
    }

    /// Whether it bounds nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, f: &mut Faults) {
        for (key, x) in [("epochs", self.epochs), ("seconds", self.seconds)] {
            let good = x.is_none_or(|x| x.is_finite() && x > 0.0);
            f.check(good, &format!("fit.budget.{key}"), x.unwrap_or_default(), "give a finite number above 0, or leave it out");
        }
        for (key, x) in [("updates", self.updates), ("rows", self.rows)] {
            f.check(x != Some(0), &format!("fit.budget.{key}"), 0, "give at least 1, or leave it out");
        }
    }
}

/// The bounds of a run over data of a known size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    /// Epochs that are begun.
    pub epochs: usize,
    /// Updates; `usize::MAX` where only time ends the run.
    pub updates: usize,
    /// Seconds within steps.
    pub seconds: f64,
}

impl Budget {
    /// The bounds of a run whose rows become batches in this way; a budget that says nothing is one of so many epochs.
    pub(super) fn limit(&self, epochs: usize, over: Accumulation) -> Limit {
        let over = Accumulation { batch: over.batch.max(1), accumulate: over.accumulate.max(1), ..over };
        let (rows, of_update, per_epoch) = (over.rows, over.batch.saturating_mul(over.accumulate), over.updates().max(1));
        if self.is_empty() {
            return Limit { epochs, updates: epochs.saturating_mul(per_epoch), seconds: f64::INFINITY };
        }
        let of_epochs = self.epochs.map(|e| ((e * per_epoch as f64).round() as usize).max(1));
        let of_rows = self.rows.map(|n| {
            let n = counted(n);
            let (whole, rest) = (n / rows.max(1), n % rows.max(1));
            whole.saturating_mul(per_epoch).saturating_add(rest.div_ceil(of_update))
        });
        let updates = [of_epochs, self.updates.map(counted), of_rows].into_iter().flatten().min().unwrap_or(usize::MAX);
        Limit { epochs: updates.div_ceil(per_epoch), updates, seconds: self.seconds.unwrap_or(f64::INFINITY) }
    }
}

/// A number that this machine can count to.
fn counted(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_in_updates() {
        // 13 rows in batches of 4: 4 updates an epoch
        let over = Accumulation { rows: 13, batch: 4, accumulate: 1 };
        let of = |budget: Budget| {
            let limit = budget.limit(3, over);
            (limit.epochs, limit.updates)
        };
        assert_eq!(of(Budget::default()), (3, 12));
        assert_eq!(of(Budget::epochs(2.5)), (3, 10));
        assert_eq!(of(Budget::epochs(0.01)), (1, 1));
        assert_eq!(of(Budget::updates(4)), (1, 4));
        assert_eq!(of(Budget::updates(5)), (2, 5));
        assert_eq!([12, 13, 14, 17, 18, 26].map(|n| of(Budget::rows(n)).1), [3, 4, 5, 5, 6, 8]);
        assert_eq!(of(Budget::epochs(5).or(Budget::updates(7)).or(Budget::rows(100))), (2, 7));
        assert_eq!(of(Budget::seconds(1)).1, usize::MAX);
        assert_eq!(Budget::seconds(2).or(Budget::seconds(1)), Budget::seconds(1));
        // two batches make an update
        assert_eq!(Budget::rows(13 + 9).limit(3, Accumulation { accumulate: 2, ..over }).updates, 2 + 2);
    }
}
