//! What a file of a table became.

use crate::data::Dataset;
use std::collections::BTreeMap;

/// A table that was read: its rows, and what its columns became.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Table {
    /// The rows: the features `x`, f32 `[rows, features]`, and the labels `y` if a target was named.
    pub data: Dataset,
    /// What each feature is: the name of a column, or `column=word` for one of its one-hot features.
    pub features: Vec<String>,
    /// The columns of the labels.
    pub targets: Vec<String>,
    /// The words of each column of categories, in the order of their numbers.
    pub categories: BTreeMap<String, Vec<String>>,
}
