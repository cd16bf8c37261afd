//! The twin of `shaders/scatter_add.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::error::Result;
use crate::kernels::{FIRST, LAST, ScatterAdd};
use std::ops::Range;

/// Nanoseconds of an element that is added.
const ELEMENT: f64 = 0.3;

impl Twin for ScatterAdd {
    ///a part of the table's rows for each thread, every row's values in index order.
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let values = &f32s(reads[0])[self.offsets[0]..];
        let (indices, links) = (&reads[1][self.offsets[1]..][..self.count], reads[2]);
        let mut workers = vec![(); parts(ELEMENT * (self.count * self.width) as f64, threads)];
        let grain = self.rows.div_ceil(workers.len());
        fork(&mut workers, 0..self.rows, grain, [self.width; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
            let [out, ..] = w;
            let out = f32s_mut(out);
            for (first, &row) in indices.iter().enumerate() {
                let row = row as usize;
                if links[first] & FIRST == 0 || !part.contains(&row) {
                    continue;
                }
                let sum = &mut out[(row - part.start) * self.width..][..self.width];
                sum.copy_from_slice(&values[first * self.width..][..self.width]);
                let mut next = links[first] & LAST;
                while let Some(link) = links.get(next as usize) {
                    sum.iter_mut().zip(&values[next as usize * self.width..]).for_each(|(s, v)| *s += v);
                    next = link & LAST;
                }
            }
        });
        Ok(())
    }
}
