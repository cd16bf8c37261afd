//! Tables of text: CSV files.

#[cfg(not(feature = "data-csv"))]
mod absent;
mod cell;
#[cfg(feature = "data-csv")]
mod column;
#[cfg(feature = "data-csv")]
mod read;
mod settings;

#[cfg(not(feature = "data-csv"))]
use absent::read as read_file;
#[cfg(feature = "data-csv")]
use read::read as read_file;
pub use settings::{Csv, Fill};

use super::Dataset;
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::Path;

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

/// A CSV file as a data set in memory: the column `target` becomes the labels, every other column a feature. [`Csv`] says what is what.
///
/// ```
/// use gradus::data::{self, Csv};
/// let path = std::env::temp_dir().join(format!("gradus-csv-doctest-{}.csv", std::process::id()));
/// std::fs::write(&path, "size,town,price\n120,Ulm,310\n,Bonn,250\n80,Ulm,205\n")?;
/// let set = data::csv(&path, Csv::new().target("price").one_hot("town").fill_missing(100.0))?;
/// assert_eq!(set.features().and_then(|x| x.as_f32()), Some(&[120.0, 0.0, 1.0, 100.0, 1.0, 0.0, 80.0, 0.0, 1.0][..]));
/// assert_eq!(set.labels().and_then(|y| y.as_f32()), Some(&[310.0, 250.0, 205.0][..]));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Fails with `bad-data`, the line, the column and what stands there: a missing value that nothing fills, what is no number, a word that is none
/// of the categories, a row of another length, bytes that are no UTF-8, a table without rows. With `not-found` where a column is named that is not
/// there, with `invalid-config` on settings that exclude each other, with `io` where the file cannot be read. Without the feature `data-csv`
/// with `unsupported`.
#[doc(alias = "read_csv")]
pub fn csv(path: impl AsRef<Path>, csv: Csv) -> Result<Dataset> {
    Ok(csv.read(path)?.data)
}

#[cfg(all(test, feature = "data-csv"))]
mod tests;
