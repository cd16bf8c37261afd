use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, total};
use super::map::copy_run;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Gemm, Matrix, Plane};
use gemm_common::Parallelism;
use std::ops::Range;

/// Nanoseconds of one multiply-add.
const TERM: f64 = 0.02;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Gemm) -> Vec<Range<usize>> {
    let (batch, m, n) = (k.batch, k.m, k.n);
    let empty = batch * m * n == 0;
    let stored = |x: &Matrix, rows: usize, columns: usize| {
        let last = if batch * rows * columns == 0 { 0 } else { (batch - 1) * x.batch + (rows - 1) * x.pitch + columns };
        x.offset..x.offset + last
    };
    let (am, an) = if k.spec.ta { (k.k, m) } else { (m, k.k) };
    let (bm, bn) = if k.spec.tb { (n, k.k) } else { (k.k, n) };
    let plane = |p: &Plane| p.offset..p.offset + if empty { 0 } else { (batch - 1) * p.batch + (m - 1) * p.row + (n - 1) * p.column + 1 };
    let mut all = vec![stored(&k.a, am, an), stored(&k.b, bm, bn)];
    all.extend(k.extras.iter().map(plane));
    all.extend(k.outputs.iter().map(|&o| o..o + batch * m * n));
    all.extend(k.spec.row_sum.then(|| k.row_sum..k.row_sum + m));
    all
}

/// Whether the product is stored as it is.
pub(super) fn plain(k: &Gemm) -> bool {
    k.spec.epilogue.is_identity()
}

/// The twin of `shaders/gemm_direct.wgsl` and `shaders/gemm_tile.wgsl`.
pub(super) fn run(k: &Gemm, threads: usize, workers: &mut [Evaluator], reads: &[&[u32]], mut writes: Writes<'_>) {
    let (a, b) = (f32s(reads[0]), f32s(reads[1]));
    if k.spec.row_sum {
        pulp::Arch::new().dispatch(|| row_sums(k, a, f32s_mut(writes[k.outputs.len()])));
    }
    // the product goes where the first output goes, and the epilogue works in place
    products(k, threads, a, b, f32s_mut(writes[0]));
    if !plain(k) {
        let (extras, all) = (&reads[2..], 0..k.batch * k.m * k.n);
        fork(workers, all, CHUNK, [1; WRITES], writes, &|e: &mut Evaluator, units, w| epilogue(k, e, extras, units, w));
    }
}

fn products(k: &Gemm, threads: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    let each = TERM * (k.m * k.n * k.k) as f64;
    let within = parts(each, threads);
    let mut workers = vec![(); if within > 1 { 1 } else { parts(each * k.batch as f64, threads) }];
    let mut writes = Writes::default();
    let size = k.m * k.n;
    writes[0] = bytemuck::cast_slice_mut(c);
    fork(&mut workers, 0..k.batch, 1, [size; WRITES], writes, &|_: &mut (), batch: Range<usize>, w: Writes<'_>| {
        for (i, c) in batch.zip(f32s_mut(w[0]).chunks_exact_mut(size.max(1))) {
            product(k, within, &a[k.a.offset + i * k.a.batch..], &b[k.b.offset + i * k.b.batch..], c);
        }
    });
}

/// `C = A B`, row-major.
///
/// The crate's kernels want columns, so they are given `C^T = B^T A^T`. Its threads share out whole tiles and never a sum: any number of them
/// gives the same bits (a test holds it to that).
fn product(k: &Gemm, threads: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    let (m, n, depth) = (k.m, k.n, k.k);
    if m * n == 0 {
        return;
    }
    if depth == 0 {
        return c.fill(0.0);
    }
    // stored rows times pitch, the last without its gap; slicing checks the bounds
    let extent = |rows: usize, pitch: usize, columns: usize| (rows - 1) * pitch + columns;
    let a = &a[..if k.spec.ta { extent(depth, k.a.pitch, m) } else { extent(m, k.a.pitch, depth) }];
    let b = &b[..if k.spec.tb { extent(n, k.b.pitch, depth) } else { extent(depth, k.b.pitch, n) }];
    let c = &mut c[..m * n];
    let strides = |transposed: bool, pitch: usize| if transposed { (1, pitch as isize) } else { (pitch as isize, 1) };
    let ((a_row, a_column), (b_row, b_column)) = (strides(k.spec.ta, k.a.pitch), strides(k.spec.tb, k.b.pitch));
    let threads = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: the function reads `lhs[i * rs + p * cs]` for i < n, p < k, reads `rhs` for p < k, j < m, and writes `dst` for i < n, j < m, the
    // strides being those passed. The largest index of each is its slice's length less one, as cut above; c is borrowed
    // mutably, so it overlaps neither operand. `read_dst` is false: c need hold nothing.
    unsafe {
        gemm(
            n,
            m,
            depth,
            c.as_mut_ptr(),
            n as isize,
            1,
            false,
            b.as_ptr(),
            b_row,
            b_column,
            a.as_ptr(),
            a_row,
            a_column,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// The sum of A over k, in index order, in f64.
#[inline(always)]
fn row_sums(k: &Gemm, a: &[f32], out: &mut [f32]) {
    let a = &a[k.a.offset..];
    if !k.spec.ta {
        out.iter_mut().enumerate().for_each(|(i, o)| *o = total(&a[i * k.a.pitch..][..k.k], |v| v) as f32);
        return;
    }
    for (i, out) in out.chunks_mut(CHUNK).enumerate() {
        let mut sums = [0.0f64; CHUNK];
        for p in 0..k.k {
            let row = &a[p * k.a.pitch + i * CHUNK..][..out.len()];
            sums.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
        }
        out.iter_mut().zip(&sums).for_each(|(o, &s)| *o = s as f32);
    }
}

/// The formula over the product that stands in the first output.
fn epilogue(k: &Gemm, e: &mut Evaluator, extras: &[&[u32]], units: Range<usize>, mut w: Writes<'_>) {
    for first in units.clone().step_by(CHUNK) {
        let len = CHUNK.min(units.end - first);
        let here = first - units.start..first - units.start + len;
        let product = &f32s(w[0])[here.clone()];
        e.chunk(|i, row| match i {
            0 => row[..len].copy_from_slice(product),
            _ => plane(k, &k.extras[i - 1], f32s(extras[i - 1]), first, &mut row[..len]),
        });
        for (o, out) in w.iter_mut().enumerate().take(k.outputs.len()) {
            f32s_mut(out)[here.clone()].copy_from_slice(&e.output(o)[..len]);
        }
    }
}

/// An operand of the epilogue at elements `first..` of the output, row by row.
fn plane(k: &Gemm, p: &Plane, from: &[f32], first: usize, out: &mut [f32]) {
    if p.column == 1 && p.row == k.n && (k.batch == 1 || p.batch == k.m * k.n) {
        return copy_run(out, from, p.offset + first, 1);
    }
    let mut done = 0;
    while done < out.len() {
        let (row, column) = ((first + done) / k.n, (first + done) % k.n);
        let run = (k.n - column).min(out.len() - done);
        let at = p.offset + row / k.m * p.batch + row % k.m * p.row + column * p.column;
        copy_run(&mut out[done..done + run], from, at, p.column);
        done += run;
    }
}
