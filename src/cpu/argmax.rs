//! The twin of `shaders/argmax.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, fork, parts, wide};
use super::lib::largest::first_highest;
use crate::error::Result;
use crate::kernels::ArgMax;
use std::ops::Range;

impl Twin for ArgMax {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let x = &f32s(reads[0])[self.offsets[0]..];
        let all = if self.candidates > 0 { self.candidates } else { self.length };
        let mut workers = vec![(); parts((self.items() * self.piece()) as f64, threads)];
        fork(&mut workers, 0..self.items(), 16, [1; WRITES], writes, &|_: &mut (), items: Range<usize>, w: Writes<'_>| {
            for (item, out) in items.zip(w[0].iter_mut()) {
                let (i, o) = (item % self.inner, item / self.inner / self.pieces);
                // a piece past the end has the last once more
                let start = (item / self.inner % self.pieces * self.piece()).min(all - 1);
                let places = start..all.min(start + self.piece());
                if self.inner == 1 && self.candidates == 0 {
                    let row = &x[o * self.length..][places];
                    *out = (start + wide(Highest(row))) as u32;
                    continue;
                }
                let place = |c: usize| if self.candidates > 0 { reads[1][(o * all + c) * self.inner + i] as usize } else { c };
                let at = |c: usize| x[(o * self.length + c) * self.inner + i];
                let above = |v: f32, top: f32| v > top || (v.is_nan() && !top.is_nan());
                *out = places.map(place).reduce(|best, c| if above(at(c), at(best)) { c } else { best }).unwrap_or(0) as u32;
            }
        });
        Ok(())
    }
}

/// Neighbouring values.
struct Highest<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for Highest<'_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        first_highest(self.0)
    }
}
