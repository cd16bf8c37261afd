//! Data sets: from arrays, from files (CSV, NumPy's, safetensors, idx), known ones by name (MNIST, CIFAR) and from the network, or drawn from a seed.
//!
//! ```
//! use gradus::data;
//! let (train, test) = data::synthetic_digits(0, 100, 20)?;
//! assert_eq!((train.len(), test.input_shape().dims()), (100, &[28, 28][..]));
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! **Parts of a set** share its values: [`Dataset::split`], [`Dataset::k_fold`], [`Dataset::select`], [`Dataset::balanced`], [`Dataset::concat`].
//!
//! **A set that does not fit in memory** stays where it is: a thread reads the files of [`open_idx`] and [`open_safetensors`], and any [`Source`] that
//! you write, in blocks ahead of the training and within [`Dataset::memory_budget`]. The order of the rows is the same as from memory, and so is
//! every bit of the result. For data that you make while training there is [`Model::train_on_batch`](crate::train::Model::train_on_batch).

mod archive;
mod augment;
mod chain;
mod cifar;
mod dataset;
#[cfg(feature = "data-download")]
mod download;
mod file;
mod folder;
mod idx;
mod images;
mod look;
mod numpy;
mod open;
mod pinned;
mod progress;
mod rows;
mod series;
mod source;
mod sources;
mod split;
mod spool;
mod stream;
mod synthetic;
mod table;
mod tar;
#[cfg(test)]
mod tests;

pub use augment::{Augment, Transform};
pub(crate) use dataset::Limit;
pub use dataset::{Dataset, Kept};
pub use folder::idx_folder;
pub use idx::read_idx;
pub use images::{ImageFolder, image_folder};
pub use look::Look;
pub use numpy::{npz, open_npy, read_npy, read_npz};
pub use open::{open_idx, open_safetensors};
pub use progress::DownloadProgress;
pub use rows::Rows;
pub use series::{Calendar, CalendarFeature, Series, Windows, series};
pub use source::{RowsMut, Source, SourceError};
pub use sources::{
    ArchiveOptions, Found, MnistOptions, cifar10, cifar10_with, cifar100, cifar100_with, fashion_mnist, fashion_mnist_with, mnist,
    mnist_with,
};
pub use split::Split;
pub(crate) use stream::{Blocks, Plan};
pub use synthetic::synthetic_digits;
pub use table::{Csv, Fill, Parquet, Table, csv, parquet};
