//! The twin of `shaders/squares.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, total, wide};
use super::lib::total::Total;
use crate::error::Result;
use crate::expr::CHUNK;
use crate::kernels::words::STATE_LOSS_SCALE;
use crate::kernels::{Shard, Squares, inverse};
use std::ops::Range;

/// Nanoseconds of a square. Half of it is that of one that another core has made: the threads that made the gradients had better read them.
const SQUARE: f64 = 0.25;

impl Twin for Squares {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let (state, reads) = reads.split_at(usize::from(self.scaled));
        let [gradients, rest @ ..] = reads else { return Ok(()) };
        let (loss, before) = rest.split_at(usize::from(self.loss.is_some()));
        let unscale = state.first().map_or(1.0, |s| inverse(s[STATE_LOSS_SCALE]));
        let bad = |(at, from): (usize, &&[u32])| !f32s(from)[at].is_finite();
        let (g, good) = (f32s(gradients), !self.loss.zip(loss.first()).is_some_and(bad));
        if let Some(shard) = self.shard {
            let [out, ..] = writes;
            shard_of(self, shard, g, unscale, good, before.first().copied(), out);
            return Ok(());
        }
        let each = self.size.div_ceil(self.partials().max(1)).next_multiple_of(CHUNK);
        let used = self.size.div_ceil(each);
        let mut widths = [0; WRITES];
        widths[0] = 1;
        f32s_mut(writes[0])[used..].fill(0.0);
        let mut workers = vec![(); parts(SQUARE * self.size as f64, threads)];
        fork(&mut workers, 0..used, 1, widths, writes, &|_: &mut (), units: Range<usize>, w: Writes<'_>| {
            for (out, unit) in f32s_mut(w[0]).iter_mut().zip(units) {
                let sum = squares_of(&g[unit * each..self.size.min((unit + 1) * each)], unscale);
                *out = if good { sum } else { f32::INFINITY };
            }
        });
        Ok(())
    }
}

/// The squares of a shard: parts of the arena that it has whole are summed, one that goes on in the next shard is handed on. Behind what is
/// handed on stand the sums that are done. A CPU binds whatever there is, so that only tests come here, and one thread is enough.
fn shard_of(k: &Squares, shard: Shard, g: &[f32], unscale: f32, good: bool, before: Option<&[u32]>, out: &mut [u32]) {
    let each = shard.whole.div_ceil(k.partials().max(1)).next_multiple_of(CHUNK);
    let mut kept = match before {
        Some(before) => before.to_vec(),
        None if k.is_first() => vec![0; k.underway()],
        None => out.to_vec(),
    };
    let (mut at, end) = (shard.first, shard.first + k.size);
    while at < end {
        let (unit, stop) = (at / each, end.min((at / each + 1) * each));
        let mut sum = if at.is_multiple_of(each) { Total::new() } else { Total::from_words(&kept, at % each) };
        wide(Add(&mut sum, &g[at - shard.first..stop - shard.first], unscale));
        if stop == shard.whole || stop.is_multiple_of(each) {
            kept[Total::WORDS + unit] = (sum.finish() as f32).to_bits();
        } else {
            kept.iter_mut().zip(sum.words()).for_each(|(k, w)| *k = w);
        }
        at = stop;
    }
    if !k.is_last() {
        return out.copy_from_slice(&kept);
    }
    let sums = kept[Total::WORDS..].iter().take(shard.whole.div_ceil(each));
    out.fill(0);
    out.iter_mut().zip(sums).for_each(|(o, s)| *o = if good { *s } else { f32::INFINITY.to_bits() });
}

struct Add<'a>(&'a mut Total, &'a [f32], f32);

impl pulp::NullaryFnOnce for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        self.0.add(self.1, |v| (v * self.2) * (v * self.2));
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
