//! The twin of `shaders/accuracy.wgsl`.

use super::lib::exponentials::first_largest;
use super::lib::fork::{Writes, f32s, f32s_mut};
use super::lib::labels::Targets;
use crate::kernels::Accuracy;
use std::ops::Range;

pub(super) fn spans(k: &Accuracy) -> Vec<Range<usize>> {
    let lengths = [k.scores(), Targets::words(k.labels, k.rows, k.classes), k.rows];
    k.offsets.iter().zip(lengths).map(|(&o, n)| o..o + n).collect()
}

/// The twin of `shaders/accuracy.wgsl`.
pub(super) fn run(k: &Accuracy, reads: &[&[u32]], writes: Writes<'_>) {
    let n = k.classes;
    let x = &f32s(reads[0])[k.offsets[0]..];
    let y = Targets { kind: k.labels, words: &reads[1][k.offsets[1]..], classes: n, smoothing: 0.0 };
    for (row, hit) in f32s_mut(writes[0]).iter_mut().enumerate() {
        let best = if k.known { x[row].to_bits() as usize } else { first_largest(&x[row * n..][..n]) };
        *hit = f32::from(u8::from(best == y.class(row)));
    }
}
