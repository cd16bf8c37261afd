//! A file that grows with the run.

use crate::disk;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that grows with the run. A run that goes on from a checkpoint first takes it back to what it was there: nothing stands in it twice.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// It can be cut back: no pipe and no device.
    regular: bool,
}

/// Fails where [`LogFile::open`] would, and leaves what is there as it is. Makes the folder where it is not there.
pub(super) fn try_open(path: &Path) -> Result<()> {
    disk::make_folder(path).and_then(|()| disk::try_append(path)).map_err(|e| Error::io("write", path, e))
}

impl LogFile {
    /// New, or at its end if it is to be kept. Its folder is made where it is not there.
    pub fn open(path: &Path, keep: bool) -> Result<Self> {
        let failed = |e| Error::io("write", path, e);
        disk::make_folder(path).map_err(failed)?;
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        let regular = file.metadata().map_err(failed)?.is_file();
        if !keep && regular {
            file.set_len(0).map_err(failed)?;
        }
        let bytes = if regular { file.metadata().map_err(failed)?.len() } else { 0 };
        Ok(LogFile { path: path.into(), file, bytes, regular })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds this, in one piece.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what came after so many bytes.
    pub fn back_to(&mut self, bytes: u64) -> Result<()> {
        if bytes < self.bytes && self.regular {
            self.file.set_len(bytes).map_err(|e| Error::io("write", &self.path, e))?;
            self.bytes = bytes;
        }
        Ok(())
    }
}
