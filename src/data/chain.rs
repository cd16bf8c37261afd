//! Sources one after the other, as one.

use super::rows::Rows;
use super::source::{RowsMut, Source, SourceError};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// Rows of several sources of one kind, one source after the other. There is at least one.
pub(crate) struct Chain {
    parts: Vec<(Arc<dyn Source>, Rows)>,
    /// The first row of each part, and the number of all.
    starts: Vec<usize>,
}

impl Chain {
    pub fn new(parts: Vec<(Arc<dyn Source>, Rows)>) -> Self {
        let ends = parts.iter().scan(0, |end, (_, rows)| {
            *end += rows.len();
            Some(*end)
        });
        Chain { starts: [0].into_iter().chain(ends).collect(), parts }
    }

    fn first(&self) -> &dyn Source {
        &*self.parts[0].0
    }

    /// Reads from each part all of its rows at once, so that a file reads neighbours together.
    fn each<T: Copy + Default>(&self, rows: &[u32], out: &mut [T], show: fn(&mut [T]) -> RowsMut<'_>) -> Result<(), SourceError> {
        let width = self.row().size().max(1);
        let mut wanted: Vec<(Vec<u32>, Vec<usize>)> = vec![Default::default(); self.parts.len()];
        for (place, &row) in rows.iter().enumerate() {
            let row = row as usize;
            let part = self.starts.partition_point(|&s| s <= row) - 1;
            let Some((_, own)) = self.parts.get(part) else { return Err("a row past the last was asked for".into()) };
            wanted[part].0.push(own.at(row - self.starts[part]) as u32);
            wanted[part].1.push(place);
        }
        let mut read = Vec::new();
        for ((source, _), (own, places)) in self.parts.iter().zip(&wanted) {
            if own.len() == rows.len() {
                return source.read(own, show(out));
            }
            read.clear();
            read.resize(own.len() * width, T::default());
            if !own.is_empty() {
                source.read(own, show(&mut read))?;
            }
            for (from, &place) in read.chunks_exact(width).zip(places) {
                out[place * width..][..width].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

impl Source for Chain {
    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn dtype(&self) -> DType {
        self.first().dtype()
    }

    fn row(&self) -> Shape {
        self.first().row()
    }

    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError> {
        match out {
            RowsMut::F32(out) => self.each(rows, out, |o| RowsMut::F32(o)),
            RowsMut::U32(out) => self.each(rows, out, |o| RowsMut::U32(o)),
            RowsMut::U8(out) => self.each(rows, out, |o| RowsMut::U8(o)),
        }
    }

    fn is_in_memory(&self) -> bool {
        self.parts.iter().all(|(s, _)| s.is_in_memory())
    }
}
