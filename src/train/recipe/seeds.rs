//! The seeds of a run, which a study changes one by one.

use serde::{Deserialize, Serialize};

/// Where the random numbers of a run come from: one seed for all, and others where a study wants them apart.
///
/// ```
/// use gradus::train::Seeds;
/// // the same initial weights in every run, and another order in each
/// let runs: Vec<Seeds> = (0..5).map(|n| Seeds::new(7).order(n)).collect();
/// assert_eq!((runs[3].of_init(), runs[3].of_order()), (7, 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Seeds {
    /// Of all that has none of its own; 0.
    #[serde(default)]
    pub all: u64,
    /// Of the initial weights; that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<u64>,
    /// Of the order of rows, of balanced rows and of dropout; that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// Of augmentation, beside that of the order, which it is drawn from too; that of the order alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<u64>,
    /// Of which rows are held out for validation and test by [`HeldOut::Split`](super::HeldOut::Split); that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<u64>,
}

impl Seeds {
    /// This seed for everything.
    pub fn new(all: u64) -> Self {
        Seeds { all, ..Self::default() }
    }
    /// Sets the seed of the initial weights.
    pub fn init(mut self, seed: u64) -> Self {
        self.init = Some(seed);
        self
    }
    /// Sets the seed of the order of rows and of dropout.
    pub fn order(mut self, seed: u64) -> Self {
        self.order = Some(seed);
        self
    }
    /// Sets the seed of augmentation.
    pub fn augment(mut self, seed: u64) -> Self {
        self.augment = Some(seed);
        self
    }
    /// Sets the seed of how rows are held out.
    pub fn split(mut self, seed: u64) -> Self {
        self.split = Some(seed);
        self
    }

    /// The seed that the initial weights are drawn from.
    pub fn of_init(&self) -> u64 {
        self.init.unwrap_or(self.all)
    }
    /// The seed that the order of rows and dropout are drawn from.
    pub fn of_order(&self) -> u64 {
        self.order.unwrap_or(self.all)
    }
    /// The seed of how rows are held out.
    pub fn of_split(&self) -> u64 {
        self.split.unwrap_or(self.all)
    }
}
