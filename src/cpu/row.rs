//! The twin of `shaders/row.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{LANES, WRITES, Writes, f32s_mut, fork_halves, wide};
use super::lib::halves::{Elements, put};
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator, Row as Chunk, whole};
use crate::kernels::{Join, Row};
use std::ops::Range;

/// Values of the rows that are gone along together, at most: what is kept of them stays in the first caches.
const BLOCK: usize = 4096;

/// Nanoseconds to join a value.
const JOIN: f64 = 0.1;

impl Twin for Row {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        let (stages, halves) = (&self.spec.stages, &self.spec.halves);
        let block = (BLOCK / self.width).clamp(1, CHUNK);
        // the place among the kept of all that formulas read
        let (mut places, mut kept) = (vec![usize::MAX; self.inputs.len()], 0);
        for s in stages {
            places.resize(places.len() + s.numbers.outputs().len() + s.joins.len(), usize::MAX);
            places.extend(kept..kept + s.kept());
            kept += s.kept();
        }
        let joins = stages.iter().map(|s| s.joins.len()).max().unwrap_or(0);
        let worker = |formulas| Worker {
            k: self,
            reads,
            block,
            formulas,
            places: &places,
            given: vec![0.0; places.len() * block],
            kept: vec![0.0; kept * block * self.width + CHUNK],
            sums: vec![(0.0, 0.0); joins * block],
        };
        let mut workers: Vec<Worker<'_>> = workers.chunks_mut(2 * stages.len()).map(worker).collect();
        let mut widths = [0; WRITES];
        for (o, halves_of) in widths.iter_mut().enumerate().take(self.outputs.len()) {
            let words = if o < self.whole() { self.width } else { 1 };
            *halves_of = if halves.output(o) { words } else { 2 * words };
        }
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
}

/// What goes along some rows: the formulas of the stages, two for each, and what they have given so far.
struct Worker<'a> {
    k: &'a Row,
    reads: &'a [&'a [u32]],
    /// Rows that are gone along together.
    block: usize,
    formulas: &'a mut [Evaluator],
    /// Where each of what formulas read is kept, if it is.
    places: &'a [usize],
    /// The numbers, `block` of each.
    given: Vec<f32>,
    /// The values that are kept, those of `block` rows of each.
    kept: Vec<f32>,
    /// What each join has come to, and its first term, `block` of each.
    sums: Vec<(f64, f32)>,
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
    let most = (CHUNK / width).max(1);
    (0..rows).step_by(most).flat_map(move |row| {
        (0..width).step_by(CHUNK).map(move |column| Part { row, rows: most.min(rows - row), column, columns: CHUNK.min(width - column) })
    })
}

impl Worker<'_> {
    /// `rows` rows from `first` on; the part's own results begin `own` rows before.
    fn rows(&mut self, first: usize, rows: usize, own: usize, to: &mut Writes<'_>) {
        let k = self.k;
        let mut next = k.inputs.len();
        for (s, stage) in k.spec.stages.iter().enumerate() {
            self.numbers(s, first, rows, next);
            next += stage.numbers.outputs().len();
            for part in parts(rows, k.width) {
                self.evaluate(2 * s + 1, first, part);
                if stage.joins.is_empty() {
                    self.store(2 * s + 1, own, part, to);
                } else {
                    self.join(2 * s + 1, part, &stage.joins);
                    let behind = next + stage.joins.len();
                    self.keep(2 * s + 1, part, stage.joins.len(), behind..behind + stage.kept());
                }
            }
            for (j, join) in stage.joins.iter().enumerate() {
                for row in 0..rows {
                    let (sum, first) = self.sums[j * self.block + row];
                    self.given[next * self.block + row] = joined(*join, sum, first, k.width);
                }
                next += 1;
            }
            next += stage.kept();
        }
        for (o, &slot) in k.spec.stored.iter().enumerate() {
            let o = k.whole() + o;
            put(to[o], k.spec.halves.output(o), own, &self.given[slot * self.block..][..rows]);
        }
    }

    /// The numbers of a stage, one of each for each row.
    fn numbers(&mut self, stage: usize, first: usize, rows: usize, next: usize) {
        let Worker { k, reads, block, formulas, given, .. } = self;
        let e = &mut formulas[2 * stage];
        let made = k.spec.stages[stage].numbers.outputs().len();
        if made == 0 {
            return;
        }
        e.chunk(|i, row| match k.inputs.get(i) {
            Some(x) => Elements::new(reads[i], k.spec.halves.input(i)).run(&mut row[..rows], x.offset + first * x.step, x.step),
            None => row[..rows].copy_from_slice(&given[i * *block..][..rows]),
        });
        (0..made).for_each(|o| e.store(o, &mut given[(next + o) * *block..][..rows]));
    }

    /// A formula at some places of the rows from `first` on.
    fn evaluate(&mut self, formula: usize, first: usize, part: Part) {
        let Worker { k, reads, block, formulas, places, given, kept, .. } = self;
        let Part { row: at, rows, column, columns } = part;
        let (width, kept) = (k.width, &kept[..]);
        formulas[formula].chunk_of(|i, row| {
            let each = row[..part.len()].chunks_exact_mut(columns).enumerate();
            let Some(x) = k.inputs.get(i) else {
                if places[i] < usize::MAX {
                    return lend(row, kept, (places[i] * *block + at) * width + column, part.len());
                }
                each.for_each(|(r, row)| row.fill(given[i * *block + at + r]));
                return None;
            };
            let from = Elements::new(reads[i], k.spec.halves.input(i));
            let place = x.offset + (first + at) * x.step;
            if k.spec.numbers[i] {
                each.for_each(|(r, row)| row.fill(from.one(place + r * x.step)));
            } else if rows > 1 && x.step != width {
                each.for_each(|(r, row)| from.run(row, place + r * x.step, 1));
            } else if let Elements::Whole(x) = from {
                return lend(row, x, place + column, part.len());
            } else {
                from.run(&mut row[..part.len()], place + column, 1);
            }
            None
        });
    }

    /// The results that are rows.
    fn store(&mut self, formula: usize, own: usize, part: Part, to: &mut Writes<'_>) {
        let (k, e) = (self.k, &mut self.formulas[formula]);
        let at = (own + part.row) * k.width + part.column;
        for (o, out) in to.iter_mut().enumerate().take(k.whole()) {
            if k.spec.halves.output(o) {
                put(out, true, at, &e.output(o)[..part.len()]);
            } else {
                e.store(o, &mut f32s_mut(out)[at..][..part.len()]);
            }
        }
    }

    /// The terms, joined to those of the places before.
    fn join(&mut self, formula: usize, part: Part, joins: &[Join]) {
        let mut terms = [0.0; CHUNK];
        for (j, &join) in joins.iter().enumerate() {
            self.formulas[formula].store(j, &mut terms[..part.len()]);
            let sums = &mut self.sums[j * self.block + part.row..][..part.rows];
            wide(Joined { join, terms: &terms[..part.len()], columns: part.columns, begin: part.column == 0, sums });
        }
    }

    /// What is kept: the outputs behind `joins`, which later formulas read under these numbers.
    fn keep(&mut self, formula: usize, part: Part, joins: usize, numbers: Range<usize>) {
        for (o, number) in numbers.enumerate() {
            let at = (self.places[number] * self.block + part.row) * self.k.width + part.column;
            self.formulas[formula].store(joins + o, &mut self.kept[at..][..part.len()]);
        }
    }
}

/// Values where they lie if a whole chunk can be read there, whatever stands behind them; else a copy.
fn lend<'a>(row: &mut Chunk, from: &'a [f32], at: usize, len: usize) -> Option<&'a Chunk> {
    from.get(at..at + CHUNK).and_then(whole).or_else(|| {
        row[..len].copy_from_slice(&from[at..][..len]);
        None
    })
}

/// Joins the terms of each row to what those before have come to.
struct Joined<'a> {
    join: Join,
    terms: &'a [f32],
    columns: usize,
    /// Whether they are the first ones.
    begin: bool,
    sums: &'a mut [(f64, f32)],
}

impl pulp::NullaryFnOnce for Joined<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        for (x, sum) in self.terms.chunks_exact(self.columns).zip(self.sums) {
            if self.begin {
                *sum = (if self.join == Join::Max { f64::NEG_INFINITY } else { 0.0 }, x[0]);
            }
            match self.join {
                Join::Sum | Join::Mean => sum.0 += total(x, 0.0),
                Join::MeanFromFirst => sum.0 += total(x, sum.1),
                Join::Max => sum.0 = f64::from(larger(sum.0 as f32, largest(x))),
            }
        }
    }
}

/// The sum of `v - shift` over at most a chunk: in lanes, which meet in f64, in pairs.
#[inline(always)]
fn total(x: &[f32], shift: f32) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let (parts, rest) = x.as_chunks::<LANES>();
    for part in parts {
        lanes.iter_mut().zip(part).for_each(|(l, &v)| *l += v - shift);
    }
    lanes.iter_mut().zip(rest).for_each(|(l, &v)| *l += v - shift);
    let mut sums = lanes.map(f64::from);
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = sums.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(a, b)| *a += *b);
        half /= 2;
    }
    sums[0]
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for part in x.chunks(LANES) {
        lanes.iter_mut().zip(part).for_each(|(l, &v)| *l = larger(*l, v));
    }
    lanes.iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b))
}

/// A NaN is larger than all.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b.is_nan() || b > a { b } else { a }
}

/// The number that terms have come to. A sum beyond f32 is infinite, as it is on a GPU, though its mean were not.
fn joined(join: Join, sum: f64, first: f32, width: usize) -> f32 {
    let (whole, mean) = (sum as f32, sum / width as f64);
    match join {
        Join::Mean if whole.is_finite() => mean as f32,
        Join::MeanFromFirst if whole.is_finite() => (mean + f64::from(first)) as f32,
        _ => whole,
    }
}
