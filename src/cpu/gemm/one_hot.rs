//! A product with one-hot rows: the rows of B are added up where the numbers of A say.

use crate::cpu::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::kernels::Gemm;
use std::ops::Range;

/// Nanoseconds of an element that is added.
const ELEMENT: f64 = 0.3;

/// `C[i] = the sum of B[p] over the terms p whose number is i`, in their order, and of no others.
pub(super) fn run(k: &Gemm, threads: usize, numbers: &[u32], b: &[u32], out: &mut [u32]) {
    let (numbers, b) = (&numbers[k.a.offset..], &f32s(b)[k.b.offset..]);
    let mut workers = vec![(); parts(ELEMENT * (k.k * k.n) as f64, threads)];
    let mut writes = Writes::default();
    writes[0] = out;
    // a part of the rows for each thread, which looks at all terms
    let grain = k.m.div_ceil(workers.len());
    fork(&mut workers, 0..k.m, grain, [k.n; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        let [out, ..] = w;
        let out = f32s_mut(out);
        out.fill(0.0);
        for p in 0..k.k {
            let row = numbers[p * k.a.pitch] as usize;
            if part.contains(&row) && Some(row) != k.nothing {
                let sum = &mut out[(row - part.start) * k.n..][..k.n];
                sum.iter_mut().zip(&b[p * k.b.pitch..][..k.n]).for_each(|(s, v)| *s += v);
            }
        }
    });
}
