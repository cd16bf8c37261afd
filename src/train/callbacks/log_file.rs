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
}

impl LogFile {
    /// New, or at its end if it is to be kept. Its folder is made where it is not there.
    pub fn open(path: &Path, keep: bool) -> Result<Self> {
        let failed = |e| Error::io("write", path, e);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        if !keep {
            file.set_len(0).map_err(failed)?;
        }
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(LogFile { path: path.into(), file, bytes })
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
        if bytes < self.bytes {
            self.file.set_len(bytes).map_err(|e| Error::io("write", &self.path, e))?;
            self.bytes = bytes;
        }
        Ok(())
    }
}
