//! Sums of A's rows on the way of a product: a bias' gradient.

use crate::cpu::lib::fork::{WRITES, Writes, f32s_mut, fork, parts, total, wide};
use crate::expr::CHUNK;
use crate::kernels::Gemm;
use std::ops::Range;

/// Nanoseconds of one term of a row sum.
const SUMMED: f64 = 0.25;

pub(super) fn row_sums(k: &Gemm, threads: usize, a: &[f32], out: &mut [u32]) {
    let all = out.chunks_exact_mut(k.m.max(1)).enumerate();
    all.for_each(|(i, out)| row_sums_of(k, threads, &a[k.along_batch(k.a.batch, i)..], out));
}

/// Of one matrix of the batch.
fn row_sums_of(k: &Gemm, threads: usize, a: &[f32], out: &mut [u32]) {
    let mut idle = vec![(); parts(SUMMED * (k.m * k.k) as f64, threads)];
    let mut writes = Writes::default();
    writes[0] = out;
    fork(&mut idle, 0..k.m, CHUNK, [1; WRITES], writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        wide(RowSums { k, a, first: rows.start, out: f32s_mut(w[0]) });
    });
}

/// The sums of A's rows over k from row `first` on, in index order, in f64.
struct RowSums<'a> {
    k: &'a Gemm,
    a: &'a [f32],
    first: usize,
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for RowSums<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let RowSums { k, a, first, out } = self;
        let a = &a[k.a.offset..];
        if !k.spec.ta {
            return out.iter_mut().enumerate().for_each(|(i, o)| *o = total(&a[(first + i) * k.a.pitch..][..k.k], |v| v) as f32);
        }
        for (i, out) in out.chunks_mut(CHUNK).enumerate() {
            let mut sums = [0.0f64; CHUNK];
            for p in 0..k.k {
                let row = &a[p * k.a.pitch + first + i * CHUNK..][..out.len()];
                sums.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
            }
            out.iter_mut().zip(&sums).for_each(|(o, &s)| *o = s as f32);
        }
    }
}
