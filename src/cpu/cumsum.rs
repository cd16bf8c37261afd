//! The twin of `shaders/cumsum.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::error::Result;
use crate::kernels::CumSum;
use std::ops::Range;

impl Twin for CumSum {
    /// The sum of a piece runs in f64.
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let x = &f32s(reads[0])[self.offsets[0]..];
        let mut workers = vec![(); parts((self.rows * self.width) as f64, threads)];
        fork(&mut workers, 0..self.rows, 16, [self.width; WRITES], writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
            for (row, out) in rows.zip(f32s_mut(w[0]).chunks_exact_mut(self.width.max(1))) {
                for piece in 0..self.pieces {
                    let before = if self.reverse { (piece + 1 < self.pieces).then_some(piece + 1) } else { piece.checked_sub(1) };
                    let start = |p: usize| f64::from(f32s(reads[1])[row * self.pieces + p]);
                    let mut sum = before.filter(|_| self.started).map_or(0.0, start);
                    let (begin, end) = (self.width.min(piece * self.piece()), self.width.min((piece + 1) * self.piece()));
                    for i in begin..end {
                        let c = if self.reverse { begin + (end - 1 - i) } else { i };
                        sum += f64::from(x[row * self.width + c]);
                        out[c] = sum as f32;
                    }
                }
            }
        });
        Ok(())
    }
}
