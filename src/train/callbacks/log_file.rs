//! A file that grows with the run.

use crate::disk;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that grows with the run. A run that goes on from a checkpoint first cuts the file back to its length at the checkpoint, so that nothing stands in
/// it twice.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The file can be cut back: it is no pipe and no device.
    regular: bool,
}

/// Fails where [`LogFile::open`] would, and changes no file. Makes the folder if there is none.
pub(super) fn try_open(path: &Path) -> Result<()> {
    disk::make_folder(path).and_then(|()| disk::try_append(path)).map_err(|e| Error::io("write", path, e))
}

/// What the settings of a callback with one log file say of it, from their field `path`.
macro_rules! one_log_file {
    () => {
        fn path(&self) -> Option<(&'static str, &std::path::Path)> {
            Some(("path", &self.path))
        }

        fn path_mut(&mut self) -> Option<&mut PathBuf> {
            Some(&mut self.path)
        }

        fn try_files(&self) -> Result<()> {
            super::log_file::try_open(&self.path)
        }
    };
}
pub(super) use one_log_file;

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

    /// Cuts the file back to so many bytes.
    pub fn back_to(&mut self, bytes: u64) -> Result<()> {
        if bytes < self.bytes && self.regular {
            self.file.set_len(bytes).map_err(|e| Error::io("write", &self.path, e))?;
            self.bytes = bytes;
        }
        Ok(())
    }
}
