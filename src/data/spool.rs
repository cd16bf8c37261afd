//! Rows that come one after the other, kept for any order: in memory up to so many bytes, and beyond that in a temporary file.

use super::file::{FileRows, Kind};
use super::source::Source;
use crate::error::{Error, Result};
use crate::tensor::{DType, HostTensor, Shape};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How much of a disk may be taken, and where.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Bytes that are kept in memory.
    pub memory: u64,
    /// Most bytes of the temporary file.
    pub disk: u64,
    /// The folder of the temporary file.
    pub dir: PathBuf,
}

/// One field's rows.
pub(crate) struct Spool {
    dtype: DType,
    row: Shape,
    room: Room,
    /// What is not in the file: words of f32 and u32, or bytes.
    words: Vec<u32>,
    bytes: Vec<u8>,
    file: Option<(BufWriter<File>, PathBuf)>,
    /// Bytes of all rows so far.
    taken: u64,
}

impl Spool {
    /// Of f32, u32 or u8 rows.
    pub fn new(dtype: DType, row: Shape, room: Room) -> Self {
        Spool { dtype, row, room, words: Vec::new(), bytes: Vec::new(), file: None, taken: 0 }
    }

    fn row_bytes(&self) -> u64 {
        let value = if self.dtype == DType::U8 { 1 } else { 4 };
        value * self.row.size().max(1) as u64
    }

    /// Adds whole rows of f32 (their bits) or u32.
    pub fn push(&mut self, words: &[u32]) -> Result<()> {
        if self.fits(4 * words.len() as u64)? {
            self.words.extend_from_slice(words);
            return Ok(());
        }
        if cfg!(target_endian = "little") {
            return self.write(bytemuck::cast_slice(words));
        }
        self.write(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// Adds whole rows of u8.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if self.fits(bytes.len() as u64)? {
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        self.write(bytes)
    }

    /// Whether so many bytes more stay in memory. Where they are the first that do not, what is in memory goes to the file.
    fn fits(&mut self, more: u64) -> Result<bool> {
        self.taken += more;
        if self.taken <= self.room.memory {
            return Ok(true);
        }
        if self.taken > self.room.disk {
            return Err(Error::OutOfMemory {
                what: format!("a temporary file in {} for rows that do not fit in memory", self.room.dir.display()),
                needed: self.taken,
                available: self.room.disk,
                biggest: vec![format!("rows of {}, {} so far", self.row, self.taken / self.row_bytes())],
                help: "allow more (`disk`), or take fewer rows or narrower ones".into(),
            });
        }
        if self.file.is_none() {
            let (file, path) = temporary(&self.room.dir)?;
            self.file = Some((BufWriter::with_capacity(1 << 18, file), path));
            let (words, bytes) = (std::mem::take(&mut self.words), std::mem::take(&mut self.bytes));
            for words in words.chunks(1 << 16) {
                self.write(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())?;
            }
            self.write(&bytes)?;
        }
        Ok(false)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|e| Error::io("write", &*path, e))
    }

    /// The rows as a source.
    pub fn finish(self) -> Result<Arc<dyn Source>> {
        let rows = (self.taken / self.row_bytes()) as usize;
        let shape = self.row.batched(rows);
        let Some((file, path)) = self.file else {
            return Ok(Arc::new(match self.dtype {
                DType::F32 => HostTensor::f32(shape, self.words.into_iter().map(f32::from_bits).collect())?,
                DType::U8 => HostTensor::u8(shape, self.bytes)?,
                _ => HostTensor::u32(shape, self.words)?,
            }));
        };
        let file = file.into_inner().map_err(|e| Error::io("write", &path, e.into_error()))?;
        let kind = match self.dtype {
            DType::F32 => Kind::F32,
            DType::U8 => Kind::U8,
            _ => Kind::U32,
        };
        Ok(Arc::new(FileRows::new(&path, Arc::new(Mutex::new(file)), 0, shape.dims(), kind, false)))
    }
}

/// A file that is gone when it is closed, however this process ends: it has no name any more, or the system is told so.
fn temporary(dir: &Path) -> Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
        options.custom_flags(FILE_FLAG_DELETE_ON_CLOSE);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    loop {
        let path = dir.join(format!(".gradus-{}-{}.rows", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        match options.open(&path) {
            Ok(file) => {
                if cfg!(unix) {
                    fs::remove_file(&path).map_err(|e| Error::io("remove the name of", &path, e))?;
                }
                return Ok((file, path));
            }
            // of an earlier process of this number
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create", &path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::read_tensor;

    fn spool(memory: u64, disk: u64, dir: &Path) -> Spool {
        Spool::new(DType::F32, [3].into(), Room { memory, disk, dir: dir.into() })
    }

    fn filled(mut s: Spool) -> Result<Arc<dyn Source>> {
        for row in 0..1000u32 {
            s.push(&[0, 1, 2].map(|i| (row as f32 + i as f32 / 4.0).to_bits()))?;
        }
        s.finish()
    }

    /// The same rows from memory and from the file, and the file leaves no trace.
    #[test]
    fn memory_and_file() -> Result<()> {
        let dir = tempfile::tempdir().unwrap();
        let (held, filed) = (filled(spool(1 << 20, 1 << 20, dir.path()))?, filled(spool(100, 1 << 20, dir.path()))?);
        assert!(held.is_in_memory() && !filed.is_in_memory());
        let rows = (&[999, 0, 7, 7, 500]).into();
        let read = |s: &Arc<dyn Source>| read_tensor(&**s, &rows).unwrap();
        assert_eq!(read(&held).as_f32(), read(&filed).as_f32());
        assert_eq!(&read(&filed).as_f32().unwrap()[..3], [999.0, 999.25, 999.5]);
        drop(filed);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Ok(())
    }

    #[test]
    fn the_budget_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let text = filled(spool(100, 5000, dir.path())).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("5004 bytes") || text.contains("5004"), "{text}");
        assert!(
            text.contains("may have 5000") && !text.contains("device") && text.contains("rows of [3]") && text.contains("help:"),
            "{text}"
        );
        let e = filled(spool(100, 1 << 20, &dir.path().join("none"))).map(|_| ()).unwrap_err();
        assert_eq!(e.code(), "io");
    }
}
