//! The twin of `shaders/gather.wgsl`.

use super::fault::fault;
use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork_halves, parts, wide};
use super::lib::halves::put;
use crate::error::Result;
use crate::graph::{Field, listed_row};
use crate::kernels::Gather;
use crate::kernels::words::{STATE_CURSOR, STATE_EPOCH, STATE_ROWS, STATE_SEED_HI, STATE_SEED_LO, STATE_SHUFFLE};
use crate::rng::Permutation;
use crate::tensor::DType;
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

impl Twin for Gather {
    /// Fails where the state or the list points past the data.
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let (state, (list, data)) = (reads[0], reads[1..].split_at(usize::from(self.listed)));
        let list = list.first().copied();
        let (cursor, rows) = (state[STATE_CURSOR] as usize, state[STATE_ROWS] as usize);
        let held = data.iter().zip(&self.fields).map(|(d, f)| d.len().checked_div(f.field.words()).unwrap_or(usize::MAX)).min();
        let held = held.unwrap_or(usize::MAX);
        // a list tells row by row
        if cursor + self.batch > rows || list.is_none() && rows > held {
            let problem = format!("rows {cursor} to {} of an order of {rows}, over {held} rows of data", cursor + self.batch);
            return Err(fault("the gather of a batch", problem));
        }
        let epoch = state[STATE_EPOCH];
        let seed = u64::from(state[STATE_SEED_HI]) << 32 | u64::from(state[STATE_SEED_LO]);
        let order = (state[STATE_SHUFFLE] != 0).then(|| Permutation::new(state[STATE_ROWS], seed, epoch));
        let beyond = AtomicBool::new(false);
        let mut widths = [0; WRITES];
        widths.iter_mut().zip(&self.fields).for_each(|(w, f)| *w = width(&f.field));
        let cost = 30.0 + NUMBER * widths.iter().sum::<usize>() as f64;
        // rows that become f16 are made here first
        let mut beside = [const { Vec::<u32>::new() }; MOST];
        let workers = &mut beside[..parts(cost * self.batch as f64, threads.min(MOST))];
        let mut steps = widths.map(|w| 2 * w);
        self.fields.iter().zip(&mut steps).filter(|(f, _)| f.half).for_each(|(_, s)| *s /= 2);
        // two rows of halves fill whole words
        fork_halves(workers, 0..self.batch, 2, steps, writes, &|beside: &mut Vec<u32>, batch: Range<usize>, mut w: Writes<'_>| {
            let mut places = [0; AHEAD];
            for (group, first) in batch.clone().step_by(AHEAD).enumerate() {
                let places = &mut places[..AHEAD.min(batch.end - first)];
                for (at, place) in (cursor + first..).zip(&mut *places) {
                    let permuted = order.map_or(at, |o| o.at(at as u32) as usize);
                    let row_of = |list| listed_row(list, at as u32, permuted as u32, epoch).map_or(usize::MAX, |r| r as usize);
                    *place = list.map_or(permuted, row_of);
                }
                if places.iter().any(|place| *place >= held) {
                    return beyond.store(true, Ordering::Relaxed);
                }
                self.fields.iter().zip(data).for_each(|(f, from)| touch(from, f.field.words(), places));
                for (i, &source) in (group * AHEAD..).zip(&*places) {
                    for (((f, from), to), &width) in self.fields.iter().zip(data).zip(&mut w).zip(&widths) {
                        let words = f.field.words();
                        let from = &from[source * words..][..words];
                        if f.half {
                            beside.resize(width.max(beside.len()), 0);
                            one_row(&f.field, from, &mut beside[..width]);
                            put(to, true, i * width, &f32s(beside)[..width]);
                        } else {
                            one_row(&f.field, from, &mut to[i * width..][..width]);
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
fn touch(from: &[u32], words: usize, rows: &[usize]) {
    let mut sum = 0u32;
    for &row in rows {
        let row = &from[row * words..][..words];
        row.iter().step_by(LINE).take(LINES).for_each(|w| sum ^= w);
    }
    std::hint::black_box(sum);
}

/// A row of a field, from stored to batch.
fn one_row(f: &Field, from: &[u32], to: &mut [u32]) {
    if f.stored == DType::U8 {
        // in memory the first byte of a word is its lowest: the order of bytes in a row
        let bytes = from.iter().flat_map(|w| w.to_le_bytes());
        match (f.one_hot, f.keep_integer) {
            (Some(classes), _) => bytes.zip(to.chunks_exact_mut(classes.max(1))).for_each(|(b, to)| one_hot(b.into(), to)),
            (None, true) => to.iter_mut().zip(bytes).for_each(|(t, b)| *t = b.into()),
            (None, false) => wide(ScaleBytes { f, from, to: f32s_mut(to) }),
        }
        return;
    }
    match (f.one_hot, f.keep_integer) {
        (Some(classes), _) => from.iter().zip(to.chunks_exact_mut(classes.max(1))).for_each(|(&v, to)| one_hot(v, to)),
        (None, true) => to.copy_from_slice(from),
        (None, false) => {
            let real = f.stored == DType::F32;
            let number = |v: u32| if real { f32::from_bits(v) } else { v as f32 };
            f32s_mut(to).iter_mut().zip(from).for_each(|(t, &v)| *t = scaled(f, number(v)));
        }
    }
}

fn one_hot(class: u32, to: &mut [u32]) {
    to.fill(0);
    if let Some(t) = to.get_mut(class as usize) {
        *t = 1.0f32.to_bits();
    }
}

#[inline(always)]
fn scaled(f: &Field, v: f32) -> f32 {
    if f.shift == 0.0 { v * f.scale } else { v * f.scale + f.shift }
}

struct ScaleBytes<'a> {
    f: &'a Field,
    from: &'a [u32],
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for ScaleBytes<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let ScaleBytes { f, from, to } = self;
        if cfg!(target_endian = "little") {
            let bytes: &[u8] = bytemuck::cast_slice(from);
            for (t, &b) in to.iter_mut().zip(bytes) {
                *t = scaled(f, f32::from(b));
            }
        } else {
            to.iter_mut().zip(from.iter().flat_map(|w| w.to_le_bytes())).for_each(|(t, b)| *t = scaled(f, f32::from(b)));
        }
    }
}
