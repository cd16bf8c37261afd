//! The twin of `shaders/cumsum.wgsl`.

use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::kernels::CumSum;
use std::ops::Range;

pub(super) fn spans(k: &CumSum) -> Vec<Range<usize>> {
    let [from, to] = k.offsets.map(|o| o..o + k.rows * k.width);
    std::iter::once(from).chain(k.started.then_some(0..k.rows * k.pieces)).chain([to]).collect()
}

/// The twin of `shaders/cumsum.wgsl`. The sum of a piece runs in f64.
pub(super) fn run(k: &CumSum, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let x = &f32s(reads[0])[k.offsets[0]..];
    let mut workers = vec![(); parts((k.rows * k.width) as f64, threads)];
    fork(&mut workers, 0..k.rows, 16, [k.width; WRITES], writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        for (row, out) in rows.zip(f32s_mut(w[0]).chunks_exact_mut(k.width.max(1))) {
            for piece in 0..k.pieces {
                let before = if k.reverse { (piece + 1 < k.pieces).then_some(piece + 1) } else { piece.checked_sub(1) };
                let start = |p: usize| f64::from(f32s(reads[1])[row * k.pieces + p]);
                let mut sum = before.filter(|_| k.started).map_or(0.0, start);
                let (begin, end) = (k.width.min(piece * k.piece()), k.width.min((piece + 1) * k.piece()));
                for i in begin..end {
                    let c = if k.reverse { begin + (end - 1 - i) } else { i };
                    sum += f64::from(x[row * k.width + c]);
                    out[c] = sum as f32;
                }
            }
        }
    });
}
