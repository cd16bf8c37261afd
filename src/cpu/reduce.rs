//! The twin of `shaders/reduce.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s_mut, fork, total};
use super::lib::halves::Elements;
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Reduce, Term};
use std::ops::Range;

impl Twin for Reduce {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        let items = 0..self.rows * self.pieces;
        if self.length == 0 {
            f32s_mut(&mut *writes.into_iter().next().unwrap_or_default()).fill(0.0);
            return Ok(());
        }
        if self.inner > 1 {
            fork(workers, items, 16, [1; WRITES], writes, &|e: &mut Evaluator, units, w| columns(self, e, reads, units, w))
        } else if self.pieces == 1 && self.length <= CHUNK / 2 {
            let grain = CHUNK / self.length;
            fork(workers, items, grain, [1; WRITES], writes, &|e: &mut Evaluator, units, w| short(self, grain, e, reads, units, w))
        } else {
            fork(workers, items, 1, [1; WRITES], writes, &|e: &mut Evaluator, units, w| long(self, e, reads, units, w))
        }
        Ok(())
    }

    fn takes_halves(&self) -> bool {
        true
    }
}

/// Row and terms of an item: the pieces lie as `[outer, pieces, inner]`.
fn piece(k: &Reduce, item: usize) -> (usize, Range<usize>) {
    let row = item / k.inner / k.pieces * k.inner + item % k.inner;
    let first = item / k.inner % k.pieces * k.piece();
    (row, first..(first + k.piece()).min(k.length))
}

/// Where input `i` is read at (row, r).
fn at(k: &Reduce, t: &Term, row: usize, r: usize) -> usize {
    t.offset + row / k.inner * t.outer + r * t.along + row % k.inner * t.inner
}

/// The sum of some terms less `shift`, or the largest.
#[inline(always)]
fn joined(k: &Reduce, x: &[f32], shift: f32) -> f64 {
    if k.spec.max {
        x.iter().fold(f64::NEG_INFINITY, |m, &v| larger(m, v.into()))
    } else if k.spec.from_first {
        total(x, |v| v - shift)
    } else {
        total(x, |v| v)
    }
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

/// What is stored of a sum. One beyond f32 is infinite, as it is on a GPU, though its mean were not.
fn stored(k: &Reduce, sum: f64, shift: f32) -> f32 {
    let whole = sum as f32;
    let back = if k.pieces == 1 { shift } else { 0.0 };
    if k.divisor == 1 || !whole.is_finite() { whole + back } else { (sum / k.divisor as f64 + f64::from(back)) as f32 }
}

/// One item after another, a chunk of terms at a time.
fn long(k: &Reduce, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, w: Writes<'_>) {
    let chunk = |e: &mut Evaluator, row: usize, r: usize, len: usize| {
        e.chunk(|i, x| Elements::new(reads[i], k.spec.halves.input(i)).run(&mut x[..len], at(k, &k.inputs[i], row, r), k.inputs[i].along));
    };
    for (item, out) in units.zip(f32s_mut(w[0])) {
        let (row, terms) = piece(k, item);
        let mut shift = 0.0;
        if k.spec.from_first {
            chunk(e, row, 0, 1);
            shift = e.output(0)[0];
        }
        let mut sum = start(k);
        for r in terms.clone().step_by(CHUNK) {
            let len = CHUNK.min(terms.end - r);
            chunk(e, row, r, len);
            sum = join(k, sum, joined(k, &e.output(0)[..len], shift));
        }
        *out = stored(k, sum, shift);
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
            let shift = if k.spec.from_first { part[0] } else { 0.0 };
            out[row - units.start] = stored(k, joined(k, part, shift), shift);
        }
    }
}

/// Neighbouring columns side by side, as many of their terms in a chunk as fit; each column's sum runs in index order, in f64.
fn columns(k: &Reduce, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, w: Writes<'_>) {
    let mut item = units.start;
    while item < units.end {
        let n = (k.inner - item % k.inner).min(units.end - item).min(CHUNK);
        let (row, along) = piece(k, item);
        let chunk = |e: &mut Evaluator, r: usize, terms: usize| {
            e.chunk(|i, x| {
                let t = &k.inputs[i];
                for (j, part) in x.chunks_exact_mut(n).take(terms).enumerate() {
                    Elements::new(reads[i], k.spec.halves.input(i)).run(part, at(k, t, row, r + j), t.inner);
                }
            });
        };
        let (mut sums, mut shifts) = ([start(k); CHUNK], [0.0f32; CHUNK]);
        if k.spec.from_first {
            chunk(e, 0, 1);
            shifts[..n].copy_from_slice(&e.output(0)[..n]);
        }
        let most = CHUNK / n;
        for r in along.clone().step_by(most) {
            let terms = most.min(along.end - r);
            chunk(e, r, terms);
            for part in e.output(0).chunks_exact(n).take(terms) {
                if k.spec.max {
                    sums.iter_mut().zip(part).for_each(|(s, &v)| *s = larger(*s, v.into()));
                } else if k.spec.from_first {
                    sums.iter_mut().zip(part).zip(&shifts).for_each(|((s, &v), &x)| *s += f64::from(v) - f64::from(x));
                } else {
                    sums.iter_mut().zip(part).for_each(|(s, &v)| *s += f64::from(v));
                }
            }
        }
        let out = &mut f32s_mut(w[0])[item - units.start..][..n];
        out.iter_mut().zip(sums.iter().zip(&shifts)).for_each(|(o, (&s, &shift))| *o = stored(k, s, shift));
        item += n;
    }
}
