//! The twin of `shaders/softmax.wgsl`.

use super::lib::exponentials::{Row, VALUE, exponentials};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::kernels::Softmax;
use std::ops::Range;

pub(super) fn spans(k: &Softmax) -> Vec<Range<usize>> {
    k.offsets.map(|o| o..o + k.rows * k.width).into()
}

/// The twin of `shaders/softmax.wgsl`.
pub(super) fn run(k: &Softmax, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let x = &f32s(reads[0])[k.offsets[0]..];
    let mut workers = vec![(); parts(VALUE * (k.rows * k.width) as f64, threads)];
    let widths = [k.width; WRITES];
    fork(&mut workers, 0..k.rows, 16, widths, writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        let out = f32s_mut(w[0]).chunks_exact_mut(k.width.max(1));
        for (row, out) in rows.zip(out) {
            let x = &x[row * k.width..][..k.width];
            let Row { top, sum, .. } = exponentials(x, Some(&mut *out));
            if k.log {
                let log_sum = sum.ln();
                out.iter_mut().zip(x).for_each(|(o, &v)| *o = (v - top) - log_sum);
            } else {
                out.iter_mut().for_each(|o| *o /= sum);
            }
        }
    });
}
