//! Files that are there whole or not at all.

use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// Puts these bytes in the place of a file, whole: they are written to a temporary name in the same folder and synced, and take the
/// file's name only then; the folder is synced too, so that the new name outlives a loss of power. On an error the old file is there still.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = beside(path, &format!("{}.tmp", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut f = std::fs::File::create(&temporary)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path, e)
    })
}

/// Removes what a process that was killed while it wrote this file has left behind.
pub(super) fn remove_leftovers(path: &Path) {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return };
    for found in std::fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        let left =
            found.file_name().to_str().and_then(|n| n.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".tmp")?.parse::<u32>().ok());
        if left.is_some_and(|id| id != std::process::id()) {
            let _ = std::fs::remove_file(found.path());
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().into();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A rename is in the folder's own data. Windows has no handle for that, and needs none.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder(path))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gradus");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let e = replace(&dir.path().join("no/such/folder"), b"x").unwrap_err();
        assert_eq!(e.code(), "io");
        // a folder stands in the way of the new name: the temporary file goes
        std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
        assert!(replace(&dir.path().join("b"), b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn leftovers_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.gradus");
        for name in ["run.gradus", "run.gradus.1.tmp", "run.gradus.bak.tmp", "run.gradus2.1.tmp", "run.gradus.1.tmp.x"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        remove_leftovers(&path);
        assert!(!dir.path().join("run.gradus.1.tmp").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
