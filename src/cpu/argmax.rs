//! The twin of `shaders/argmax.wgsl`.

use super::lib::fork::{WRITES, Writes, f32s, fork, parts};
use crate::kernels::ArgMax;
use std::ops::Range;

pub(super) fn spans(k: &ArgMax) -> Vec<Range<usize>> {
    let all = k.outer * k.length * k.inner;
    let candidates = (k.candidates > 0).then_some(0..k.outer * k.candidates * k.inner);
    let (from, to) = (k.offsets[0]..k.offsets[0] + all, k.offsets[1]..k.offsets[1] + k.items());
    std::iter::once(from).chain(candidates).chain([to]).collect()
}

/// The twin of `shaders/argmax.wgsl`.
pub(super) fn run(k: &ArgMax, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let x = &f32s(reads[0])[k.offsets[0]..];
    let all = if k.candidates > 0 { k.candidates } else { k.length };
    let mut workers = vec![(); parts((k.items() * k.piece()) as f64, threads)];
    fork(&mut workers, 0..k.items(), 16, [1; WRITES], writes, &|_: &mut (), items: Range<usize>, w: Writes<'_>| {
        for (item, out) in items.zip(w[0].iter_mut()) {
            let (i, o, start) = (item % k.inner, item / k.inner / k.pieces, item / k.inner % k.pieces * k.piece());
            let place = |c: usize| if k.candidates > 0 { reads[1][(o * all + c) * k.inner + i] as usize } else { c };
            let at = |c: usize| x[(o * k.length + c) * k.inner + i];
            let above = |v: f32, top: f32| v > top || (k.nan && v.is_nan() && !top.is_nan());
            let rest = (start + 1..all.min(start + k.piece())).map(place);
            *out = rest.fold(place(start.min(all - 1)), |best, c| if above(at(c), at(best)) { c } else { best }) as u32;
        }
    });
}
