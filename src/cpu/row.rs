//! The twin of `shaders/row.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{LANES, WRITES, Writes, fork_halves};
use super::lib::halves::{Elements, put, split};
use super::lib::lanes::{Joining, Largest, Less, along};
use crate::error::Result;
use crate::expr::{Behind, CHUNK, Evaluator, MOST, Made, Source};
use crate::kernels::{Join, Row, Slot};
use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::Simd;
use std::ops::Range;

/// Values of the rows that are gone along together, at most: what is read of them stays in the caches from stage to stage.
const BLOCK: usize = 32_768;

/// Rows that are wider have chunks of their own; of others several share one.
const SHORT: usize = 64;

/// Terms that are summed in f32 before they meet in f64.
const SUMMED: usize = 1024;

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
        let partial = vec![Partial::new(Join::Sum, 0.0); joins * block];
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

/// Places that are evaluated together: of each of some rows these columns.
#[derive(Clone, Copy)]
struct Part {
    row: usize,
    rows: usize,
    column: usize,
    columns: usize,
    /// Whether all its places are one row for the evaluator.
    flat: bool,
}

impl Part {
    /// Rows and columns, as the evaluator sees them.
    fn shape(&self) -> [usize; 2] {
        if self.flat { [1, self.rows * self.columns] } else { [self.rows, self.columns] }
    }
}

/// The parts of so many rows.
fn parts(rows: usize, width: usize) -> impl Iterator<Item = Part> {
    let flat = width <= SHORT;
    let most = if flat { CHUNK / width } else { rows };
    (0..rows).step_by(most).flat_map(move |row| {
        let columns = (0..width).step_by(MOST);
        columns.map(move |column| Part { row, rows: most.min(rows - row), column, columns: MOST.min(width - column), flat })
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

    /// The elements of an operand, and which of them is the first of this row.
    fn operand(&self, i: usize, row: usize) -> (Elements<'a>, usize) {
        let x = &self.k.inputs[i];
        (Elements::new(self.reads[i], self.k.spec.halves.input(i)), x.offset + row * x.step)
    }

    /// Where a formula finds what it reads at some places of the rows from `first` on.
    fn source<'b>(&self, i: usize, first: usize, part: Part, given: &'b [f32], kept: &'b [f32]) -> Source<'b>
    where
        'a: 'b,
    {
        let width = self.k.width;
        match self.slots[i] {
            Slot::Kept => Source::Lies(&kept[self.kept(i) + part.row * width + part.column..], width),
            Slot::Number if part.flat => Source::Put,
            Slot::Number => Source::Numbers(&given[i * self.block + part.row..]),
            Slot::Values => match self.operand(i, first + part.row) {
                (Elements::Whole(all), at) if !part.flat || part.rows == 1 || self.k.inputs[i].step == width => {
                    Source::Lies(&all[at + part.column..], self.k.inputs[i].step)
                }
                _ => Source::Put,
            },
        }
    }

    /// What lies nowhere, of row `r` of a part or of all of a flat one, put into `to`.
    fn put(&self, i: usize, r: usize, first: usize, part: Part, given: &[f32], to: &mut [f32]) {
        let r = part.row + r;
        for (r, to) in (r..).zip(to.chunks_exact_mut(part.columns)) {
            match self.slots[i] {
                Slot::Number => to.fill(given[i * self.block + r]),
                _ => {
                    let (from, at) = self.operand(i, first + r);
                    from.run(to, at + part.column, 1);
                }
            }
        }
    }
}

/// What goes along some rows: the formulas of the stages, two for each, and what they have given so far.
struct Worker<'a> {
    shared: Shared<'a>,
    formulas: &'a mut [Evaluator],
    /// The numbers, `block` of each.
    given: Vec<f32>,
    /// The values that are kept, those of `block` rows of each.
    kept: Vec<f32>,
    /// What each join of a stage has come to, of each of `block` rows.
    partial: Vec<Partial>,
}

impl Worker<'_> {
    /// `rows` rows from `first` on; the part's own results begin `own` rows before.
    fn rows(&mut self, first: usize, rows: usize, own: usize, to: &mut Writes<'_>) {
        let Shared { k, block, .. } = self.shared;
        for (i, x) in k.inputs.iter().enumerate().filter(|(i, _)| k.spec.numbers[*i]) {
            let (from, at) = self.shared.operand(i, first);
            from.run(&mut self.given[i * block..][..rows], at, x.step);
        }
        let mut next = k.inputs.len();
        for (s, stage) in k.spec.stages.iter().enumerate() {
            self.numbers(s, rows, next);
            next += stage.numbers.outputs().len();
            for part in parts(rows, k.width) {
                self.part(s, next, first, own, part, to);
            }
            next += stage.joins.len() + stage.kept();
        }
        for (o, &slot) in k.spec.stored.iter().enumerate() {
            let o = k.whole() + o;
            put(to[o], k.spec.halves.output(o), own, &self.given[slot * block..][..rows]);
        }
    }

    /// The numbers of a stage, one of each for each row.
    fn numbers(&mut self, stage: usize, rows: usize, next: usize) {
        let Worker { shared: Shared { k, block, .. }, formulas, given, .. } = self;
        let made = k.spec.stages[stage].numbers.outputs().len();
        if made == 0 {
            return;
        }
        let (given, new) = given.split_at_mut(next * *block);
        let mut results: Vec<&mut [f32]> = new.chunks_mut(*block).take(made).map(|n| &mut n[..rows]).collect();
        formulas[2 * stage].run(rows, |i, _| Some(&given[i * *block..][..rows]), &mut results);
    }

    /// A stage at some places: the terms joined to those of the places before, and what it keeps; or the results that are rows. `next` is the number of
    /// the first join.
    fn part(&mut self, stage: usize, next: usize, first: usize, own: usize, part: Part, to: &mut Writes<'_>) {
        let Worker { shared, formulas, given, kept, partial } = self;
        let (k, block, joins) = (shared.k, shared.block, &shared.k.spec.stages[stage].joins);
        let (given, joined) = given.split_at_mut(next * block);
        // what this stage keeps lies behind all that was kept before
        let before = shared.places.get(next).map_or(kept.len(), |_| shared.kept(next));
        let (kept, new) = kept.split_at_mut(before);
        let source = |i: usize| shared.source(i, first, part, given, kept);
        let mut put = |i: usize, r: usize, row: &mut [f32]| shared.put(i, r, first, part, given, row);
        let at = part.row * k.width + part.column;
        let mut ending = Ending { part, width: k.width, joins, block, partial, joined, halves: Default::default() };
        let e = &mut formulas[2 * stage + 1];
        if joins.is_empty() {
            let (mut results, halves) = split(to, &k.spec.halves, k.whole(), own * k.width + at);
            ending.halves = halves;
            return e.along(part.shape(), source, &mut put, (&mut results, k.width), &mut ending);
        }
        let keep = new.chunks_mut(block * k.width).take(k.spec.stages[stage].kept()).map(|all| &mut all[at..]);
        let mut results: Vec<&mut [f32]> = joins.iter().map(|_| Default::default()).chain(keep).collect();
        e.along(part.shape(), source, &mut put, (&mut results, k.width), &mut ending);
    }
}

/// What is done with each row of a part: its terms are joined, and results that are f16 are rounded.
struct Ending<'a> {
    part: Part,
    width: usize,
    joins: &'a [Join],
    block: usize,
    partial: &'a mut [Partial],
    /// What the joins have come to, `block` of each.
    joined: &'a mut [f32],
    /// The results that are f16, from the part's first place on.
    halves: [&'a mut [f16]; WRITES],
}

impl Behind for Ending<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, r: usize, made: Made<'_>) {
        let Part { row, column, columns, .. } = self.part;
        for (o, to) in self.halves.iter_mut().enumerate().filter(|(_, to)| !to.is_empty()) {
            let row = made.output(o);
            to[r * self.width..][..row.len()].convert_from_f32_slice(row);
        }
        for (j, &join) in self.joins.iter().enumerate() {
            for (row, terms) in (row + r..).zip(made.output(j).chunks_exact(columns)) {
                let own = j * self.block + row;
                let mut partial = if column == 0 { Partial::new(join, terms[0]) } else { self.partial[own] };
                partial.add(simd, join, terms);
                if column + columns == self.width {
                    self.joined[own] = partial.joined(join, self.width);
                } else {
                    self.partial[own] = partial;
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
    #[inline(always)]
    fn new(join: Join, first: f32) -> Self {
        let lanes = [if join == Join::Max { f32::NEG_INFINITY } else { 0.0 }; LANES];
        Partial { lanes, count: 0, sum: 0.0, first }
    }

    /// Further terms.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, join: Join, terms: &[f32]) {
        match join {
            Join::Sum | Join::Mean | Join::Variance => along(simd, terms, &mut self.lanes, Less(0.0)),
            Join::MeanFromFirst => along(simd, terms, &mut self.lanes, Less(self.first)),
            Join::Max => return along(simd, terms, &mut self.lanes, Largest),
        }
        self.count += terms.len();
        if self.count >= SUMMED {
            self.meet();
        }
    }

    /// The lanes' sum, in pairs, goes to the sum.
    #[inline(always)]
    fn meet(&mut self) {
        let mut sums = [0.0f64; LANES];
        sums.iter_mut().zip(&self.lanes).for_each(|(s, &l)| *s = l.into());
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = sums.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(a, b)| *a += *b);
            half /= 2;
        }
        (self.sum, self.lanes, self.count) = (self.sum + sums[0], [0.0; LANES], 0);
    }

    /// The number that the terms have come to. A sum beyond f32 is infinite, as it is on a GPU, though its mean were not.
    #[inline(always)]
    fn joined(&mut self, join: Join, width: usize) -> f32 {
        if join == Join::Max {
            return self.lanes.iter().fold(f32::NEG_INFINITY, |a, &b| Largest.one(a, b));
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
