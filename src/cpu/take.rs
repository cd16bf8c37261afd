//! The twin of `shaders/take.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, fork, parts};
use crate::error::Result;
use crate::kernels::Take;
use std::ops::Range;

/// Nanoseconds of an element that is copied.
const ELEMENT: f64 = 0.3;

impl Twin for Take {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let table = &reads[0][self.offsets[0]..];
        let indices = &reads[1][self.offsets[1]..];
        let mut workers = vec![(); parts((ELEMENT * self.width as f64 + 3.0) * self.count as f64, threads)];
        fork(&mut workers, 0..self.count, 1, [self.width; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
            for (i, out) in part.zip(w[0].chunks_exact_mut(self.width.max(1))) {
                match indices[i] as usize {
                    row if row < self.rows => out.copy_from_slice(&table[row * self.width..][..self.width]),
                    _ => out.fill(f32::NAN.to_bits()),
                }
            }
        });
        Ok(())
    }
}
