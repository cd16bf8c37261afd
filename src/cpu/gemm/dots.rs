//! Dot products, for products with few columns.
#![allow(clippy::needless_range_loop)] // an iterator that is not inlined costs more than the loop

use super::multiply::{FEW, Factor, NARROW};
use crate::cpu::lib::shared::Shared;
use crate::kernels::Gemm;
use pulp::Simd;

/// Rows of A and of B whose dot products are computed together: what is read serves four times.
pub(super) const SIDE: usize = 4;
/// Terms from which on this wins: the lanes of a vector are added up at the end.
const FEWEST_TERMS: usize = 64;

/// Whether the product is computed so, for which B would be packed for few rows: on one core 28 us for 42 at 32 x 64 x 784, and 5.7 for 20 at
/// 8 x 64 x 784; at 64 rows both take 51, and where C is narrow the crate's dot products are as good.
pub(super) fn serve(k: &Gemm) -> bool {
    k.spec.tb && !k.spec.ta && (SIDE..=FEW).contains(&k.m) && k.n > NARROW && k.k >= FEWEST_TERMS
}

/// `C = A B^T`, both factors by rows that lie in memory as they are: dot products in vectors along the rows, and nothing packed.
pub(super) struct Dots<'a> {
    pub a: Factor<'a>,
    /// Its rows are the columns of the factor.
    pub b: Factor<'a>,
    /// Rows of A and of B, [`SIDE`] at least, and terms.
    pub size: [usize; 3],
    pub c: &'a Shared<'a>,
    /// Where C begins, and the step along its rows.
    pub first: usize,
    pub pitch: usize,
}

// loops and no closures in all of this: what the compiler leaves uninlined keeps narrow vectors
impl pulp::WithSimd for Dots<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Dots { a, b, size: [m, n, k], c, first, pitch } = self;
        for j in (0..n).step_by(SIDE) {
            // the last four overlap those before: computed twice, to the same bits
            let j = j.min(n - SIDE);
            let ys = four((b.0, b.2), j, k);
            for i in (0..m).step_by(SIDE) {
                let i = i.min(m - SIDE);
                let sums = products(simd, four((a.0, a.1), i, k), ys);
                for (p, row) in sums.iter().enumerate() {
                    let at = first + (i + p) * pitch + j;
                    // SAFETY: these elements are this block's, and the block is this thread's
                    unsafe { c.part(at..at + SIDE) }.copy_from_slice(row);
                }
            }
        }
    }
}

#[inline(always)]
fn four((x, step): (&[f32], isize), first: usize, k: usize) -> [&[f32]; SIDE] {
    let mut all = [x; SIDE];
    for (i, row) in all.iter_mut().enumerate() {
        *row = &x[(first + i) * step as usize..][..k];
    }
    all
}

/// Every row of the first with every row of the second.
#[inline(always)]
fn products<S: Simd>(simd: S, x: [&[f32]; SIDE], y: [&[f32]; SIDE]) -> [[f32; SIDE]; SIDE] {
    let zero = simd.splat_f32s(0.0);
    let (mut sums, mut a, mut b) = ([[zero; SIDE]; SIDE], [zero; SIDE], [zero; SIDE]);
    let whole = x[0].len() / S::F32_LANES;
    let (mut xs, mut ys) = ([S::as_simd_f32s(x[0]).0; SIDE], [S::as_simd_f32s(x[0]).0; SIDE]);
    for i in 0..SIDE {
        xs[i] = &S::as_simd_f32s(x[i]).0[..whole];
        ys[i] = &S::as_simd_f32s(y[i]).0[..whole];
    }
    for v in 0..whole {
        for i in 0..SIDE {
            a[i] = xs[i][v];
            b[i] = ys[i][v];
        }
        add(simd, &mut sums, a, b);
    }
    let rest = whole * S::F32_LANES;
    if x[0].len() > rest {
        for i in 0..SIDE {
            a[i] = simd.partial_load_f32s(&x[i][rest..]);
            b[i] = simd.partial_load_f32s(&y[i][rest..]);
        }
        add(simd, &mut sums, a, b);
    }
    let mut out = [[0.0; SIDE]; SIDE];
    for (out, sums) in out.iter_mut().zip(sums) {
        for (o, s) in out.iter_mut().zip(sums) {
            *o = simd.reduce_sum_f32s(s);
        }
    }
    out
}

#[inline(always)]
fn add<S: Simd>(simd: S, sums: &mut [[S::f32s; SIDE]; SIDE], x: [S::f32s; SIDE], y: [S::f32s; SIDE]) {
    for i in 0..SIDE {
        for j in 0..SIDE {
            sums[i][j] = simd.mul_add_e_f32s(x[i], y[j], sums[i][j]);
        }
    }
}
