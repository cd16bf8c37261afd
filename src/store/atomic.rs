//! Files that are written whole or not at all.

use crate::disk;
use crate::error::{Error, Result};
use crate::tensor::{Order, Shape};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// A tensor of words that safetensors can write; without a copy where they lie in its own order.
pub(crate) struct Words<'a> {
    pub dtype: Dtype,
    pub shape: Shape,
    /// The order in which its axes lie.
    pub order: Order,
    pub words: &'a [u32],
}

impl View for Words<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        self.shape.dims()
    }
    fn data(&self) -> Cow<'_, [u8]> {
        match self.order.restore(&self.shape, self.words) {
            Cow::Borrowed(words) if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(words)),
            words => Cow::Owned(words.iter().flat_map(|w| w.to_le_bytes()).collect()),
        }
    }
    fn data_len(&self) -> usize {
        4 * self.words.len()
    }
}

/// Puts these bytes in the place of a file, whole or not at all: see [`disk::replace`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    disk::replace(path, &[bytes], true).map_err(|e| Error::io("write", path, e))
}

/// As [`read`], with the error of the system.
pub(crate) fn try_read(path: &Path) -> std::io::Result<Vec<u8>> {
    /// The limit of the crate `safetensors`.
    const LONGEST_HEADER: u64 = 100_000_000;
    let (mut file, size) = disk::open(path)?;
    let mut bytes = disk::rest(&mut file, size.min(1024))?;
    let header = bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
    if (2..LONGEST_HEADER.min(size.saturating_sub(7))).contains(&header) {
        bytes.try_reserve_exact((size - bytes.len() as u64) as usize).map_err(|_| std::io::Error::from(ErrorKind::OutOfMemory))?;
        file.take(size - bytes.len() as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The bytes of a safetensors file; of another file only as many as show that it is none.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    try_read(path).map_err(|e| Error::io("read", path, e))
}

/// Fails where [`replace`] would, before there is anything to write. Makes the folder where it is not there.
pub(crate) fn try_replace(path: &Path) -> Result<()> {
    disk::make_folder(path).and_then(|()| disk::try_replace(path)).map_err(|e| Error::io("write", path, e))
}
