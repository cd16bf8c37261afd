//! What becomes of a table's columns, as the settings of its file say it.

use super::cell::is_single;
#[cfg(any(feature = "data-csv", feature = "data-parquet"))]
use super::column::Words;
use crate::error::Faults;
#[cfg(any(feature = "data-csv", feature = "data-parquet"))]
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
#[cfg(any(feature = "data-csv", feature = "data-parquet"))]
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

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

/// The settings that `Csv` and `Parquet` have in common.
pub(super) struct Choice<'a> {
    /// `Csv` or `Parquet`, for messages.
    pub called: &'static str,
    pub targets: &'a [String],
    pub columns: &'a [String],
    pub dropped: &'a [String],
    pub categories: &'a BTreeMap<String, Vec<String>>,
    pub one_hot: &'a [String],
    pub fill: Option<f64>,
    pub fills: &'a BTreeMap<String, Fill>,
}

/// What the values of a column become.
#[cfg(any(feature = "data-csv", feature = "data-parquet"))]
pub(super) struct Column {
    /// Its place in a row, and its name.
    pub at: usize,
    pub name: String,
    pub words: Option<Words>,
    pub fill: Option<Fill>,
}

impl Choice<'_> {
    pub fn check(&self, f: &mut Faults) {
        let key = |of: &str| format!("{}.{of}", self.called.to_lowercase());
        if let Some(fill) = self.fill {
            f.check(is_single(fill), &key("fill"), fill, "give a finite number that f32 holds");
        }
        for (column, fill) in self.fills {
            let key = key(&format!("fills.{column}"));
            match (fill, self.categories.contains_key(column)) {
                (Fill::Number(n), false) => f.check(is_single(*n), &key, n, "give a finite number that f32 holds"),
                (Fill::Word(w), false) => {
                    f.check(false, &key, format!("`{w}` in a column of numbers"), "give a number, or call the column one of categories")
                }
                (Fill::Number(n), true) => f.check(false, &key, format!("{n} in a column of categories"), "give a word"),
                (Fill::Word(_), true) => {}
            }
        }
        for column in self.targets {
            let key = key(&format!("targets.{column}"));
            let several = self.targets.len() > 1 && self.categories.contains_key(column);
            f.check(!several, &key, "a target of categories beside others", "name one target of categories, or targets of numbers alone");
            f.check(!self.one_hot.contains(column), &key, "a one-hot target", "name its categories, and call `one_hot` on the data set");
            f.check(!self.columns.contains(column), &key, "it is among the features, too", "take it out of `columns`");
            f.check(!self.dropped.contains(column), &key, "it is left out, too", "take it out of `dropped`");
        }
        for (column, words) in self.categories {
            let twice = (1..words.len()).find(|&i| words[..i].contains(&words[i]));
            let problem = twice.map_or(String::new(), |i| format!("the word `{}` stands there twice", words[i]));
            f.check(twice.is_none(), &key(&format!("categories.{column}")), problem, "give each word once");
        }
    }

    /// The columns that are read: features, then targets.
    #[cfg(any(feature = "data-csv", feature = "data-parquet"))]
    pub fn chosen(&self, names: &[String], path: &Path) -> Result<Vec<Column>> {
        let place: HashMap<&str, usize> = names.iter().zip(0..).map(|(n, i)| (n.as_str(), i)).collect();
        let named = self.targets.iter().chain(self.columns).chain(self.dropped).chain(self.one_hot);
        for name in named.chain(self.categories.keys()).chain(self.fills.keys()) {
            if !place.contains_key(name.as_str()) {
                return Err(Error::NotFound {
                    what: "column".into(),
                    name: name.clone(),
                    at: path.display().to_string(),
                    known: names.iter().take(50).cloned().collect(),
                });
            }
        }
        let (targets, dropped): (HashSet<&String>, HashSet<&String>) = (self.targets.iter().collect(), self.dropped.iter().collect());
        let own = names.iter().filter(|n| !targets.contains(n) && !dropped.contains(n));
        let features: Vec<&String> = if self.columns.is_empty() { own.collect() } else { self.columns.iter().collect() };
        if features.is_empty() {
            return Err(Error::BadData {
                path: path.into(),
                offset: 0,
                problem: "no column is left for the features".into(),
                help: format!("leave fewer columns out, or name the features: `{}::columns`", self.called),
            });
        }
        let column = |name: &String| {
            let words = self.categories.get(name);
            let fill = self.fills.get(name).cloned().or(self.fill.filter(|_| words.is_none()).map(Fill::Number));
            Column { at: place[name.as_str()], name: name.clone(), words: words.map(|w| Words::new(w)), fill }
        };
        Ok(features.into_iter().chain(self.targets).map(column).collect())
    }
}

/// The setters of those settings.
macro_rules! setters_of_columns {
    ($settings:ident) => {
        impl $settings {
            /// This column is a label. One column of numbers gives labels f32 `[rows]`, several `[rows, targets]`; one of [categories](Self::categories) gives classes,
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
            /// (pandas' categories). To read another file with the same numbers: [`Self::as_read`].
            #[doc(alias("factorize", "LabelEncoder", "OrdinalEncoder"))]
            pub fn categories(self, column: impl Into<String>) -> Self {
                self.categories_in(column, Vec::<String>::new())
            }

            /// As [`Self::categories`], with the words in the order of their numbers. Any other word is an `Err`.
            pub fn categories_in<S: Into<String>>(mut self, column: impl Into<String>, words: impl IntoIterator<Item = S>) -> Self {
                self.categories.insert(column.into(), words.into_iter().map(Into::into).collect());
                self
            }

            /// This column has words: each of them becomes a feature, 1 where it stands and 0 elsewhere, in the order of [`Self::categories`]; 1,024 words
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

            /// With the words of a table that was read before: a test file gets the numbers of the training file, and a word that was not there is an `Err`.
            pub fn as_read(mut self, table: &Table) -> Self {
                self.categories.extend(table.categories.clone());
                self
            }
        }
    };
}
pub(super) use setters_of_columns;
