//! Data sets that stay in their files: headers are read when a file is opened, rows when they are needed.

use super::file::{FileRows, Kind, head, open};
use super::idx::{self, Origin};
use super::{Dataset, Source};
use crate::error::{Error, Result, place};
use crate::tensor::DType;
use safetensors::tensor::{Dtype, Metadata};
use std::panic::Location;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Images and labels in two idx files that are not packed, as a data set that stays on disk: rows are read when they are needed, and never
/// more at a time than [`Dataset::memory_budget`] allows.
///
/// Types as for [`read_idx`](super::read_idx); labels are classes `[rows]` (u8, i32) or real values (f32). A file that is deleted while it is
/// in use can be read on most systems; one that is cut short is an `Err` of `fit`.
///
/// Fails as `read_idx` does, with `unsupported` on gzip, and with `shape-mismatch` if the two have different numbers of rows.
///
/// ```no_run
/// use gradus::data;
/// let train = data::open_idx("train-images-idx3-ubyte", "train-labels-idx1-ubyte")?.flatten().scale(1.0 / 255.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[track_caller]
pub fn open_idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Dataset> {
    let at = place(Location::caller());
    let (x, y) = (idx_rows(images.as_ref())?, idx_rows(labels.as_ref())?);
    if y.dtype() != DType::F32 && y.row.rank() > 0 {
        let problem = format!("class labels have the shape {}, not [rows]", y.row.batched(y.rows));
        let help = "give one integer a row, or f32 rows for probabilities and real values".into();
        return Err(Error::ShapeMismatch { op: "open_idx".into(), problem, at, help });
    }
    let name = images.as_ref().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Dataset::from_sources([("x", Arc::new(x) as Arc<dyn Source>), ("y", Arc::new(y))])?.named(&name))
}

/// Most bytes of a header, by the crate `safetensors`.
const LONGEST_HEADER: u64 = 100_000_000;

fn idx_rows(path: &Path) -> Result<FileRows> {
    let (mut file, size) = open(path)?;
    let bytes = head(&mut file, path, idx::LONGEST_HEADER)?;
    if idx::is_gzip(&bytes) {
        return Err(Error::Unsupported {
            what: "reading rows out of a gzip file".into(),
            at: path.display().to_string(),
            help: "unpack it (gunzip --keep), or read it whole with `data::read_idx`".into(),
        });
    }
    let origin = Origin { path, packed: false };
    let h = idx::header(&bytes, &origin)?;
    h.check_size(size, &origin)?;
    let kind = match h.kind {
        0x08 => Kind::U8,
        0x0D => Kind::F32,
        _ => Kind::I32,
    };
    Ok(FileRows::new(path, Arc::new(Mutex::new(file)), h.start as u64, &h.dims, kind, true))
}

/// The tensors of a safetensors file as fields of a data set that stays on disk: `x` the features, `y` the labels, others by name, all `[rows, ..]`.
///
/// U8, F32 and U32 tensors are read as they are, I32 and I64 (PyTorch's labels) as u32 if no value is negative. See [`open_idx`] for the rest.
///
/// Fails with `bad-data` and the byte if the file is no safetensors file, is cut short, goes on after its last tensor or holds another
/// type; with `shape-mismatch` if the tensors have different numbers of rows; with `io` if it cannot be read.
///
/// ```no_run
/// use gradus::data;
/// let train = data::open_safetensors("train.safetensors")?.memory_budget(64 << 20);
/// # Ok::<(), gradus::Error>(())
/// ```
#[track_caller]
pub fn open_safetensors(path: impl AsRef<Path>) -> Result<Dataset> {
    let path = path.as_ref();
    let bad = |offset: u64, problem: String, help: &str| Error::BadData { path: path.into(), offset, problem, help: help.into() };
    let (mut file, size) = open(path)?;
    let first = head(&mut file, path, 8)?;
    let Some(length) = first.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else {
        return Err(bad(size, "the file ends inside the 8 bytes of its header's length".into(), "give a safetensors file"));
    };
    let Some(start) = length.checked_add(8).filter(|&s| s <= size) else {
        let problem = format!("not a safetensors file, or cut short: its header has {length} bytes, the file {size}");
        return Err(bad(0, problem, "give a safetensors file, as `safetensors.torch.save_file` writes it"));
    };
    if length > LONGEST_HEADER {
        let problem = format!("its header would have {length} bytes; safetensors allow {LONGEST_HEADER}");
        return Err(bad(0, problem, "give a safetensors file, as `safetensors.torch.save_file` writes it"));
    }
    let bytes = head(&mut file, path, start)?;
    let meta: Metadata = serde_json::from_slice(&bytes[8.min(bytes.len())..])
        .map_err(|e| bad(8, format!("its header cannot be used ({e})"), "write it with a safetensors library"))?;
    let end = start + meta.data_len() as u64;
    if size < end {
        return Err(bad(
            size,
            format!("the file ends after {size} of the {end} bytes that its header needs"),
            "it was cut short: write it again",
        ));
    }
    if size > end {
        return Err(bad(end, format!("the file goes on after the {end} bytes of its last tensor"), "write it again"));
    }
    let mut tensors: Vec<_> = meta.tensors().into_iter().collect();
    // features, labels, others by name
    tensors.sort_by_key(|(name, _)| (name != "x", name != "y", name.clone()));
    let file = Arc::new(Mutex::new(file));
    let mut fields: Vec<(String, Arc<dyn Source>)> = Vec::new();
    for (name, info) in tensors {
        let offset = start + info.data_offsets.0 as u64;
        let kind = match info.dtype {
            Dtype::U8 => Kind::U8,
            Dtype::F32 => Kind::F32,
            Dtype::U32 => Kind::U32,
            Dtype::I32 => Kind::I32,
            Dtype::I64 => Kind::I64,
            other => return Err(bad(offset, format!("`{name}` is {other:?}"), "write it as U8, U32, I32, I64 or F32")),
        };
        fields.push((name, Arc::new(FileRows::new(path, file.clone(), offset, &info.shape, kind, false))));
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Dataset::from_sources(fields)?.named(&name))
}

#[cfg(test)]
mod tests;
