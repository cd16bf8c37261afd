//! The twin of `shaders/take.wgsl`.

use super::lib::fork::{WRITES, Writes, fork, parts};
use crate::kernels::Take;
use std::ops::Range;

/// Nanoseconds of an element that is copied.
const ELEMENT: f64 = 0.3;

pub(super) fn spans(k: &Take) -> Vec<Range<usize>> {
    let lengths = [k.rows * k.width, k.count, k.count * k.width];
    k.offsets.iter().zip(lengths).map(|(&o, n)| o..o + n).collect()
}

/// The twin of `shaders/take.wgsl`.
pub(super) fn run(k: &Take, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let table = &reads[0][k.offsets[0]..];
    let indices = &reads[1][k.offsets[1]..];
    let mut workers = vec![(); parts((ELEMENT * k.width as f64 + 3.0) * k.count as f64, threads)];
    fork(&mut workers, 0..k.count, 1, [k.width; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        for (i, out) in part.zip(w[0].chunks_exact_mut(k.width.max(1))) {
            match indices[i] as usize {
                row if row < k.rows => out.copy_from_slice(&table[row * k.width..][..k.width]),
                _ => out.fill(f32::NAN.to_bits()),
            }
        }
    });
}
