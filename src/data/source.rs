//! The trait of everything that gives rows, and the reading of rows into the device's words.

use super::rows::Rows;
use crate::error::Error;
use crate::tensor::{DType, HostTensor, Shape};

/// What a source may fail with: any error. A [`crate::Error`] reaches the caller of `fit` as it is; any other error is wrapped in one that names the
/// rows that were read.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Where a source puts the values of the rows that it was asked for: one row after the other, row-major, of the source's dtype.
#[derive(Debug)]
#[non_exhaustive]
pub enum RowsMut<'a> {
    /// For a source of f32.
    F32(&'a mut [f32]),
    /// For a source of u32.
    U32(&'a mut [u32]),
    /// For a source of bytes.
    U8(&'a mut [u8]),
}

/// Something that gives the values of one field of a data set: memory (a [`HostTensor`] is a source), a file, a database.
///
/// `read` is called from one background thread at a time while a model trains, for rows in any order. It may block; a training run that is
/// dropped waits for the call to end. What it gives for a row must be the same each time.
///
/// ```
/// use gradus::data::{Dataset, RowsMut, Source, SourceError};
/// use gradus::tensor::{DType, Shape};
/// use std::sync::Arc;
///
/// /// Row `i` is `[i, i * i]`, made when it is asked for.
/// struct Squares;
/// impl Source for Squares {
///     fn len(&self) -> usize { 1_000_000 }
///     fn dtype(&self) -> DType { DType::F32 }
///     fn row(&self) -> Shape { [2].into() }
///     fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError> {
///         let RowsMut::F32(out) = out else { return Err("squares are f32".into()) };
///         for (row, to) in rows.iter().zip(out.chunks_mut(2)) {
///             to.copy_from_slice(&[*row as f32, *row as f32 * *row as f32]);
///         }
///         Ok(())
///     }
/// }
/// let set = Dataset::from_sources([("x", Arc::new(Squares) as Arc<dyn Source>)])?;
/// assert_eq!((set.len(), set.input_shape().dims()), (1_000_000, &[2][..]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[allow(clippy::len_without_is_empty)] // a data set has no empty sources
pub trait Source: Send + Sync {
    /// How many rows.
    fn len(&self) -> usize;

    /// F32, U32 or U8: which [`RowsMut`] `read` is given.
    fn dtype(&self) -> DType;

    /// The shape of one row; `[]` for one value a row.
    fn row(&self) -> Shape;

    /// Writes the values of these rows to `out`, which has room for just these. Every row is below `len`.
    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError>;

    /// The values, if they are in memory.
    fn tensor(&self) -> Option<&HostTensor> {
        None
    }

    /// Of rows that overlap in one piece of memory, as the windows of a series do: the values from the first row's first to the last row's last, and how many of them
    /// the next row begins further on. Such rows lie on the device as they do here. Of f32 alone.
    fn overlapping(&self) -> Option<(&[f32], usize)> {
        None
    }

    /// Whether the values are in memory, in one tensor or in several.
    fn is_in_memory(&self) -> bool {
        self.tensor().is_some()
    }
}

/// Rows along the first axis.
impl Source for HostTensor {
    fn len(&self) -> usize {
        self.shape().dims().first().copied().unwrap_or(0)
    }
    fn dtype(&self) -> DType {
        HostTensor::dtype(self)
    }
    fn row(&self) -> Shape {
        self.shape().dims().get(1..).unwrap_or_default().into()
    }
    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError> {
        let width = Source::row(self).size();
        match out {
            RowsMut::F32(out) => copy(self.as_f32(), rows, width, out),
            RowsMut::U32(out) => copy(self.as_u32(), rows, width, out),
            RowsMut::U8(out) => copy(self.as_u8(), rows, width, out),
        }
    }
    fn tensor(&self) -> Option<&HostTensor> {
        Some(self)
    }
}

fn copy<T: Copy>(values: Option<&[T]>, rows: &[u32], width: usize, out: &mut [T]) -> Result<(), SourceError> {
    let values = values.ok_or("rows of another dtype were asked for")?;
    for (&row, to) in rows.iter().zip(out.chunks_exact_mut(width.max(1))) {
        let at = row as usize * width;
        to.copy_from_slice(values.get(at..at + width).ok_or("a row past the last was asked for")?);
    }
    Ok(())
}

/// Rows of a source as a tensor of their own.
pub(crate) fn read_tensor(source: &dyn Source, rows: &Rows) -> Result<HostTensor, SourceError> {
    let (numbers, shape) = (rows.iter().map(|r| r as u32).collect::<Vec<_>>(), source.row().batched(rows.len()));
    let size = shape.size();
    Ok(match source.dtype() {
        DType::F32 => {
            let mut out = vec![0.0; size];
            source.read(&numbers, RowsMut::F32(&mut out))?;
            HostTensor::f32(shape, out)?
        }
        DType::U32 => {
            let mut out = vec![0; size];
            source.read(&numbers, RowsMut::U32(&mut out))?;
            HostTensor::u32(shape, out)?
        }
        DType::U8 => {
            let mut out = vec![0; size];
            source.read(&numbers, RowsMut::U8(&mut out))?;
            HostTensor::u8(shape, out)?
        }
        other => return Err(format!("a source of {other}").into()),
    })
}

/// How many rows of bytes are packed into words at a time.
const PACK: usize = 4096;

/// The rows of a source as the device stores them: words, `u8` rows padded to a whole word.
pub(crate) fn read_words(source: &dyn Source, rows: &[u32], out: &mut [u32]) -> Result<(), SourceError> {
    match source.dtype() {
        DType::F32 => source.read(rows, RowsMut::F32(bytemuck::cast_slice_mut(out))),
        DType::U32 => source.read(rows, RowsMut::U32(out)),
        // the lowest byte of a word comes first in memory, so words have the bytes of a row in order
        DType::U8 if cfg!(target_endian = "little") && source.row().size().is_multiple_of(4) => {
            source.read(rows, RowsMut::U8(bytemuck::cast_slice_mut(out)))
        }
        DType::U8 => {
            let width = source.row().size().max(1);
            let mut bytes = Vec::new();
            for (rows, out) in rows.chunks(PACK).zip(out.chunks_mut(PACK * width.div_ceil(4))) {
                bytes.clear();
                bytes.resize(rows.len() * width, 0);
                source.read(rows, RowsMut::U8(&mut bytes))?;
                let word = |c: &[u8]| c.iter().rev().fold(0, |w, &b| w << 8 | u32::from(b));
                for (row, to) in bytes.chunks_exact(width).zip(out.chunks_exact_mut(width.div_ceil(4))) {
                    row.chunks(4).zip(to).for_each(|(c, t)| *t = word(c));
                }
            }
            Ok(())
        }
        other => Err(format!("a source of {other}").into()),
    }
}

/// The error of a source as one of the crate's.
pub(crate) fn source_error(e: SourceError, field: &str, set: &str, rows: &[u32]) -> Error {
    match e.downcast::<Error>() {
        Ok(own) => *own,
        Err(e) => {
            let rows = match rows {
                [] => "no rows".into(),
                [one] => format!("row {one}"),
                [first, .., last] => format!("{} rows, {first} to {last}", rows.len()),
            };
            Error::DataSource { field: field.into(), problem: e.to_string(), at: format!("the data set `{set}`, reading {rows}") }
        }
    }
}
