//! Files that are there whole or not at all.

use crate::disk;
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::path::Path;

/// Words of a tensor, as safetensors takes them without a copy.
pub(super) struct Words<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub words: &'a [u32],
}

impl View for Words<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(self.words))
        } else {
            Cow::Owned(self.words.iter().flat_map(|w| w.to_le_bytes()).collect())
        }
    }
    fn data_len(&self) -> usize {
        4 * self.words.len()
    }
}

/// Puts these bytes in the place of a file, whole or not at all: see [`disk::replace`].
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    disk::replace(path, &[bytes], true).map_err(|e| Error::io("write", path, e))
}

/// The bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    disk::read(path).map_err(|e| Error::io("read", path, e))
}

/// Fails where [`replace`] would, before there is anything to write. Makes the folder where it is not there.
pub(super) fn try_replace(path: &Path) -> Result<()> {
    disk::make_folder(path).and_then(|()| disk::try_replace(path)).map_err(|e| Error::io("write", path, e))
}
