//! Tables: CSV and Parquet files.

#[cfg(not(all(feature = "data-csv", feature = "data-parquet")))]
mod absent;
mod cell;
mod choice;
#[cfg(any(feature = "data-csv", feature = "data-parquet"))]
mod column;
#[cfg(feature = "data-parquet")]
mod columns_of_parquet;
mod made;
#[cfg(feature = "data-parquet")]
mod pages;
mod parquet;
#[cfg(feature = "data-csv")]
mod read;
#[cfg(feature = "data-parquet")]
mod read_parquet;
mod settings;

#[cfg(not(feature = "data-csv"))]
use absent::read as read_file;
#[cfg(not(feature = "data-parquet"))]
use absent::read_parquet;
pub use choice::Fill;
pub use made::Table;
pub use parquet::Parquet;
#[cfg(feature = "data-csv")]
use read::read as read_file;
#[cfg(feature = "data-parquet")]
use read_parquet::read as read_parquet;
pub use settings::Csv;

use super::Dataset;
use crate::error::Result;
use std::path::Path;

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

impl Csv {
    /// The file's rows, and what its columns became. See [`csv`](crate::data::csv), which gives the rows alone.
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
        read_file(self, path.as_ref())
    }
}

/// A Parquet file as a data set: the column `target` becomes the labels, every other column a feature. [`Parquet`] says what is what, as [`Csv`] does.
///
/// The file is read once from its beginning to its end, some thousand rows at a time, and its rows become features f32 as training takes them. Up to 32 MiB of those stay in
/// memory; more are written to a temporary file, from which any order of rows is read within [`Dataset::memory_budget`]. The reading takes a few MiB for each column that
/// is read, whatever the file's size.
///
/// Columns of booleans, integers, floats and decimals are numbers; text is a column of [categories](Parquet::categories), and so may any other be. What is null or NaN is missing.
/// Uncompressed, Snappy, gzip and Zstandard are read.
///
/// Fails with `bad-data`, the row, the column and what stands there: a missing value that nothing fills, a number that f32 does not hold, a word that is none of the
/// categories; and where the file is damaged. With `unsupported` for a column of lists, times or bytes that is not left out; with `not-found` for a column that is not
/// there; with `out-of-memory` where the temporary file would be larger than [`Parquet::disk`]. Without the feature `data-parquet` with `unsupported`.
///
/// ```no_run
/// use gradus::data::{self, Parquet};
/// let trips = data::parquet("trips.parquet", Parquet::new().target("fare").one_hot("district").fill_missing(0.0))?.memory_budget(64 << 20);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "read_parquet")]
pub fn parquet(path: impl AsRef<Path>, how: Parquet) -> Result<Dataset> {
    Ok(how.read(path)?.data)
}

impl Parquet {
    /// The file's rows, and what its columns became. See [`parquet`](crate::data::parquet), which gives the rows alone.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        self.check()?;
        read_parquet(self, path.as_ref())
    }
}

#[cfg(all(test, feature = "data-parquet"))]
mod parquet_tests;
#[cfg(all(test, feature = "data-csv"))]
mod tests;
