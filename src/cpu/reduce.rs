//! The twin of `shaders/reduce.wgsl`.

mod columns;

use self::columns::columns;
use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s_mut, fork, total, wide};
use super::lib::halves::Elements;
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Join, Reduce, Term};
use std::ops::Range;

impl Twin for Reduce {
    fn run(&self, Call { workers, reads, mut writes, .. }: Call<'_>) -> Result<()> {
        let items = 0..self.rows * self.pieces;
        if self.length == 0 {
            writes.iter_mut().for_each(|w| f32s_mut(w).fill(0.0));
            return Ok(());
        }
        if self.inner > 1 {
            fork(workers, items, 16, [1; WRITES], writes, &|e: &mut Evaluator, units, w| columns(self, e, reads, units, w));
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

    fn alike(&self, _formula: usize, input: usize) -> bool {
        columns::alike(self, input)
    }
}

/// Row and terms of an item: the pieces lie as `[outer, pieces, inner]`. A piece past the end has none.
fn piece(k: &Reduce, item: usize) -> (usize, Range<usize>) {
    let row = item / k.inner / k.pieces * k.inner + item % k.inner;
    let first = (item / k.inner % k.pieces * k.piece()).min(k.length);
    (row, first..(first + k.piece()).min(k.length))
}

/// Where an input is read at (row, r).
fn at(k: &Reduce, t: &Term, row: usize, r: usize) -> usize {
    t.offset + row / k.inner * t.outer + r * t.along + row % k.inner * t.inner
}

/// For how many these terms stand.
fn weight(k: &Reduce, terms: Range<usize>) -> f64 {
    let [each, all] = k.weights;
    ((terms.end * each).min(all) - (terms.start * each).min(all)) as f64
}

fn join(how: Join, a: f64, b: f64) -> f64 {
    if how == Join::Max { larger(a, b) } else { a + b }
}

/// A NaN is larger than all.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if b.is_nan() || b > a { b } else { a }
}

/// What they begin with.
fn start(how: Join) -> f64 {
    if how == Join::Max { f64::NEG_INFINITY } else { 0.0 }
}

/// The terms from `r` on, joined; of means less the piece's first.
fn joined(k: &Reduce, how: Join, x: &[f32], r: usize, first: f32) -> f64 {
    if how == Join::MeanFromFirst && k.weights[0] > 1 {
        return x.iter().zip(r..).map(|(&v, r)| f64::from(v - first) * weight(k, r..r + 1)).sum();
    }
    wide(Joined { how, x, first })
}

struct Joined<'a> {
    how: Join,
    x: &'a [f32],
    first: f32,
}

impl pulp::NullaryFnOnce for Joined<'_> {
    type Output = f64;
    #[inline(always)]
    fn call(self) -> f64 {
        match self.how {
            Join::Sum | Join::Mean => total(self.x, |v| v),
            Join::MeanFromFirst => total(self.x, |v| v - self.first),
            // its pair has both
            Join::Variance => 0.0,
            Join::Max => self.x.iter().fold(f64::NEG_INFINITY, |m, &v| larger(m, v.into())),
        }
    }
}

/// The sums of these terms and of their squares, less the first one of all, in f64, whose digits are enough for the difference of the two: of pieces with
/// these variances where they are pieces, from number `r` on.
fn spread(k: &Reduce, x: &[f32], own: &[f32], r: usize, first: f32) -> [f64; 2] {
    if !k.spec.pieced {
        return wide(Spread { x, first });
    }
    x.iter().zip(own).zip(r..).fold([0.0; 2], |[sum, squares], ((&v, &own), r)| {
        let (d, w) = (f64::from(v) - f64::from(first), weight(k, r..r + 1));
        [sum + w * d, squares + w * (f64::from(own) + d * d)]
    })
}

struct Spread<'a> {
    x: &'a [f32],
    first: f32,
}

impl pulp::NullaryFnOnce for Spread<'_> {
    type Output = [f64; 2];
    #[inline(always)]
    fn call(self) -> [f64; 2] {
        let (mut sums, mut squares) = ([0.0f64; 8], [0.0f64; 8]);
        for part in self.x.chunks(8) {
            for ((s, q), &v) in sums.iter_mut().zip(&mut squares).zip(part) {
                let d = f64::from(v) - f64::from(self.first);
                (*s, *q) = (*s + d, *q + d * d);
            }
        }
        [sums.iter().sum(), squares.iter().sum()]
    }
}

/// What is stored of a result; `before`: of a variance the sum of its terms. A sum beyond f32 is infinite, as it is on a GPU, though its mean were not.
fn stored(k: &Reduce, result: usize, [sum, before]: [f64; 2], first: f32, terms: Range<usize>) -> f32 {
    if k.spec.joins[result] == Join::Variance {
        let count = weight(k, terms).max(1.0);
        let squares = (sum - before * before / count) / count;
        return if squares < 0.0 { 0.0 } else { squares as f32 };
    }
    if k.spec.joins[result] == Join::MeanFromFirst {
        return (f64::from(first) + sum / weight(k, terms).max(1.0)) as f32;
    }
    let (whole, is_mean) = (sum as f32, k.spec.joins[result] == Join::Mean);
    if is_mean && whole.is_finite() { (sum / k.weights[1] as f64) as f32 } else { whole }
}

/// One item after another, a chunk of terms at a time.
fn long(k: &Reduce, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, mut w: Writes<'_>) {
    let chunk = |e: &mut Evaluator, row: usize, r: usize, len: usize| {
        e.chunk(|i, x| Elements::new(reads[i], k.spec.halves.input(i)).run(&mut x[..len], at(k, &k.inputs[i], row, r), k.inputs[i].along));
    };
    for item in units.clone() {
        let (row, terms) = piece(k, item);
        chunk(e, row, terms.start.min(k.length - 1), 1);
        let (mut sums, mut before, mut first) = ([0.0; WRITES], [0.0; WRITES], [0.0; WRITES]);
        for (o, &how) in k.spec.joins.iter().enumerate() {
            (sums[o], first[o]) = (start(how), e.output(o)[0]);
            // a piece past the end has the last term once more
            if how == Join::Max && terms.is_empty() {
                sums[o] = first[o].into();
            }
        }
        for r in terms.clone().step_by(CHUNK) {
            let len = CHUNK.min(terms.end - r);
            chunk(e, row, r, len);
            for (o, &how) in k.spec.joins.iter().enumerate() {
                if how == Join::Variance {
                    let [sum, squares] = spread(k, &e.output(o - 1)[..len], &e.output(o)[..len], r, first[o - 1]);
                    (before[o], sums[o]) = (before[o] + sum, sums[o] + squares);
                    continue;
                }
                sums[o] = join(how, sums[o], joined(k, how, &e.output(o)[..len], r, first[o]));
            }
        }
        for (o, w) in w.iter_mut().take(k.outputs.len()).enumerate() {
            f32s_mut(w)[item - units.start] = stored(k, o, [sums[o], before[o]], first[o], terms.clone());
        }
    }
}

/// Several short rows in one chunk.
fn short(k: &Reduce, grain: usize, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, mut w: Writes<'_>) {
    for first in units.clone().step_by(grain) {
        let rows = first..units.end.min(first + grain);
        e.chunk(|i, x| {
            let t = &k.inputs[i];
            for (row, part) in rows.clone().zip(x.chunks_exact_mut(k.length)) {
                Elements::new(reads[i], k.spec.halves.input(i)).run(part, at(k, t, row, 0), t.along);
            }
        });
        for (o, w) in w.iter_mut().take(k.outputs.len()).enumerate() {
            let how = k.spec.joins[o];
            let means = e.output(if how == Join::Variance { o - 1 } else { o }).chunks_exact(k.length);
            for ((row, part), means) in rows.clone().zip(e.output(o).chunks_exact(k.length)).zip(means) {
                let sums = if how == Join::Variance {
                    let [sum, squares] = spread(k, means, part, 0, means[0]);
                    [squares, sum]
                } else {
                    [joined(k, how, part, 0, part[0]), 0.0]
                };
                f32s_mut(w)[row - units.start] = stored(k, o, sums, part[0], 0..k.length);
            }
        }
    }
}
