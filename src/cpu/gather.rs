//! The twin of `shaders/gather.wgsl`.

mod changed;
mod plain;
mod sample;

use super::fault::fault;
use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, fork_halves, parts};
use super::lib::halves::put;
use crate::error::Result;
use crate::graph::{Field, listed_row};
use crate::kernels::Gather;
use crate::kernels::words::{STATE_CURSOR, STATE_EPOCH, STATE_ROWS, STATE_SEED_HI, STATE_SEED_LO, STATE_SHUFFLE};
use crate::rng::Permutation;
use changed::{Change, Scratch};
use plain::one_row;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most threads that a batch is shared out to.
const MOST: usize = 64;

/// Nanoseconds of a number: most of them are spent on taking its place from other cores, which have read the batch before.
const NUMBER: f64 = 0.5;

/// Words of a field's row in the batch.
fn width(f: &Field) -> usize {
    f.width() * f.one_hot.unwrap_or(1)
}

/// The batches that a gather makes, one for each of its fields, of these words of the state and the stored rows.
pub(crate) fn gathered(gather: &Gather, state: &[u32], stored: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
    let mut made: Vec<Vec<u32>> = Vec::new();
    for f in &gather.fields {
        made.push(vec![0; gather.batch * width(&f.field)]);
    }
    let mut left = made.iter_mut();
    let mut writes = Writes::default();
    for (to, write) in left.by_ref().zip(&mut writes) {
        *write = to;
    }
    if left.next().is_some() {
        return Err(fault("the gather of a batch", format!("{} fields, and a launch writes {WRITES}", gather.fields.len())));
    }
    let reads: Vec<&[u32]> = std::iter::once(state).chain(stored.iter().map(|s| &**s)).collect();
    gather.run(Call { threads: 1, workers: &mut [], reads: &reads, writes, beside: Default::default() })?;
    Ok(made)
}

/// What a thread works in.
struct Beside {
    halves: Vec<u32>,
    changed: Scratch,
}

impl Twin for Gather {
    /// Fails where the state or the list points past the data.
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let (state, (list, data)) = (reads[0], reads[1..].split_at(usize::from(self.listed)));
        // the tables behind the data are what the kernel itself holds
        let (list, data) = (list.first().copied(), &data[..self.fields.len().min(data.len())]);
        let (cursor, rows) = (state[STATE_CURSOR] as usize, state[STATE_ROWS] as usize);
        let held = data.iter().zip(&self.fields).map(|(d, f)| f.field.rows_in(d.len())).min();
        let held = held.unwrap_or(usize::MAX);
        // a list tells row by row
        if cursor + self.batch > rows || list.is_none() && rows > held {
            let problem = format!("rows {cursor} to {} of an order of {rows}, over {held} rows of data", cursor + self.batch);
            return Err(fault("the gather of a batch", problem));
        }
        let epoch = state[STATE_EPOCH];
        let seed = u64::from(state[STATE_SEED_HI]) << 32 | u64::from(state[STATE_SEED_LO]);
        let order = (state[STATE_SHUFFLE] != 0).then(|| Permutation::new(state[STATE_ROWS], seed, epoch));
        let stored = |at: usize| {
            let permuted = order.map_or(at, |o| o.at(at as u32) as usize);
            let row_of = |list| listed_row(list, at as u32, permuted as u32, epoch).map_or(usize::MAX, |r| r as usize);
            list.map_or(permuted, row_of)
        };
        let beyond = AtomicBool::new(false);
        let mut widths = [0; WRITES];
        widths.iter_mut().zip(&self.fields).for_each(|(w, f)| *w = width(&f.field));
        let change = Change::of(self, state);
        let cost = 30.0 + NUMBER * widths.iter().sum::<usize>() as f64 + change.as_ref().map_or(0.0, |c| c.cost(&self.fields));
        // rows that become f16 are made here first
        let mut beside = [const { Beside { halves: Vec::new(), changed: Scratch::NEW } }; MOST];
        let workers = &mut beside[..parts(cost * self.batch as f64, threads.min(MOST))];
        let mut steps = widths.map(|w| 2 * w);
        self.fields.iter().zip(&mut steps).filter(|(f, _)| f.half).for_each(|(_, s)| *s /= 2);
        // two rows of halves fill whole words
        fork_halves(workers, 0..self.batch, 2, steps, writes, &|beside: &mut Beside, batch: Range<usize>, mut w: Writes<'_>| {
            let Beside { halves, changed } = beside;
            let mut places = [0; AHEAD];
            for (group, first) in batch.clone().step_by(AHEAD).enumerate() {
                let places = &mut places[..AHEAD.min(batch.end - first)];
                for (at, place) in (cursor + first..).zip(&mut *places) {
                    *place = stored(at);
                }
                if places.iter().any(|place| *place >= held) {
                    return beyond.store(true, Ordering::Relaxed);
                }
                self.fields.iter().zip(data).for_each(|(f, from)| touch(from, &f.field, places));
                for (i, &source) in (group * AHEAD..).zip(&*places) {
                    let draws = change.as_ref().map(|c| c.draw(batch.start + i));
                    let other = draws.and_then(|d| d.partner).map(|p| stored(cursor + p.row));
                    if other.is_some_and(|place| place >= held) {
                        return beyond.store(true, Ordering::Relaxed);
                    }
                    for (((f, from), to), &width) in self.fields.iter().zip(data).zip(&mut w).zip(&widths) {
                        let row = |at: usize| &from[at * f.field.pitch()..][..f.field.words()];
                        let mut make = |to: &mut [u32]| match change.as_ref().zip(draws) {
                            Some((c, draws)) if f.is_changed() => {
                                let from = [source, other.unwrap_or(source)].map(row);
                                c.row(&f.field, from, draws, batch.start + i, changed, to)
                            }
                            _ => one_row(&f.field, row(source), to),
                        };
                        if f.half {
                            halves.resize(width.max(halves.len()), 0);
                            make(&mut halves[..width]);
                            put(to, true, i * width, &f32s(halves)[..width]);
                        } else {
                            make(&mut to[i * width..][..width]);
                        }
                    }
                }
            }
        });
        if beyond.into_inner() {
            let problem = format!("the list of rows names one beyond the {held} rows of data");
            return Err(fault("the gather of a batch", problem));
        }
        Ok(())
    }

    fn takes_halves(&self) -> bool {
        true
    }
}

/// Rows that are asked of memory at once: each of a shuffled batch lies somewhere else, and one after another they would be waited for as often.
const AHEAD: usize = 16;
/// Words of a cache line, and lines of a row that are asked for: the processor sees by then where a longer one goes on.
const LINE: usize = 16;
const LINES: usize = 16;

/// Reads a word of each line of these rows, so that all of them are under way.
fn touch(from: &[u32], f: &Field, rows: &[usize]) {
    let mut sum = 0u32;
    for &row in rows {
        let row = &from[row * f.pitch()..][..f.words()];
        row.iter().step_by(LINE).take(LINES).for_each(|w| sum ^= w);
    }
    std::hint::black_box(sum);
}
