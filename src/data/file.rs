//! Rows read out of a file where they stand.

use super::source::{RowsMut, Source, SourceError};
use crate::disk;
use crate::error::{Error, Result};
use crate::tensor::{DType, Shape};
use half::f16;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows less than this many bytes apart are read together, since a disk reads whole pages anyway.
const GAP: u64 = 4096;
/// Most bytes of one read; a row that is longer is read by itself.
const READ: usize = 256 << 10;

/// How values are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    U8,
    F32,
    /// Read as f32.
    F16,
    /// Read as f32, rounded: one that is too large is an error.
    F64,
    U32,
    /// Read as u32: one that is negative or too large is an error.
    I8,
    I16,
    I32,
    I64,
    U16,
    U64,
}

impl Kind {
    pub(crate) fn size(self) -> usize {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::F16 | Kind::I16 | Kind::U16 => 2,
            Kind::F32 | Kind::U32 | Kind::I32 => 4,
            Kind::F64 | Kind::I64 | Kind::U64 => 8,
        }
    }
}

/// A tensor in a file, `[rows, ..]`, read where it stands.
pub(crate) struct FileRows {
    pub path: PathBuf,
    /// The tensors of one file share it, since it has one position to read at.
    file: Arc<Mutex<File>>,
    /// Where its first row begins.
    pub start: u64,
    pub rows: usize,
    pub row: Shape,
    pub kind: Kind,
    pub big_endian: bool,
}

/// An opened file and its size.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    disk::open(path).map_err(|e| Error::io("open", path, e))
}

/// At most `most` bytes from the file's beginning.
pub(crate) fn head(file: &mut File, path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(most).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|e| Error::io("read", path, e))
}

impl FileRows {
    pub(crate) fn new(path: &Path, file: Arc<Mutex<File>>, start: u64, dims: &[usize], kind: Kind, big_endian: bool) -> Self {
        let (rows, row) = (dims.first().copied().unwrap_or(0), dims.get(1..).unwrap_or_default().into());
        FileRows { path: path.into(), file, start, rows, row, kind, big_endian }
    }

    fn bytes(&self) -> usize {
        self.row.size() * self.kind.size()
    }

    fn fill(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let done = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out));
        done.map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                let len = file.metadata().map_or(offset, |m| m.len());
                let problem = format!("the file ends before byte {}: it was longer when it was opened", offset + out.len() as u64);
                Error::BadData { path: self.path.clone(), offset: len, problem, help: "leave the file alone while it is in use".into() }
            }
            _ => Error::io("read", &self.path, e),
        })
    }

    /// Reads rows in the file's order, neighbours together. Calls `f` with the place of each row in the request, and the row's bytes.
    fn each(&self, rows: &[u32], mut f: impl FnMut(usize, u64, &[u8]) -> Result<()>) -> Result<()> {
        let width = self.bytes();
        let mut order: Vec<(u32, u32)> = rows.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut scratch = Vec::new();
        let mut at = 0;
        while at < order.len() {
            let first = u64::from(order[at].0) * width as u64;
            let mut end = at + 1;
            let mut len = width;
            while let Some(&(row, _)) = order.get(end) {
                let next = u64::from(row) * width as u64 - first;
                let longer = next as usize + width;
                if next.saturating_sub(len as u64) > GAP || longer > READ.max(width) {
                    break;
                }
                (len, end) = (longer, end + 1);
            }
            scratch.resize(len, 0);
            self.fill(self.start + first, &mut scratch)?;
            for &(row, place) in &order[at..end] {
                let from = u64::from(row) * width as u64 - first;
                f(place as usize, self.start + first + from, &scratch[from as usize..][..width])?;
            }
            at = end;
        }
        Ok(())
    }

    fn negative(&self, offset: u64, value: i128) -> Error {
        let problem = if value < 0 { format!("the value {value} is negative") } else { format!("the value {value} is above 2^32 - 1") };
        let help = "integers are read as u32: write the values as f32".into();
        Error::BadData { path: self.path.clone(), offset, problem, help }
    }

    fn too_large(&self, offset: u64, value: f64) -> Error {
        let problem = format!("the value {value} is too large for f32");
        Error::BadData { path: self.path.clone(), offset, problem, help: "scale the values before they are saved".into() }
    }

    /// The integer at the beginning of these bytes.
    fn integer(&self, bytes: &[u8]) -> i128 {
        let big = self.big_endian;
        match self.kind {
            Kind::U8 => bytes[0].into(),
            Kind::I8 => (bytes[0] as i8).into(),
            Kind::I16 => parts(bytes, big).next().map_or(0, |b| i16::from_le_bytes(b).into()),
            Kind::U16 => parts(bytes, big).next().map_or(0, |b| u16::from_le_bytes(b).into()),
            Kind::I64 => parts(bytes, big).next().map_or(0, |b| i64::from_le_bytes(b).into()),
            Kind::U64 => parts(bytes, big).next().map_or(0, |b| u64::from_le_bytes(b).into()),
            Kind::U32 => parts(bytes, big).next().map_or(0, |b| u32::from_le_bytes(b).into()),
            _ => parts(bytes, big).next().map_or(0, |b| i32::from_le_bytes(b).into()),
        }
    }
}

fn parts<const N: usize>(bytes: &[u8], big: bool) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().map(move |c| {
        let mut c = *c;
        if big {
            c.reverse();
        }
        c
    })
}

impl Source for FileRows {
    fn len(&self) -> usize {
        self.rows
    }

    fn dtype(&self) -> DType {
        match self.kind {
            Kind::U8 => DType::U8,
            Kind::F32 | Kind::F16 | Kind::F64 => DType::F32,
            _ => DType::U32,
        }
    }

    fn row(&self) -> Shape {
        self.row.clone()
    }

    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> std::result::Result<(), SourceError> {
        let (width, big) = (self.row.size(), self.big_endian);
        match (self.kind, out) {
            (Kind::U8, RowsMut::U8(out)) => self.each(rows, |place, _, bytes| {
                out[place * width..][..width].copy_from_slice(bytes);
                Ok(())
            })?,
            (Kind::F32, RowsMut::F32(out)) => self.each(rows, |place, _, bytes| {
                out[place * width..][..width].iter_mut().zip(parts(bytes, big)).for_each(|(t, b)| *t = f32::from_le_bytes(b));
                Ok(())
            })?,
            (Kind::U32, RowsMut::U32(out)) => self.each(rows, |place, _, bytes| {
                out[place * width..][..width].iter_mut().zip(parts(bytes, big)).for_each(|(t, b)| *t = u32::from_le_bytes(b));
                Ok(())
            })?,
            (Kind::F16, RowsMut::F32(out)) => self.each(rows, |place, _, bytes| {
                out[place * width..][..width].iter_mut().zip(parts(bytes, big)).for_each(|(t, b)| *t = f16::from_le_bytes(b).to_f32());
                Ok(())
            })?,
            (Kind::F64, RowsMut::F32(out)) => self.each(rows, |place, at, bytes| {
                for (i, (t, b)) in out[place * width..][..width].iter_mut().zip(parts(bytes, big)).enumerate() {
                    let value = f64::from_le_bytes(b);
                    *t = value as f32;
                    if t.is_infinite() && value.is_finite() {
                        return Err(self.too_large(at + 8 * i as u64, value));
                    }
                }
                Ok(())
            })?,
            (Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 | Kind::U16 | Kind::U64, RowsMut::U32(out)) => {
                let size = self.kind.size();
                self.each(rows, |place, at, bytes| {
                    for (i, (t, b)) in out[place * width..][..width].iter_mut().zip(bytes.chunks_exact(size)).enumerate() {
                        let value = self.integer(b);
                        *t = u32::try_from(value).map_err(|_| self.negative(at + (i * size) as u64, value))?;
                    }
                    Ok(())
                })?
            }
            _ => return Err("rows of another dtype were asked for".into()),
        }
        Ok(())
    }
}
