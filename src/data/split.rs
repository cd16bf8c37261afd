//! How a set is split at random.

use serde::{Deserialize, Serialize};

/// How [`Dataset::split`](super::Dataset::split) and [`Dataset::k_fold`](super::Dataset::k_fold) draw their parts. A number alone is a seed.
///
/// ```
/// use gradus::data::Split;
/// assert_eq!(Split::from(7), Split::seeded(7));
/// assert!(Split::seeded(7).stratified().stratified);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Split {
    /// What the parts are drawn from; 0. The same seed gives the same parts, on every machine.
    pub seed: u64,
    /// Whether each class of the labels has the same share of every part, to a row; it has not.
    pub stratified: bool,
}

impl Split {
    /// Drawn from this seed.
    pub fn seeded(seed: u64) -> Self {
        Split { seed, stratified: false }
    }

    /// Each class of the labels has the same share of every part, to a row (scikit-learn's `stratify`, `StratifiedKFold`).
    #[doc(alias("stratify", "StratifiedKFold", "StratifiedShuffleSplit"))]
    pub fn stratified(mut self) -> Self {
        self.stratified = true;
        self
    }
}

impl From<u64> for Split {
    fn from(seed: u64) -> Self {
        Split::seeded(seed)
    }
}
