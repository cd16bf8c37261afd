//! The twin of `shaders/scatter_add.wgsl`.

use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::kernels::{FIRST, LAST, ScatterAdd};
use std::ops::Range;

/// Nanoseconds of an element that is added.
const ELEMENT: f64 = 0.3;

pub(super) fn spans(k: &ScatterAdd) -> Vec<Range<usize>> {
    let [values, indices, out] = k.offsets;
    vec![values..values + k.count * k.width, indices..indices + k.count, 0..k.count, out..out + k.rows * k.width]
}

/// The twin of `shaders/scatter_add.wgsl`: a part of the table's rows for each thread, every row's values in index order.
pub(super) fn run(k: &ScatterAdd, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let values = &f32s(reads[0])[k.offsets[0]..];
    let (indices, links) = (&reads[1][k.offsets[1]..][..k.count], reads[2]);
    let mut workers = vec![(); parts(ELEMENT * (k.count * k.width) as f64, threads)];
    fork(&mut workers, 0..k.rows, 1, [k.width; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        let [out, ..] = w;
        let out = f32s_mut(out);
        for (first, &row) in indices.iter().enumerate() {
            let row = row as usize;
            if links[first] & FIRST == 0 || !part.contains(&row) {
                continue;
            }
            let sum = &mut out[(row - part.start) * k.width..][..k.width];
            sum.copy_from_slice(&values[first * k.width..][..k.width]);
            let mut next = links[first] & LAST;
            while let Some(link) = links.get(next as usize) {
                sum.iter_mut().zip(&values[next as usize * k.width..]).for_each(|(s, v)| *s += v);
                next = link & LAST;
            }
        }
    });
}
