//! Rows from an iterator: taken once, and kept for any order.

use super::Dataset;
use crate::data::source::{Source, read_tensor, source_error};
use crate::data::spool::{Room, Spool};
use crate::error::{Error, Result, place};
use serde::{Deserialize, Serialize};
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the rows of an iterator are kept: [`Dataset::from_chunks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Kept {
    /// Bytes of each field that are kept in memory; 32 MiB. More go to a temporary file.
    pub memory: u64,
    /// Most bytes of each field's file; 16 GiB. More are an `Err`.
    pub disk: u64,
    /// The folder of the files; the system's for temporary files.
    pub dir: Option<PathBuf>,
}

impl Default for Kept {
    fn default() -> Self {
        Kept { memory: 32 << 20, disk: 16 << 30, dir: None }
    }
}

impl Kept {
    /// 32 MiB of each field in memory, up to 16 GiB on disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of each field that are kept in memory.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Most bytes of each field's file.
    pub fn disk(mut self, bytes: u64) -> Self {
        self.disk = bytes;
        self
    }

    /// The folder of the files, which have no names in it (on Windows, ones that go with the set).
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }
}

impl Dataset {
    /// The rows of an iterator, chunk after chunk, as an ordinary data set: shuffled, split and streamed as any. The iterator is run once, here, to its end; what does not
    /// fit in the memory of [`Kept`] is written to temporary files, from which the rows are read within [`Dataset::memory_budget`].
    ///
    /// Every chunk has the fields of the first, in its types and shapes, and any number of rows. How the first is shown (`flatten`, `scale`, ..) and what its classes are called
    /// holds for all.
    ///
    /// Fails with the iterator's own error, with `shape-mismatch` if there is no chunk or one is unlike the first, with `out-of-memory` beyond [`Kept::disk`], with `io` where a file
    /// cannot be written.
    ///
    /// ```
    /// use gradus::data::{Dataset, Kept};
    /// use gradus::tensor::HostTensor;
    /// let chunks = (0..10u8).map(|i| Dataset::new(HostTensor::f32([2, 1], vec![f32::from(i); 2])?, HostTensor::u8([2], vec![i % 3; 2])?));
    /// let set = Dataset::from_chunks(chunks, Kept::new())?;
    /// assert_eq!((set.len(), set.labels().and_then(|y| y.as_u8()).map(|y| y[19])), (20, Some(0)));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias("from_generator", "IterableDataset", "from_iter"))]
    #[track_caller]
    pub fn from_chunks(chunks: impl IntoIterator<Item = Result<Dataset>>, kept: Kept) -> Result<Dataset> {
        let at = place(Location::caller());
        let dir = kept.dir.clone().unwrap_or_else(std::env::temp_dir);
        let room = Room { memory: kept.memory, disk: kept.disk, dir };
        let unlike = |problem: String| Error::ShapeMismatch {
            op: "Dataset::from_chunks".into(),
            problem,
            at: at.clone(),
            help: "give chunks of the same fields, each of the same type and shape of a row".into(),
        };
        let mut first: Option<(Dataset, Vec<Spool>)> = None;
        for (i, chunk) in chunks.into_iter().enumerate() {
            let chunk = chunk?;
            let (head, spools) = first.get_or_insert_with(|| {
                let spool = |s: &Arc<dyn Source>| Spool::new(s.dtype(), s.row(), room.clone());
                (chunk.clone(), chunk.sources.iter().map(spool).collect())
            });
            let form = |set: &Dataset| -> Vec<String> {
                let fields = set.looks.iter().zip(&*set.sources);
                fields.map(|(look, s)| format!("`{}` {} {}", look.name, s.dtype(), s.row())).collect()
            };
            if form(&chunk) != form(head) {
                return Err(unlike(format!(
                    "chunk {i} has the fields {}, and the first {}",
                    form(&chunk).join(", "),
                    form(head).join(", ")
                )));
            }
            for ((source, spool), look) in chunk.sources.iter().zip(spools).zip(&chunk.looks) {
                let read = read_tensor(&**source, chunk.rows()).map_err(|e| source_error(e, &look.name, chunk.name(), &[]))?;
                match (read.as_f32(), read.as_u32(), read.as_u8()) {
                    (Some(values), ..) => spool.push(bytemuck::cast_slice(values))?,
                    (_, Some(values), _) => spool.push(values)?,
                    (.., Some(bytes)) => spool.push_bytes(bytes)?,
                    _ => {}
                }
            }
        }
        let Some((head, spools)) = first else { return Err(unlike("there is no chunk".into())) };
        let fields = head.looks.iter().zip(spools).map(|(look, spool)| Ok((look.name.to_string(), spool.finish()?)));
        let mut set = Dataset::from_sources(fields.collect::<Result<Vec<_>>>()?)?;
        (set.looks, set.name, set.class_names) = (head.looks, head.name, head.class_names);
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::HostTensor;

    /// Five chunks of 1 to 5 rows with a number a row, in three types.
    fn chunks() -> impl Iterator<Item = Result<Dataset>> {
        (0..5u32).map(|n| {
            let rows = n as usize + 1;
            let x = HostTensor::u8([rows, 3], (0..3 * rows).map(|i| (50 * n as usize + i) as u8).collect())?;
            let y = HostTensor::u32([rows], vec![n * 1000; rows])?;
            let w = HostTensor::f32([rows, 2], vec![n as f32 / 2.0; 2 * rows])?;
            Ok(Dataset::from_fields([("w", w), ("x", x), ("y", y)])?.scale(0.5).named("chunk").class_names(["a"]))
        })
    }

    #[test]
    fn the_same_rows_from_memory_and_from_files() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let held = Dataset::from_chunks(chunks(), Kept::new())?;
        let filed = Dataset::from_chunks(chunks(), Kept::new().memory(20).dir(dir.path()))?;
        assert_eq!((held.len(), held.name(), held.class_name(0)), (15, "chunk", "a".to_string()));
        assert!(held.features().is_some() && filed.features().is_none());
        let rows: Vec<u32> = (0..15).rev().collect();
        for field in 0..3 {
            assert_eq!(held.words_of(field, &rows)?, filed.words_of(field, &rows)?, "{field}");
        }
        assert_eq!(held.labels().and_then(HostTensor::as_u32).unwrap()[4..7], [2000, 2000, 3000]);
        assert_eq!(held.values("x").and_then(HostTensor::as_u8).unwrap()[9..12], [100, 101, 102]);
        assert_eq!(held.fields(), filed.fields());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        // rows of a part alone are taken
        let part = Dataset::from_chunks(chunks().map(|c| c?.select(&[0])), Kept::new())?;
        assert_eq!(part.values("w").and_then(HostTensor::as_f32), Some(&[0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0][..]));
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |result: Result<Dataset>, code: &str, says: &str| {
            let e = result.unwrap_err();
            assert!(e.code() == code && e.to_string().contains(says), "{e}");
        };
        told(Dataset::from_chunks([], Kept::new()), "shape-mismatch", "there is no chunk");
        let other = Dataset::unlabelled(HostTensor::f32([1, 3], vec![0.0; 3]).unwrap());
        told(
            Dataset::from_chunks(chunks().chain([other]), Kept::new()),
            "shape-mismatch",
            "chunk 5 has the fields `x` f32 [3], and the first `x` u8 [3]",
        );
        told(Dataset::from_chunks(chunks(), Kept::new().memory(0).disk(60)), "out-of-memory", "rows of");
        let failed = std::iter::once_with(|| Err(Error::callback("no more")));
        told(Dataset::from_chunks(chunks().chain(failed), Kept::new()), "callback", "no more");
        told(Dataset::from_chunks(chunks(), Kept::new().memory(0).dir("no/such")), "io", "no/such");
    }
}
