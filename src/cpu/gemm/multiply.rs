//! One product of factors with any strides, by the crate's kernels: what all that computes products shares.

use crate::cpu::lib::shared::Shared;
use gemm_common::Parallelism;

/// A factor of a product: its elements and the steps along its rows and columns.
pub(super) type Factor<'a> = (&'a [f32], isize, isize);

/// Rows of C up to which B is not worth packing.
pub(super) const FEW: usize = 32;
/// Columns of C up to which the crate's dot products win over packing.
pub(super) const NARROW: usize = 16;

/// The elements that a matrix of this many rows and columns reads, none of them 0; slicing checks the bounds.
pub(super) fn factor(x: &[f32], rows: usize, columns: usize, pitch: usize, transposed: bool) -> Factor<'_> {
    let (major, minor) = if transposed { (columns, rows) } else { (rows, columns) };
    let x = &x[..(major - 1) * pitch + minor];
    if transposed { (x, 1, pitch as isize) } else { (x, pitch as isize, 1) }
}

/// `C = A B` for any strides; `c` from this element on, with the steps along its rows and columns, one of which is 1.
pub(super) fn multiply(
    [m, n, k]: [usize; 3],
    a: Factor<'_>,
    b: Factor<'_>,
    (c, first, row, column): (&Shared<'_>, usize, usize, usize),
    threads: usize,
    add: bool,
) {
    let reach = |x: Factor<'_>, rows: usize, columns: usize| (rows - 1) * x.1 as usize + (columns - 1) * x.2 as usize + 1;
    assert!(reach(a, m, k) <= a.0.len() && reach(b, k, n) <= b.0.len() && first + (m - 1) * row + (n - 1) * column < c.len());
    let threads = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: the function reads A at i * a.1 + p * a.2 and B at p * b.1 + j * b.2, and writes C at i * row + j * column, for i < m, j < n,
    // p < k. None of the three is 0, no step is negative, and the largest of each index was just checked. C was
    // borrowed mutably, so that it overlaps neither factor, and its elements here are the caller's. `read_dst` is `add`: else C need hold nothing.
    unsafe {
        gemm(
            m,
            n,
            k,
            c.start().add(first),
            column as isize,
            row as isize,
            add,
            a.0.as_ptr(),
            a.2,
            a.1,
            b.0.as_ptr(),
            b.2,
            b.1,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// `C = A B` in plain loops over rows of `n`.
pub(super) fn plainly([n, k]: [usize; 2], a: Factor<'_>, b: Factor<'_>, c: &mut [f32], add: bool) {
    let steps = |x: Factor<'_>| (x.1 as usize, x.2 as usize);
    let ((a_row, a_column), (b_row, b_column)) = (steps(a), steps(b));
    for (i, row) in c.chunks_exact_mut(n).enumerate() {
        if !add {
            row.fill(0.0);
        }
        for p in 0..k {
            let x = a.0[i * a_row + p * a_column];
            row.iter_mut().zip(b.0[p * b_row..].iter().step_by(b_column)).for_each(|(c, y)| *c += x * y);
        }
    }
}
