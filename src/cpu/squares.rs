//! The twin of `shaders/squares.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, total, wide};
use crate::error::Result;
use crate::expr::CHUNK;
use crate::kernels::words::STATE_LOSS_SCALE;
use crate::kernels::{Squares, inverse};
use std::ops::Range;

impl Twin for Squares {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let (state, reads) = reads.split_at(usize::from(self.scaled));
        let [gradients, loss @ ..] = reads else { return Ok(()) };
        let unscale = state.first().map_or(1.0, |s| inverse(s[STATE_LOSS_SCALE]));
        let bad = |(at, from): (usize, &&[u32])| !f32s(from)[at].is_finite();
        let (g, good) = (f32s(gradients), !self.loss.zip(loss.first()).is_some_and(bad));
        let each = self.size.div_ceil(self.partials().max(1)).next_multiple_of(CHUNK);
        let used = self.size.div_ceil(each);
        let mut widths = [0; WRITES];
        widths[0] = 1;
        f32s_mut(writes[0])[used..].fill(0.0);
        let mut workers = vec![(); parts(0.1 * self.size as f64, threads)];
        fork(&mut workers, 0..used, 1, widths, writes, &|_: &mut (), units: Range<usize>, w: Writes<'_>| {
            for (out, unit) in f32s_mut(w[0]).iter_mut().zip(units) {
                let sum = squares_of(&g[unit * each..self.size.min((unit + 1) * each)], unscale);
                *out = if good { sum } else { f32::INFINITY };
            }
        });
        Ok(())
    }
}

pub(super) fn squares(x: &[f32]) -> f32 {
    squares_of(x, 1.0)
}

/// The squares of these times a factor.
fn squares_of(x: &[f32], factor: f32) -> f32 {
    wide(Sum(x, factor)) as f32
}

struct Sum<'a>(&'a [f32], f32);

impl pulp::NullaryFnOnce for Sum<'_> {
    type Output = f64;
    #[inline(always)]
    fn call(self) -> f64 {
        total(self.0, |v| (v * self.1) * (v * self.1))
    }
}
