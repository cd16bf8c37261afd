//! The twin of `shaders/row.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{LANES, Writes, fork_halves, wide};
use super::lib::halves::{Elements, put, whole};
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator, MOST, Node};
use crate::kernels::{Join, Row, Slot};
use std::ops::Range;

/// Values of the rows that are gone along together, at most: what is read of them stays in the caches from stage to stage.
const BLOCK: usize = 16_384;

/// Rows that are wider have chunks of their own; of others several share one.
const SHORT: usize = 64;

/// Terms that are summed in f32 before they meet in f64.
const SUMMED: usize = 1024;

/// Results of a formula that are made where they belong; further ones are copied there.
const STORED: usize = 8;

/// Nanoseconds to join a value.
const JOIN: f64 = 0.05;

impl Twin for Row {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        let (stages, halves) = (&self.spec.stages, &self.spec.halves);
        let block = (BLOCK / self.width).clamp(1, CHUNK);
        let slots = self.spec.slots();
        let mut kept = 0;
        let place = |s: &Slot| {
            let place = kept;
            kept += usize::from(*s == Slot::Kept);
            place
        };
        let places: Vec<usize> = slots.iter().map(place).collect();
        let shared = Shared { k: self, reads, block, slots: &slots, places: &places };
        let (given, kept) = (slots.len() * block, kept * block * self.width);
        let joins = stages.iter().map(|s| s.joins.len()).max().unwrap_or(0);
        let partial = vec![Partial::new(Join::Sum, 0.0); joins];
        let worker = |formulas| Worker { shared, formulas, given: vec![0.0; given], kept: vec![0.0; kept], partial: partial.clone() };
        let mut workers: Vec<Worker<'_>> = workers.chunks_mut(2 * stages.len()).map(worker).collect();
        let width = |o: usize| if o < self.whole() { self.width } else { 1 };
        let widths = std::array::from_fn(|o| if halves.output(o) { width(o) } else { 2 * width(o) });
        // f16 rows of odd width fill words in pairs
        let grain = block.next_multiple_of(2);
        fork_halves(&mut workers, 0..self.rows, grain, widths, writes, &|w: &mut Worker<'_>, rows: Range<usize>, mut to: Writes<'_>| {
            for first in rows.clone().step_by(block) {
                w.rows(first, block.min(rows.end - first), first - rows.start, &mut to);
            }
        });
        Ok(())
    }

    fn work(&self) -> f64 {
        let joins: usize = self.spec.stages.iter().map(|s| s.joins.len()).sum();
        JOIN * (joins * self.rows * self.width) as f64
    }

    fn takes_halves(&self) -> bool {
        true
    }

    fn alike(&self, formula: usize, input: usize) -> bool {
        formula % 2 == 1 && self.width > SHORT && self.spec.slots()[input] == Slot::Number
    }
}

/// Places that are evaluated together: of several rows all of them, or some of one row.
#[derive(Clone, Copy)]
struct Part {
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
}

impl Part {
    fn len(&self) -> usize {
        self.rows * self.columns
    }
}

/// The parts of so many rows.
fn parts(rows: usize, width: usize) -> impl Iterator<Item = Part> {
    let most = if width > SHORT { 1 } else { CHUNK / width };
    (0..rows).step_by(most).flat_map(move |row| {
        (0..width).step_by(MOST).map(move |column| Part { row, rows: most.min(rows - row), column, columns: MOST.min(width - column) })
    })
}

/// What all workers share.
#[derive(Clone, Copy)]
struct Shared<'a> {
    k: &'a Row,
    reads: &'a [&'a [u32]],
    /// Rows that are gone along together.
    block: usize,
    /// What formulas read.
    slots: &'a [Slot],
    /// How many of those before each of them are kept.
    places: &'a [usize],
}

impl<'a> Shared<'a> {
    /// Where what is kept under this number begins.
    fn kept(&self, number: usize) -> usize {
        self.places[number] * self.block * self.k.width
    }

    /// What a formula reads at some places of the rows from `first` on, if it lies somewhere.
    fn lies<'b>(&self, i: usize, first: usize, part: Part, kept: &'b [f32]) -> Option<&'b [f32]>
    where
        'a: 'b,
    {
        let width = self.k.width;
        if self.slots[i] == Slot::Kept {
            return Some(&kept[self.kept(i) + part.row * width + part.column..][..part.len()]);
        }
        let x = self.k.inputs.get(i).filter(|x| self.slots[i] == Slot::Values && (part.rows == 1 || x.step == width))?;
        match Elements::new(self.reads[i], self.k.spec.halves.input(i)) {
            Elements::Whole(all) => Some(&all[x.offset + (first + part.row) * x.step + part.column..][..part.len()]),
            Elements::Half(_) => None,
        }
    }

    /// The same where it lies, or put into `row`.
    fn operand<'b>(&self, i: usize, first: usize, part: Part, given: &[f32], kept: &'b [f32], row: &mut [f32]) -> Option<&'b [f32]>
    where
        'a: 'b,
    {
        let found = self.lies(i, first, part, kept);
        if found.is_none() {
            self.load(i, first, part, given, row);
        }
        found
    }

    /// What lies nowhere, put into `row`.
    fn load(&self, i: usize, first: usize, part: Part, given: &[f32], row: &mut [f32]) {
        let Some(x) = self.k.inputs.get(i) else {
            return rows_of(part, row, |r, row| row.fill(given[i * self.block + part.row + r]));
        };
        let (from, at) = (Elements::new(self.reads[i], self.k.spec.halves.input(i)), x.offset + (first + part.row) * x.step);
        match self.slots[i] {
            Slot::Number => rows_of(part, row, |r, row| row.fill(from.one(at + r * x.step))),
            _ => rows_of(part, row, |r, row| from.run(row, at + r * x.step + part.column, 1)),
        }
    }
}

/// Does something for each row of a part.
fn rows_of(part: Part, all: &mut [f32], f: impl Fn(usize, &mut [f32])) {
    if part.rows == 1 { f(0, all) } else { all.chunks_exact_mut(part.columns).enumerate().for_each(|(r, row)| f(r, row)) }
}

/// What goes along some rows: the formulas of the stages, two for each, and what they have given so far.
struct Worker<'a> {
    shared: Shared<'a>,
    formulas: &'a mut [Evaluator],
    /// The numbers, `block` of each.
    given: Vec<f32>,
    /// The values that are kept, those of `block` rows of each.
    kept: Vec<f32>,
    /// What the joins of a stage have come to, of the row that is gone along.
    partial: Vec<Partial>,
}

impl Worker<'_> {
    /// `rows` rows from `first` on; the part's own results begin `own` rows before.
    fn rows(&mut self, first: usize, rows: usize, own: usize, to: &mut Writes<'_>) {
        let k = self.shared.k;
        let mut next = k.inputs.len();
        for (s, stage) in k.spec.stages.iter().enumerate() {
            self.numbers(s, first, rows, next);
            next += stage.numbers.outputs().len();
            if stage.joins.is_empty() {
                parts(rows, k.width).for_each(|part| self.results(2 * s + 1, first, own, part, to));
            } else {
                parts(rows, k.width).for_each(|part| self.join(s, first, part, next));
            }
            next += stage.joins.len() + stage.kept();
        }
        for (o, &slot) in k.spec.stored.iter().enumerate() {
            let o = k.whole() + o;
            put(to[o], k.spec.halves.output(o), own, &self.given[slot * self.shared.block..][..rows]);
        }
    }

    /// The numbers of a stage, one of each for each row.
    fn numbers(&mut self, stage: usize, first: usize, rows: usize, next: usize) {
        let Worker { shared: Shared { k, reads, block, .. }, formulas, given, .. } = self;
        let made = k.spec.stages[stage].numbers.outputs().len();
        if made == 0 {
            return;
        }
        let (given, new) = given.split_at_mut(next * *block);
        let load = |i: usize, row: &mut [f32]| {
            let Some(x) = k.inputs.get(i) else { return Some(&given[i * *block..][..rows]) };
            Elements::new(reads[i], k.spec.halves.input(i)).run(row, x.offset + first * x.step, x.step);
            None
        };
        let mut results: Vec<&mut [f32]> = new.chunks_mut(*block).take(made).map(|n| &mut n[..rows]).collect();
        formulas[2 * stage].run(rows, load, &mut results);
    }

    /// The results that are rows.
    fn results(&mut self, formula: usize, first: usize, own: usize, part: Part, to: &mut Writes<'_>) {
        let Worker { shared, formulas, given, kept, .. } = self;
        let (k, e, len) = (shared.k, &mut formulas[formula], part.len());
        let load = |i: usize, row: &mut [f32]| shared.operand(i, first, part, given, kept, row);
        let at = (own + part.row) * k.width + part.column;
        e.run(len, load, &mut whole(to, &k.spec.halves, k.whole(), at..at + len));
        for o in (0..k.whole()).filter(|o| k.spec.halves.output(*o)) {
            put(to[o], true, at, &e.output(o)[..len]);
        }
    }

    /// The terms of a stage joined to those of the places before, and what it keeps. `next` is the number of the first join.
    fn join(&mut self, stage: usize, first: usize, part: Part, next: usize) {
        let Worker { shared, formulas, given, kept, partial } = self;
        let (k, e) = (shared.k, &mut formulas[2 * stage + 1]);
        let s = &k.spec.stages[stage];
        let (joins, width) = (s.joins.len(), k.width);
        // what this stage keeps lies behind all that was kept before
        let (kept, new) = kept.split_at_mut(shared.kept(next));
        let lies = |j: usize| match s.f.nodes()[s.f.outputs()[j]] {
            Node::Input(i) => shared.lies(i, first, part, kept),
            _ => None,
        };
        if s.kept() > 0 || (0..joins).any(|j| lies(j).is_none()) {
            let load = |i: usize, row: &mut [f32]| shared.operand(i, first, part, given, kept, row);
            let at = part.row * width + part.column;
            let mut keep = new.chunks_mut(shared.block * width).take(s.kept()).map(|all| &mut all[at..at + part.len()]);
            let mut results: [&mut [f32]; STORED] =
                std::array::from_fn(|o| if o < joins { &mut [] } else { keep.next().unwrap_or_default() });
            e.run(part.len(), load, &mut results);
            keep.enumerate().for_each(|(o, to)| e.store(STORED + o, to));
        }
        for (j, (&join, partial)) in s.joins.iter().zip(partial).enumerate() {
            let terms = lies(j).unwrap_or_else(|| &e.output(j)[..part.len()]);
            for (row, terms) in terms.chunks_exact(part.columns).enumerate() {
                if part.column == 0 {
                    *partial = Partial::new(join, terms[0]);
                }
                wide(Joined { join, terms, to: partial });
                if part.column + part.columns == width {
                    given[(next + j) * shared.block + part.row + row] = partial.joined(join, width);
                }
            }
        }
    }
}

/// A join along a row: in lanes, which meet in f64.
#[derive(Debug, Clone, Copy)]
struct Partial {
    lanes: [f32; LANES],
    /// Terms in the lanes.
    count: usize,
    sum: f64,
    first: f32,
}

impl Partial {
    /// Of no terms yet; the first will be this one.
    fn new(join: Join, first: f32) -> Self {
        let lanes = [if join == Join::Max { f32::NEG_INFINITY } else { 0.0 }; LANES];
        Partial { lanes, count: 0, sum: 0.0, first }
    }

    /// The lanes' sum, in pairs, goes to the sum.
    #[inline(always)]
    fn meet(&mut self) {
        let mut sums = self.lanes.map(f64::from);
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = sums.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(a, b)| *a += *b);
            half /= 2;
        }
        (self.sum, self.lanes, self.count) = (self.sum + sums[0], [0.0; LANES], 0);
    }

    /// The number that the terms have come to. A sum beyond f32 is infinite, as it is on a GPU, though its mean were not.
    fn joined(&mut self, join: Join, width: usize) -> f32 {
        if join == Join::Max {
            return self.lanes.iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b));
        }
        self.meet();
        let (whole, mean) = (self.sum as f32, self.sum / width as f64);
        match join {
            Join::Mean if whole.is_finite() => mean as f32,
            Join::MeanFromFirst if whole.is_finite() => (mean + f64::from(self.first)) as f32,
            _ => whole,
        }
    }
}

/// Further terms of a row.
struct Joined<'a> {
    join: Join,
    terms: &'a [f32],
    to: &'a mut Partial,
}

impl pulp::NullaryFnOnce for Joined<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Joined { join, terms, to } = self;
        let first = to.first;
        match join {
            Join::Sum | Join::Mean => along(terms, &mut to.lanes, |l, v| l + v),
            Join::MeanFromFirst => along(terms, &mut to.lanes, |l, v| l + (v - first)),
            Join::Max => return along(terms, &mut to.lanes, larger),
        }
        to.count += terms.len();
        if to.count >= SUMMED {
            to.meet();
        }
    }
}

/// Each term to the lane that is its turn.
#[inline(always)]
fn along(terms: &[f32], to: &mut [f32; LANES], f: impl Fn(f32, f32) -> f32) {
    let mut lanes = *to;
    let (parts, rest) = terms.as_chunks::<LANES>();
    for part in parts {
        lanes.iter_mut().zip(part).for_each(|(l, &v)| *l = f(*l, v));
    }
    lanes.iter_mut().zip(rest).for_each(|(l, &v)| *l = f(*l, v));
    *to = lanes;
}

/// A NaN is larger than all.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b.is_nan() || b > a { b } else { a }
}
