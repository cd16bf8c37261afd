//! NumPy's files: `.npy` holds an array, `.npz` several by name.

mod header;
mod open;
mod values;
mod zip;

use super::Dataset;
use crate::disk;
use crate::error::{Error, Result, place};
use crate::tensor::HostTensor;
use header::{Header, LONGEST};
pub use open::open_npy;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::panic::Location;
use std::path::Path;

/// Reads an array that `numpy.save` wrote, of any shape, in C or Fortran order (the tensor is row-major).
///
/// `uint8` and `bool` give a u8 tensor; `float16`, `float32` and `float64` an f32 one, `float64` rounded; `uint16`, `uint32`, `uint64`, `int8`, `int16`, `int32` and
/// `int64` a u32 one, if no value is negative or above 2^32 - 1. Both byte orders are read.
///
/// Fails with `bad-data` and the byte if the file is no npy file, is cut short, goes on after its last value, or holds other values (objects, text, complex
/// numbers); with `io` if it cannot be read. A header that promises more values than the file has costs no memory.
///
/// ```
/// let mut file = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }".to_vec();
/// file.resize(10 + 0x46 - 1, b' ');
/// file.push(b'\n');
/// file.extend([1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()));
/// let path = std::env::temp_dir().join(format!("gradus-npy-doctest-{}.npy", std::process::id()));
/// std::fs::write(&path, file)?;
/// assert_eq!(gradus::data::read_npy(&path)?.as_f32(), Some(&[1.5, -2.0][..]));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("numpy.load", "np.load"))]
pub fn read_npy(path: impl AsRef<Path>) -> Result<HostTensor> {
    let path = path.as_ref();
    let failed = |e| Error::io("read", path, e);
    // what the header promises is held against the file before that is read
    let (mut file, size, _) = header_of(path)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    parse(&disk::rest(&mut file, size).map_err(failed)?, &Origin { path, member: None })
}

/// An opened npy file, its size and its header.
fn header_of(path: &Path) -> Result<(File, u64, Header)> {
    let failed = |e| Error::io("read", path, e);
    let (mut file, size) = disk::open(path).map_err(failed)?;
    let head = disk::rest(&mut file, size.min(LONGEST as u64)).map_err(failed)?;
    let origin = Origin { path, member: None };
    if head.starts_with(b"PK") {
        return Err(origin.bad(0, "this is a zip file, as npz files are".into(), "read it with `data::read_npz` or `data::npz`"));
    }
    let header = Header::parse(&head, size, &origin)?;
    Ok((file, size, header))
}

/// The arrays that `numpy.savez` or `savez_compressed` wrote, by name, in the order of the file. Types as for [`read_npy`]; what is compressed needs the feature
/// `data-download`.
///
/// Fails as `read_npy` does, and with `bad-data` if the file is no zip file or a damaged one.
///
/// ```no_run
/// let arrays = gradus::data::read_npz("mnist.npz")?;
/// for (name, array) in &arrays {
///     println!("{name} {}", array.shape());
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, HostTensor)>> {
    let path = path.as_ref();
    let failed = |e| Error::io("read", path, e);
    let (mut file, size) = disk::open(path).map_err(failed)?;
    let bytes = disk::rest(&mut file, size).map_err(failed)?;
    let mut out = Vec::new();
    for member in zip::members(&bytes, &Origin { path, member: None })? {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        let origin = Origin { path, member: Some(&member.name) };
        out.push((name.to_string(), parse(&member.content(&bytes, &origin)?, &origin)?));
    }
    Ok(out)
}

/// The arrays of an npz file as the fields of a data set: `x` the features, `y` the labels, others by name, all `[rows, ..]`:
/// `numpy.savez("train.npz", x=images, y=labels)`.
///
/// Fails as [`read_npz`] does, and with `shape-mismatch` if the arrays have different numbers of rows.
///
/// ```no_run
/// let train = gradus::data::npz("train.npz")?.flatten().scale(1.0 / 255.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[track_caller]
pub fn npz(path: impl AsRef<Path>) -> Result<Dataset> {
    let path = path.as_ref();
    let at = place(Location::caller());
    let mut arrays = read_npz(path)?;
    if let Some((name, _)) = arrays.iter().find(|(_, a)| a.shape().rank() == 0) {
        let problem = format!("the array `{name}` is one number and has no rows");
        return Err(Error::ShapeMismatch {
            op: "npz".into(),
            problem,
            at,
            help: "the first axis of all fields is the row: leave it out".into(),
        });
    }
    // features, labels, others by name
    arrays.sort_by_key(|(name, _)| (name != "x", name != "y", name.clone()));
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Dataset::from_fields(arrays)?.named(&name))
}

fn parse(bytes: &[u8], origin: &Origin<'_>) -> Result<HostTensor> {
    let header = Header::parse(bytes, bytes.len() as u64, origin)?;
    values::read(&header, &bytes[header.start..], origin)
}

/// Where bytes come from, for errors.
#[derive(Clone, Copy)]
struct Origin<'a> {
    path: &'a Path,
    /// In an npz file: the member whose bytes are counted.
    member: Option<&'a str>,
}

impl Origin<'_> {
    fn bad(&self, offset: usize, problem: String, help: &str) -> Error {
        let problem = match self.member {
            Some(member) => format!("`{}`: {problem} (counted in its unpacked bytes)", shown(member)),
            None => problem,
        };
        Error::BadData { path: self.path.into(), offset: offset as u64, problem, help: help.into() }
    }
}

/// What a file says, as a message shows it.
fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
