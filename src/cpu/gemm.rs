use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, total, wide};
use super::map::copy_run;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Gemm, Matrix, Plane};
use gemm_common::Parallelism;
use gemm_common::cache::CACHE_INFO;
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
pub(super) fn run(k: &Gemm, threads: usize, workers: &mut [Evaluator], reads: &[&[u32]], writes: Writes<'_>) {
    let (a, b) = (f32s(reads[0]), f32s(reads[1]));
    if k.spec.row_sum {
        let out = f32s_mut(writes[k.outputs.len()]);
        wide(RowSums { k, a, out });
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

/// A factor of a product: its elements and the steps along its rows and columns.
type Factor<'a> = (&'a [f32], isize, isize);

/// Rows of C up to which B is not worth packing.
const FEW: usize = 32;

/// `C = A B`, row-major.
///
/// The crate's kernels like columns, so they are given `C^T = B^T A^T`; but few rows against a B that lies transposed as they are, since
/// then A is packed and not B. Their threads share out whole tiles and never a sum: any number gives the same bits (a test holds them to it).
fn product(k: &Gemm, threads: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    let (m, n, depth) = (k.m, k.n, k.k);
    if m * n == 0 {
        return;
    }
    if depth == 0 {
        return c.fill(0.0);
    }
    let a = factor(a, m, depth, k.a.pitch, k.spec.ta);
    let b = factor(b, depth, n, k.b.pitch, k.spec.tb);
    // where the processor hides the size of this cache (some virtual machines) the crate would never return
    if CACHE_INFO[1].cache_bytes == 0 {
        plainly([n, depth], a, b, c);
    } else if k.spec.tb && m <= FEW && m < n {
        multiply([m, n, depth], a, b, (c, n, 1), threads);
    } else {
        let turned = |(x, row, column)| (x, column, row);
        multiply([n, m, depth], turned(b), turned(a), (c, 1, n), threads);
    }
}

/// The elements that a matrix of this many rows and columns reads, none of them 0; slicing checks the bounds.
fn factor(x: &[f32], rows: usize, columns: usize, pitch: usize, transposed: bool) -> Factor<'_> {
    let (major, minor) = if transposed { (columns, rows) } else { (rows, columns) };
    let x = &x[..(major - 1) * pitch + minor];
    if transposed { (x, 1, pitch as isize) } else { (x, pitch as isize, 1) }
}

/// `C = A B` for any strides; `c` with the steps along its rows and columns, one of which is 1.
fn multiply([m, n, k]: [usize; 3], a: Factor<'_>, b: Factor<'_>, (c, row, column): (&mut [f32], usize, usize), threads: usize) {
    let reach = |x: Factor<'_>, rows: usize, columns: usize| (rows - 1) * x.1 as usize + (columns - 1) * x.2 as usize + 1;
    assert!(reach(a, m, k) <= a.0.len() && reach(b, k, n) <= b.0.len() && (m - 1) * row + (n - 1) * column < c.len());
    let threads = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: the function reads A at i * a.1 + p * a.2 and B at p * b.1 + j * b.2, and writes C at i * row + j * column, for i < m, j < n,
    // p < k. None of the three is 0, no step is negative, and the largest of each index was just checked. C is borrowed
    // mutably, so that it overlaps neither factor. `read_dst` is false: C need hold nothing.
    unsafe {
        gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            column as isize,
            row as isize,
            false,
            a.0.as_ptr(),
            a.2,
            a.1,
            b.0.as_ptr(),
            b.2,
            b.1,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// `C = A B` in plain loops over rows of `n`.
fn plainly([n, k]: [usize; 2], a: Factor<'_>, b: Factor<'_>, c: &mut [f32]) {
    let steps = |x: Factor<'_>| (x.1 as usize, x.2 as usize);
    let ((a_row, a_column), (b_row, b_column)) = (steps(a), steps(b));
    for (i, row) in c.chunks_exact_mut(n).enumerate() {
        row.fill(0.0);
        for p in 0..k {
            let x = a.0[i * a_row + p * a_column];
            row.iter_mut().zip(b.0[p * b_row..].iter().step_by(b_column)).for_each(|(c, y)| *c += x * y);
        }
    }
}

/// The sum of A over k, in index order, in f64.
struct RowSums<'a> {
    k: &'a Gemm,
    a: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for RowSums<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let RowSums { k, a, out } = self;
        let a = &a[k.a.offset..];
        if !k.spec.ta {
            return out.iter_mut().enumerate().for_each(|(i, o)| *o = total(&a[i * k.a.pitch..][..k.k], |v| v) as f32);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tests::harness::draw;
    use crate::expr::Expr;
    use crate::kernels::{GemmSpec, Tile};

    /// Every layout: the crate on 1, 2, 3 and 5 threads to the bit, the plain loops within rounding.
    #[test]
    fn products_ignore_threads() {
        for [m, n, k] in [
            [32, 64, 784],
            [64, 784, 32],
            [128, 512, 784],
            [512, 784, 128],
            [33, 70, 801],
            [300, 301, 1500],
            [1, 2000, 900],
            [2000, 1, 900],
        ] {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let spec = GemmSpec {
                    ta,
                    tb,
                    va: false,
                    vb: false,
                    tile: Tile::Direct { vectors: 1 },
                    epilogue: Expr::identity(),
                    row_sum: true,
                    via: vec![0, 1],
                };
                let matrix = |pitch| Matrix { offset: 0, pitch, batch: 0 };
                let (a, b) = (matrix(if ta { m } else { k }), matrix(if tb { k } else { n }));
                let gemm = Gemm { spec, m, n, k, batch: 1, a, b, extras: vec![], outputs: vec![0], row_sum: 0 };
                let (x, y) = (draw("x", m * k), draw("y", k * n));
                let results = [1, 2, 3, 5].map(|threads| {
                    let mut c = vec![f32::NAN; m * n];
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| product(&gemm, threads, &x, &y, &mut c));
                    c
                });
                assert!(
                    results.iter().all(|r| r.iter().zip(&results[0]).all(|(p, q)| p.to_bits() == q.to_bits())),
                    "{m}x{n}x{k} {ta} {tb}"
                );
                let (a, b) = (factor(&x, m, k, a.pitch, ta), factor(&y, k, n, b.pitch, tb));
                let mut plain = vec![f32::NAN; m * n];
                plainly([n, k], a, b, &mut plain);
                assert!(results[0].iter().zip(&plain).all(|(p, q)| (p - q).abs() < 1e-4), "{m}x{n}x{k} {ta} {tb}");
                let mut sums = vec![f32::NAN; m];
                wide(RowSums { k: &gemm, a: &x, out: &mut sums });
                for (i, s) in sums.iter().enumerate() {
                    let want: f64 = (0..k).map(|p| f64::from(x[i * a.1 as usize + p * a.2 as usize])).sum();
                    assert!((f64::from(*s) - want).abs() < 1e-5, "{m}x{k} {ta}");
                }
            }
        }
    }
}
