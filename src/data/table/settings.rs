//! How a CSV file is read.

use super::Table;
use super::cell::is_single;
use crate::error::{Faults, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What stands in for a missing value: a number, or a word in a column of categories.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Fill {
    /// In a column of numbers.
    Number(f64),
    /// In a column of categories.
    Word(String),
}

impl From<f64> for Fill {
    fn from(number: f64) -> Self {
        Fill::Number(number)
    }
}

impl From<&str> for Fill {
    fn from(word: &str) -> Self {
        Fill::Word(word.into())
    }
}

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

impl Csv {
    /// A header, commas, every column a number and a feature.
    pub fn new() -> Self {
        Self::default()
    }

    /// This column is a label. One column of numbers gives labels f32 `[rows]`, several `[rows, targets]`; one of [categories](Csv::categories) gives classes,
    /// u32 `[rows]`, whose names the set knows.
    pub fn target(mut self, column: impl Into<String>) -> Self {
        self.targets.push(column.into());
        self
    }

    /// Only these columns are features, in this order.
    pub fn columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Leaves a column out.
    pub fn drop(mut self, column: impl Into<String>) -> Self {
        self.dropped.push(column.into());
        self
    }

    /// This column has words: each becomes its number, from 0 on, in the order of the words: numbers by their values, behind them all other words by their bytes
    /// (pandas' categories). To read another file with the same numbers: [`Csv::as_read`].
    #[doc(alias("factorize", "LabelEncoder", "OrdinalEncoder"))]
    pub fn categories(self, column: impl Into<String>) -> Self {
        self.categories_in(column, Vec::<String>::new())
    }

    /// As [`Csv::categories`], with the words in the order of their numbers. Any other word is an `Err`.
    pub fn categories_in<S: Into<String>>(mut self, column: impl Into<String>, words: impl IntoIterator<Item = S>) -> Self {
        self.categories.insert(column.into(), words.into_iter().map(Into::into).collect());
        self
    }

    /// This column has words: each of them becomes a feature, 1 where it stands and 0 elsewhere, in the order of [`Csv::categories`]; 1,024 words
    /// at most.
    #[doc(alias("get_dummies", "OneHotEncoder"))]
    pub fn one_hot(mut self, column: impl Into<String>) -> Self {
        let column = column.into();
        self.categories.entry(column.clone()).or_default();
        self.one_hot.push(column);
        self
    }

    /// Takes this number for every missing one, in all columns of numbers.
    #[doc(alias = "fillna")]
    pub fn fill_missing(mut self, number: f64) -> Self {
        self.fill = Some(number);
        self
    }

    /// Takes this for what is missing in one column: a number, or a word in one of categories.
    pub fn fill_missing_in(mut self, column: impl Into<String>, fill: impl Into<Fill>) -> Self {
        self.fills.insert(column.into(), fill.into());
        self
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

    /// With the words of a table that was read before: a test file gets the numbers of the training file, and a word that was not there is an `Err`.
    pub fn as_read(mut self, table: &Table) -> Self {
        self.categories.extend(table.categories.clone());
        self
    }

    /// The file's rows, and what its columns became. See [`csv`](super::csv), which gives the rows alone.
    ///
    /// ```
    /// use gradus::data::Csv;
    /// let path = std::env::temp_dir().join(format!("gradus-table-doctest-{}.csv", std::process::id()));
    /// std::fs::write(&path, "mass;species\n3.2;owl\n0.1;wren\n")?;
    /// let table = Csv::new().delimiter(';').target("species").categories("species").read(&path)?;
    /// assert_eq!((&table.features[..], &table.categories["species"][..]), (&["mass".to_string()][..], &["owl".to_string(), "wren".into()][..]));
    /// assert_eq!(table.data.labels().and_then(|y| y.as_u32()), Some(&[0, 1][..]));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        self.check()?;
        super::read_file(self, path.as_ref())
    }

    fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        let plain = self.delimiter.is_ascii() && !matches!(self.delimiter, '"' | '\n' | '\r');
        f.check(plain, "csv.delimiter", format!("{:?}", self.delimiter), "give one ASCII character that is no quote and no line's end");
        if let Some(fill) = self.fill {
            f.check(is_single(fill), "csv.fill", fill, "give a finite number that f32 holds");
        }
        for (column, fill) in &self.fills {
            let key = format!("csv.fills.{column}");
            match (fill, self.categories.contains_key(column)) {
                (Fill::Number(n), false) => f.check(is_single(*n), &key, n, "give a finite number that f32 holds"),
                (Fill::Word(w), false) => {
                    f.check(false, &key, format!("`{w}` in a column of numbers"), "give a number, or call the column one of categories")
                }
                (Fill::Number(n), true) => f.check(false, &key, format!("{n} in a column of categories"), "give a word"),
                (Fill::Word(_), true) => {}
            }
        }
        for column in &self.targets {
            let key = format!("csv.targets.{column}");
            let several = self.targets.len() > 1 && self.categories.contains_key(column);
            f.check(!several, &key, "a target of categories beside others", "name one target of categories, or targets of numbers alone");
            f.check(!self.one_hot.contains(column), &key, "a one-hot target", "name its categories, and call `one_hot` on the data set");
            f.check(!self.columns.contains(column), &key, "it is among the features, too", "take it out of `columns`");
            f.check(!self.dropped.contains(column), &key, "it is left out, too", "take it out of `dropped`");
        }
        for (column, words) in &self.categories {
            let twice = (1..words.len()).find(|&i| words[..i].contains(&words[i]));
            let problem = twice.map_or(String::new(), |i| format!("the word `{}` stands there twice", words[i]));
            f.check(twice.is_none(), &format!("csv.categories.{column}"), problem, "give each word once");
        }
        f.finish()
    }
}
