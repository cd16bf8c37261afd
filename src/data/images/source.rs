//! Pictures as a source of rows.

use super::{ImageFolder, decode, walk};
use crate::data::{Dataset, RowsMut, Source, SourceError};
use crate::error::Result;
use crate::tensor::{DType, HostTensor, Shape};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Pictures {
    files: Vec<PathBuf>,
    how: ImageFolder,
    /// Height and width.
    size: (usize, usize),
}

pub(super) fn open(dir: &Path, how: &ImageFolder) -> Result<Dataset> {
    let (classes, pictures) = walk::pictures(dir)?;
    let size = match how.size {
        Some(size) => size,
        None => decode::size(&pictures[0].0, how)?,
    };
    let labels = HostTensor::u32([pictures.len()], pictures.iter().map(|(_, class)| *class).collect())?;
    let files = pictures.into_iter().map(|(path, _)| path).collect();
    let x: Arc<dyn Source> = Arc::new(Pictures { files, how: how.clone(), size });
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Dataset::from_sources([("x", x), ("y", Arc::new(labels))])?.class_names(classes).named(&name))
}

impl Source for Pictures {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn dtype(&self) -> DType {
        DType::U8
    }

    fn row(&self) -> Shape {
        [if self.how.grey { 1 } else { 3 }, self.size.0, self.size.1].into()
    }

    /// Each row has its place, whoever comes first; of several that fail the first in order is told.
    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError> {
        let RowsMut::U8(out) = out else { return Err("rows of another dtype were asked for".into()) };
        let width = self.row().size();
        let one = |(&row, to): (&u32, &mut [u8])| match self.files.get(row as usize) {
            Some(path) => decode::read(path, &self.how, self.size, to).err().map(SourceError::from),
            None => Some("a row past the last was asked for".into()),
        };
        match rows.par_iter().zip(out.par_chunks_exact_mut(width)).with_max_len(1).find_map_first(one) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }
}
