//! How a Parquet file is read.

use super::choice::{Choice, Fill, setters_of_columns};
use super::made::Table;
use crate::error::{Faults, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a Parquet file becomes a data set: its columns as of [`Csv`](super::Csv), and where its rows are kept.
///
/// ```
/// use gradus::data::Parquet;
/// let how = Parquet::new().target("fare").one_hot("district").drop("id").fill_missing(0.0).memory(8 << 20);
/// assert_eq!(how.targets, ["fare"]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Parquet {
    /// The columns that are labels; none.
    pub targets: Vec<String>,
    /// The columns that are features, in this order; all but the targets, in the file's.
    pub columns: Vec<String>,
    /// The columns that are left out; none.
    pub dropped: Vec<String>,
    /// The columns of words, each with its words in the order of their numbers; where no words are given, those of the file; none.
    pub categories: BTreeMap<String, Vec<String>>,
    /// The columns of words of which each word is a feature, 1 where it stands and 0 elsewhere; none.
    pub one_hot: Vec<String>,
    /// What stands in for a missing number; nothing: it is an `Err`.
    pub fill: Option<f64>,
    /// And in single columns.
    pub fills: BTreeMap<String, Fill>,
    /// Bytes of features that are kept in memory, and of labels; 32 MiB. More go to a temporary file.
    pub memory: u64,
    /// Most bytes of that file; 64 GiB.
    pub disk: u64,
    /// The folder of that file; the system's for temporary files.
    pub dir: Option<PathBuf>,
}

impl Default for Parquet {
    fn default() -> Self {
        Parquet {
            targets: vec![],
            columns: vec![],
            dropped: vec![],
            categories: BTreeMap::new(),
            one_hot: vec![],
            fill: None,
            fills: BTreeMap::new(),
            memory: 32 << 20,
            disk: 64 << 30,
            dir: None,
        }
    }
}

setters_of_columns!(Parquet);

impl Parquet {
    /// Every column a number and a feature.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of features that are kept in memory, and of labels.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Most bytes of the temporary file: four for each feature of each row.
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = bytes;
        self
    }

    /// The folder of the temporary file, which has no name in it (on Windows, one that goes with the set).
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        self.choice().check(&mut f);
        f.finish()
    }

    /// What it says of columns.
    pub(super) fn choice(&self) -> Choice<'_> {
        let Parquet { targets, columns, dropped, categories, one_hot, fill, fills, .. } = self;
        Choice { called: "Parquet", targets, columns, dropped, categories, one_hot, fill: *fill, fills }
    }
}
