//! Arrays that stay in their files.

use super::header::Kind as Written;
use super::{Origin, header_of};
use crate::data::file::{FileRows, Kind};
use crate::data::{Dataset, Source};
use crate::error::{Error, Result, place};
use crate::tensor::DType;
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Features and labels in two files of `numpy.save`, as a data set that stays on disk: rows are read when they are needed, and never more at a time than
/// [`Dataset::memory_budget`] allows (`numpy.load(.., mmap_mode="r")`).
///
/// Types as for [`read_npy`](super::read_npy); labels are integers `[rows]` or real values. The arrays must be in C order, for a row in Fortran order is not in one place. A file
/// that is cut short while it is in use is an `Err` of `fit`, and so is a value that its type here does not hold.
///
/// Fails as `read_npy` does, with `unsupported` on Fortran order, and with `shape-mismatch` if an array is one number or the two have different numbers of rows.
///
/// ```no_run
/// let train = gradus::data::open_npy("images.npy", "labels.npy")?.memory_budget(64 << 20);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias("memmap", "mmap_mode"))]
#[track_caller]
pub fn open_npy(x: impl AsRef<Path>, y: impl AsRef<Path>) -> Result<Dataset> {
    let at = place(Location::caller());
    let (x, path) = (rows(x.as_ref(), &at)?, x.as_ref());
    let y = rows(y.as_ref(), &at)?;
    if y.dtype() != DType::F32 && y.row.rank() > 0 && y.row.size() == 1 {
        let problem = format!("class labels have the shape {}, not [rows]", y.row.batched(y.rows));
        let help = "give one integer a row, or floats for probabilities and real values".into();
        return Err(Error::ShapeMismatch { op: "open_npy".into(), problem, at, help });
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Dataset::from_sources([("x", Arc::new(x) as Arc<dyn Source>), ("y", Arc::new(y))])?.named(&name))
}

fn rows(path: &Path, at: &str) -> Result<FileRows> {
    let (file, _, header) = header_of(path)?;
    if header.dims.is_empty() {
        return Err(Error::ShapeMismatch {
            op: "open_npy".into(),
            problem: format!("the array of {} is one number and has no rows", path.display()),
            at: at.into(),
            help: "the first axis is the row".into(),
        });
    }
    if header.fortran && header.dims.len() > 1 {
        return Err(Error::Unsupported {
            what: "reading rows out of an array in Fortran order".into(),
            at: path.display().to_string(),
            help: "save it in C order (`numpy.ascontiguousarray`), or read it whole: `data::read_npy`".into(),
        });
    }
    let kind = match (header.kind, header.width) {
        (Written::Bool, _) | (Written::Unsigned, 1) => Kind::U8,
        (Written::Unsigned, 2) => Kind::U16,
        (Written::Unsigned, 4) => Kind::U32,
        (Written::Unsigned, _) => Kind::U64,
        (Written::Signed, 1) => Kind::I8,
        (Written::Signed, 2) => Kind::I16,
        (Written::Signed, 4) => Kind::I32,
        (Written::Signed, _) => Kind::I64,
        (Written::Float, 2) => Kind::F16,
        (Written::Float, 4) => Kind::F32,
        (Written::Float, 8) => Kind::F64,
        (kind, width) => {
            let problem = format!("{kind:?} of {width} bytes are not read");
            return Err(Origin { path, member: None }.bad(header.start, problem, "save floats or integers"));
        }
    };
    Ok(FileRows::new(path, Arc::new(Mutex::new(file)), header.start as u64, &header.dims, kind, header.big_endian))
}
