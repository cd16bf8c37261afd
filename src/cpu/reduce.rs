use super::fork::{WRITES, Writes, f32s_mut, fork, total};
use super::halves::Elements;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Reduce, Term};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Reduce) -> Vec<Range<usize>> {
    let outer = k.rows.checked_div(k.inner).unwrap_or(0);
    let empty = outer * k.inner * k.length == 0;
    let last = |t: &Term| (outer - 1) * t.outer + (k.length - 1) * t.along + (k.inner - 1) * t.inner;
    let inputs = k.inputs.iter().map(|t| t.offset..t.offset + if empty { 0 } else { last(t) + 1 });
    inputs.chain(std::iter::once(k.output..k.output + k.rows * k.pieces)).collect()
}

/// The twin of `shaders/reduce.wgsl`.
pub(super) fn run(k: &Reduce, workers: &mut [Evaluator], reads: &[&[u32]], writes: Writes<'_>) {
    let items = 0..k.rows * k.pieces;
    if k.length == 0 {
        return f32s_mut(&mut *writes.into_iter().next().unwrap_or_default()).fill(0.0);
    }
    if k.pieces == 1 && k.inner > 1 {
        fork(workers, items, 16, [1; WRITES], writes, &|e: &mut Evaluator, units, w| columns(k, e, reads, units, w))
    } else if k.pieces == 1 && k.length <= CHUNK / 2 {
        let grain = CHUNK / k.length;
        fork(workers, items, grain, [1; WRITES], writes, &|e: &mut Evaluator, units, w| short(k, grain, e, reads, units, w))
    } else {
        fork(workers, items, 1, [1; WRITES], writes, &|e: &mut Evaluator, units, w| long(k, e, reads, units, w))
    }
}

/// Where input `i` is read at (row, r).
fn at(k: &Reduce, t: &Term, row: usize, r: usize) -> usize {
    t.offset + row / k.inner * t.outer + r * t.along + row % k.inner * t.inner
}

/// The sum of some terms, or the largest.
#[inline(always)]
fn joined(k: &Reduce, x: &[f32]) -> f64 {
    if k.spec.max { x.iter().fold(f64::NEG_INFINITY, |m, &v| larger(m, v.into())) } else { total(x, |v| v) }
}

#[inline(always)]
fn join(k: &Reduce, a: f64, b: f64) -> f64 {
    if k.spec.max { larger(a, b) } else { a + b }
}

/// A NaN is larger than all.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b.is_nan() || b > a { b } else { a }
}

/// What they begin with.
fn start(k: &Reduce) -> f64 {
    if k.spec.max { f64::NEG_INFINITY } else { 0.0 }
}

/// One item after another, a chunk of terms at a time.
fn long(k: &Reduce, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, w: Writes<'_>) {
    for (item, out) in units.zip(f32s_mut(w[0])) {
        let (row, piece) = (item / k.pieces, item % k.pieces);
        let first = piece * k.piece();
        let last = (first + k.piece()).min(k.length);
        let mut sum = start(k);
        for r in (first..last).step_by(CHUNK) {
            let len = CHUNK.min(last - r);
            e.chunk(|i, x| {
                Elements::new(reads[i], k.spec.halves.input(i)).run(&mut x[..len], at(k, &k.inputs[i], row, r), k.inputs[i].along)
            });
            sum = join(k, sum, joined(k, &e.output(0)[..len]));
        }
        *out = sum as f32 * k.scale;
    }
}

/// Several short rows in one chunk.
fn short(k: &Reduce, grain: usize, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, w: Writes<'_>) {
    let out = f32s_mut(w[0]);
    for first in units.clone().step_by(grain) {
        let rows = first..units.end.min(first + grain);
        e.chunk(|i, x| {
            let t = &k.inputs[i];
            for (row, part) in rows.clone().zip(x.chunks_exact_mut(k.length)) {
                Elements::new(reads[i], k.spec.halves.input(i)).run(part, at(k, t, row, 0), t.along);
            }
        });
        for (row, part) in rows.zip(e.output(0).chunks_exact(k.length)) {
            out[row - units.start] = joined(k, part) as f32 * k.scale;
        }
    }
}

/// Neighbouring columns side by side, as many of their terms in a chunk as fit; each column's sum runs in index order, in f64.
fn columns(k: &Reduce, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, w: Writes<'_>) {
    let mut row = units.start;
    while row < units.end {
        let n = (k.inner - row % k.inner).min(units.end - row).min(CHUNK);
        let mut sums = [start(k); CHUNK];
        let most = CHUNK / n;
        for r in (0..k.length).step_by(most) {
            let terms = most.min(k.length - r);
            e.chunk(|i, x| {
                let t = &k.inputs[i];
                for (j, part) in x.chunks_exact_mut(n).take(terms).enumerate() {
                    Elements::new(reads[i], k.spec.halves.input(i)).run(part, at(k, t, row, r + j), t.inner);
                }
            });
            for part in e.output(0).chunks_exact(n).take(terms) {
                if k.spec.max {
                    sums.iter_mut().zip(part).for_each(|(s, &v)| *s = larger(*s, v.into()));
                } else {
                    sums.iter_mut().zip(part).for_each(|(s, &v)| *s += f64::from(v));
                }
            }
        }
        let out = &mut f32s_mut(w[0])[row - units.start..][..n];
        out.iter_mut().zip(&sums).for_each(|(o, &s)| *o = s as f32 * k.scale);
        row += n;
    }
}
