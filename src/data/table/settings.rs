//! How a CSV file is read.

use super::choice::{Choice, Fill, setters_of_columns};
use super::made::Table;
use crate::error::{Faults, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a CSV file becomes a data set. Space around values is no part of them; a value is missing where nothing stands, or `NA`, `N/A`, `NaN`, `null`, `None` or
/// `?`, in any case.
///
/// ```
/// use gradus::data::Csv;
/// let csv = Csv::new().target("species").categories("species").drop("id").fill_missing_in("mass", 3.5);
/// assert_eq!(csv.targets, ["species"]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Csv {
    /// Whether the first line has the columns' names; it has. Else they are called `0`, `1`, and so on.
    pub header: bool,
    /// What stands between two values: one ASCII character; `,`.
    pub delimiter: char,
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
}

impl Default for Csv {
    fn default() -> Self {
        Csv {
            header: true,
            delimiter: ',',
            targets: vec![],
            columns: vec![],
            dropped: vec![],
            categories: BTreeMap::new(),
            one_hot: vec![],
            fill: None,
            fills: BTreeMap::new(),
        }
    }
}

setters_of_columns!(Csv);

impl Csv {
    /// A header, commas, every column a number and a feature.
    pub fn new() -> Self {
        Self::default()
    }

    /// What stands between two values: `;`, a tab.
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Whether the first line has the columns' names.
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// What it says of columns.
    pub(super) fn choice(&self) -> Choice<'_> {
        let Csv { targets, columns, dropped, categories, one_hot, fill, fills, .. } = self;
        Choice { called: "Csv", targets, columns, dropped, categories, one_hot, fill: *fill, fills }
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        let plain = self.delimiter.is_ascii() && !matches!(self.delimiter, '"' | '\n' | '\r');
        f.check(plain, "csv.delimiter", format!("{:?}", self.delimiter), "give one ASCII character that is no quote and no line's end");
        self.choice().check(&mut f);
        f.finish()
    }
}
