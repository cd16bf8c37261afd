//! Data sets: from arrays, from files in MNIST's format, from the network, or drawn from a seed.
//!
//! ```
//! use gradus::data;
//! let (train, test) = data::synthetic_digits(0, 100, 20)?;
//! assert_eq!((train.len(), test.input_shape().dims()), (100, &[28, 28][..]));
//! # Ok::<(), gradus::Error>(())
//! ```

mod dataset;
#[cfg(feature = "data-download")]
mod download;
mod file;
mod folder;
mod idx;
mod look;
mod open;
mod pinned;
mod source;
mod sources;
mod stream;
mod synthetic;
#[cfg(test)]
mod tests;

pub use dataset::Dataset;
pub(crate) use dataset::Limit;
pub use folder::idx_folder;
pub use idx::read_idx;
pub use look::Look;
pub use open::{open_idx, open_safetensors};
pub use source::{RowsMut, Source, SourceError};
pub use sources::{DownloadProgress, Found, MnistOptions, mnist, mnist_with};
pub(crate) use stream::{Blocks, Plan};
pub use synthetic::synthetic_digits;
