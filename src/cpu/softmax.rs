//! The twin of `shaders/softmax.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::exponentials::{Row, VALUE, exponentials};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::error::Result;
use crate::kernels::Softmax;
use std::ops::Range;

impl Twin for Softmax {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let x = &f32s(reads[0])[self.offsets[0]..];
        let mut workers = vec![(); parts(VALUE * (self.rows * self.width) as f64, threads)];
        let widths = [self.width; WRITES];
        fork(&mut workers, 0..self.rows, 16, widths, writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
            let out = f32s_mut(w[0]).chunks_exact_mut(self.width.max(1));
            for (row, out) in rows.zip(out) {
                let x = &x[row * self.width..][..self.width];
                let Row { top, sum, .. } = exponentials(x, Some(&mut *out));
                if self.log {
                    let log_sum = sum.ln();
                    out.iter_mut().zip(x).for_each(|(o, &v)| *o = (v - top) - log_sum);
                } else {
                    out.iter_mut().for_each(|o| *o /= sum);
                }
            }
        });
        Ok(())
    }
}
