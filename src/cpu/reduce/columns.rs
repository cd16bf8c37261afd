//! Sums down neighbouring columns. A few terms of a column are summed in f32, and those sums in f64; of narrow columns several rows lie side by side,
//! and every place is a sum of its own. How many meet where is told by the shape alone.

use super::{at, join, larger, piece, start, stored, weight};
use crate::cpu::lib::fork::{Writes, f32s_mut, wide};
use crate::cpu::lib::halves::Elements;
use crate::cpu::lib::lanes::{Joining, Largest};
use crate::expr::{Behind, Evaluator, MOST, Made, Source};
use crate::kernels::{Join, Reduce};
use pulp::Simd;
use std::ops::Range;

/// Columns that lie several rows side by side, at most.
const NARROW: usize = 64;

/// Terms of a column that are summed in f32.
const TOGETHER: usize = 16;

/// Whether an operand is one number for all columns that are gone along together.
pub(super) fn alike(k: &Reduce, input: usize) -> bool {
    k.inner > NARROW && k.inputs[input].inner == 0
}

pub(super) fn columns(k: &Reduce, e: &mut Evaluator, reads: &[&[u32]], units: Range<usize>, mut w: Writes<'_>) {
    let (mut sums, mut item) = (Sums::new(k), units.start);
    while item < units.end {
        let n = (k.inner - item % k.inner).min(units.end - item).min(MOST);
        let (row, terms) = piece(k, item);
        let side = if k.inner > NARROW { 1 } else { (MOST / k.inner).min(k.piece()).max(1) };
        Columns { k, reads, row, n, side }.sums(e, terms.clone(), &mut sums);
        for (o, w) in w.iter_mut().take(k.outputs.len()).enumerate() {
            let how = k.spec.joins[o];
            let all = |o: usize, c: usize| {
                let own = &sums.f64s[o * sums.places..][..sums.places];
                own.chunks_exact(n).skip(1).fold(own[c], |sum, part| join(how, sum, part[c]))
            };
            for (c, out) in f32s_mut(w)[item - units.start..][..n].iter_mut().enumerate() {
                let before = if how == Join::Variance { all(o - 1, c) } else { 0.0 };
                *out = stored(k, o, [all(o, c), before], sums.firsts[o * sums.places + c], terms.clone());
            }
        }
        item += n;
    }
}

/// Neighbouring columns.
struct Columns<'a> {
    k: &'a Reduce,
    reads: &'a [&'a [u32]],
    /// The first of them.
    row: usize,
    n: usize,
    /// Terms of a column that lie side by side.
    side: usize,
}

impl Columns<'_> {
    fn sums(&self, e: &mut Evaluator, terms: Range<usize>, sums: &mut Sums<'_>) {
        let Columns { k, n, side, .. } = *self;
        let places = n * side;
        sums.make_room(n, places);
        self.repeat(&mut sums.same, places);
        if k.spec.joins.iter().any(|j| j.looks_first() || *j == Join::Variance) {
            self.along(e, terms.start.min(k.length - 1), [1, n], sums);
        }
        sums.begin();
        let whole = terms.len() / side;
        for first in (0..whole).step_by(TOGETHER) {
            let chunks = TOGETHER.min(whole - first);
            self.along(e, terms.start + first * side, [chunks, places], sums);
            wide(Meet { sums, places });
        }
        let rest = (terms.len() - whole * side) * n;
        if rest > 0 {
            self.along(e, terms.start + whole * side, [1, rest], sums);
            wide(Meet { sums, places: rest });
        }
    }

    /// Operands that have one value for all terms of a column: as often as terms lie side by side.
    fn repeat(&self, same: &mut Vec<f32>, places: usize) {
        let Columns { k, reads, row, n, .. } = *self;
        same.resize(k.inputs.len() * places, 0.0);
        for (i, t) in k.inputs.iter().enumerate().filter(|(_, t)| t.along == 0) {
            let from = Elements::new(reads[i], k.spec.halves.input(i));
            same[i * places..][..places].chunks_mut(n).for_each(|part| from.run(part, at(k, t, row, 0), t.inner));
        }
    }

    /// So many rows of places from term `r` on.
    fn along(&self, e: &mut Evaluator, r: usize, shape: [usize; 2], sums: &mut Sums<'_>) {
        let Columns { k, reads, row, n, side } = *self;
        let (mut numbers, same) = (std::mem::take(&mut sums.numbers), std::mem::take(&mut sums.same));
        let places = sums.places;
        for (i, t) in k.inputs.iter().enumerate().filter(|(i, _)| alike(k, *i)) {
            let to = &mut numbers[i * TOGETHER..][..shape[0]];
            Elements::new(reads[i], k.spec.halves.input(i)).run(to, at(k, t, row, r), t.along);
        }
        let source = |i: usize| {
            let t = &k.inputs[i];
            match Elements::new(reads[i], k.spec.halves.input(i)) {
                _ if alike(k, i) => Source::Numbers(&numbers[i * TOGETHER..]),
                _ if t.along == 0 => Source::Lies(&same[i * places..][..places], 0),
                Elements::Whole(all) if t.inner == 1 && (side == 1 || t.along == n) => {
                    Source::Lies(&all[at(k, t, row, r)..], side * t.along)
                }
                _ => Source::Put,
            }
        };
        let mut put = |i: usize, chunk: usize, to: &mut [f32]| {
            let (t, from) = (&k.inputs[i], Elements::new(reads[i], k.spec.halves.input(i)));
            for (j, part) in to.chunks_mut(n).enumerate() {
                from.run(part, at(k, t, row, r + chunk * side + j), t.inner);
            }
        };
        sums.r = r;
        e.along(shape, source, &mut put, (&mut [], 0), sums);
        (sums.numbers, sums.same) = (numbers, same);
    }
}

/// What the terms at each place have come to, for each result.
struct Sums<'a> {
    k: &'a Reduce,
    /// Columns.
    n: usize,
    /// Terms that lie side by side: of each column as many.
    places: usize,
    /// Whether their first terms are known.
    begun: bool,
    /// The first term of those that are gone along.
    r: usize,
    /// A column's first term.
    firsts: Vec<f32>,
    /// Of a few terms.
    f32s: Vec<f32>,
    f64s: Vec<f64>,
    /// The operands that are one number for all columns, of a few terms.
    numbers: Vec<f32>,
    /// The operands that are the same for all terms of a column, at each place.
    same: Vec<f32>,
}

impl<'a> Sums<'a> {
    fn new(k: &'a Reduce) -> Self {
        let numbers = vec![0.0; k.inputs.len() * TOGETHER];
        Sums { k, n: 0, places: 0, begun: false, r: 0, firsts: vec![], f32s: vec![], f64s: vec![], numbers, same: vec![] }
    }

    fn make_room(&mut self, n: usize, places: usize) {
        (self.n, self.places, self.begun) = (n, places, false);
        let all = places * self.k.spec.joins.len();
        self.firsts.resize(all, 0.0);
        self.f64s.resize(all, 0.0);
        self.f32s.clear();
        self.f32s.resize(all, 0.0);
    }

    /// With the first terms. A piece past the end has the last term once more where the largest is looked for.
    fn begin(&mut self) {
        self.begun = true;
        for (o, &how) in self.k.spec.joins.iter().enumerate() {
            let own = o * self.places..(o + 1) * self.places;
            let (f32s, firsts) = (&mut self.f32s[own.clone()], &mut self.firsts[own.clone()]);
            firsts.chunks_mut(self.n).for_each(|f| f.copy_from_slice(&f32s[..f.len()]));
            f32s.fill(start(how) as f32);
            let first = |f: &f32| if how == Join::Max { f64::from(*f) } else { 0.0 };
            self.f64s[own].iter_mut().zip(firsts.iter()).for_each(|(s, f)| *s = first(f));
        }
    }
}

/// Whether terms stand for different numbers of others.
#[inline(always)]
fn weighed(k: &Reduce, how: Join) -> bool {
    (how == Join::MeanFromFirst && k.weights[0] > 1) || (how == Join::Variance && k.spec.pieced)
}

impl Behind for Sums<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, _: S, r: usize, made: Made<'_>) {
        let joins = &self.k.spec.joins;
        for (o, &how) in joins.iter().enumerate() {
            let x = made.output(o);
            let own_at = o * self.places;
            let (to, firsts) = (&mut self.f32s[own_at..][..x.len()], &self.firsts[own_at..][..x.len()]);
            match how {
                _ if !self.begun => to.copy_from_slice(x),
                Join::Sum | Join::Mean => to.iter_mut().zip(x).for_each(|(t, &v)| *t += v),
                // means of pieces, and variances about them
                _ if weighed(self.k, how) => {
                    let before = o - usize::from(how == Join::Variance);
                    let firsts = &self.firsts[before * self.places..][..x.len()];
                    for (i, (&v, &f)) in made.output(before).iter().zip(firsts).enumerate() {
                        let term = self.r + (r * self.places + i) / self.n;
                        let (d, own) = (f64::from(v) - f64::from(f), f64::from(x[i]));
                        let value = if how == Join::Variance { own + d * d } else { d };
                        self.f64s[own_at + i] += value * weight(self.k, term..term + 1);
                    }
                }
                // both sums in f64, whose digits are enough for the difference of the squares' and the other's square
                Join::Variance => {
                    let sums = self.f64s[own_at - self.places..].split_at_mut(self.places);
                    for (((s, q), &v), &f) in sums.0.iter_mut().zip(sums.1).zip(x).zip(firsts) {
                        let d = f64::from(v) - f64::from(f);
                        (*s, *q) = (*s + d, *q + d * d);
                    }
                }
                Join::MeanFromFirst if joins.get(o + 1) == Some(&Join::Variance) => {}
                Join::MeanFromFirst => to.iter_mut().zip(x).zip(firsts).for_each(|((t, &v), &f)| *t += v - f),
                Join::Max => to.iter_mut().zip(x).for_each(|(t, &v)| *t = Largest.one(*t, v)),
            }
        }
    }
}

/// The sums of a few terms go to those of all, at the first so many places.
struct Meet<'a, 'b> {
    sums: &'a mut Sums<'b>,
    places: usize,
}

impl pulp::NullaryFnOnce for Meet<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Meet { sums, places } = self;
        for (o, &how) in sums.k.spec.joins.iter().enumerate() {
            let from = o * sums.places;
            let f32s = &mut sums.f32s[from..][..places];
            let all = sums.f64s[from..][..places].iter_mut().zip(f32s.iter());
            match how {
                Join::Max => all.for_each(|(s, &v)| *s = larger(*s, v.into())),
                _ => all.for_each(|(s, &v)| *s += f64::from(v)),
            }
            f32s.fill(start(how) as f32);
        }
    }
}
