//! The twin of `shaders/map.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::draws::{DRAW, drawn};
use super::lib::fork::{WRITES, Writes, f32s_mut, fork_halves};
use super::lib::halves::{Elements, put};
use super::optimizer::lend;
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator, Row};
use crate::kernels::{Map, Read, Strided};
use std::ops::Range;

impl Twin for Map {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        // the state comes first where anything is drawn
        let (state, reads) = reads.split_at(usize::from(!self.draws.is_empty()));
        let mut widths = [2; WRITES];
        widths.iter_mut().enumerate().filter(|(o, _)| self.spec.halves.output(*o)).for_each(|(_, w)| *w = 1);
        fork_halves(workers, 0..self.size(), CHUNK, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
            for first in units.clone().step_by(CHUNK) {
                let len = CHUNK.min(units.end - first);
                e.chunk_of(|i, row| {
                    if let Some(number) = i.checked_sub(self.inputs.len()) {
                        drawn(&mut row[..len], &self.draws[number], state[0], first);
                        return None;
                    }
                    if self.spec.integers.get(i).is_some_and(|of_u32| *of_u32) {
                        return integers(&mut row[..len], reads[i], &self.inputs[i], self.spec.reads[i], &self.shape, first);
                    }
                    let (from, s) = (Elements::new(reads[i], self.spec.halves.input(i)), &self.inputs[i]);
                    match self.spec.reads[i] {
                        Read::Flat => match from {
                            Elements::Whole(x) => return lend(row, &x[s.offset + first..][..len]),
                            half => half.run(&mut row[..len], s.offset + first, 1),
                        },
                        Read::One => row.fill(from.one(s.offset)),
                        Read::Strided | Read::PadBox => strided(&mut row[..len], &from, s, &self.shape, first),
                    }
                    None
                });
                for (o, out) in w.iter_mut().enumerate().take(self.outputs.len()) {
                    if self.spec.halves.output(o) {
                        put(out, true, first - units.start, &e.output(o)[..len]);
                    } else {
                        e.store(o, &mut f32s_mut(out)[first - units.start..][..len]);
                    }
                }
            }
        });
        Ok(())
    }

    fn work(&self) -> f64 {
        DRAW * (self.draws.len() * self.size()) as f64
    }

    fn takes_halves(&self) -> bool {
        true
    }
}

/// Elements `first..` of integers, as numbers.
fn integers<'a>(row: &mut [f32], from: &[u32], s: &Strided, read: Read, shape: &[usize], first: usize) -> Option<&'a Row> {
    match read {
        Read::Flat => row.iter_mut().zip(&from[s.offset + first..]).for_each(|(r, v)| *r = *v as f32),
        Read::One => row.fill(from[s.offset] as f32),
        Read::Strided | Read::PadBox => {
            strided(row, &Elements::new(from, false), s, shape, first);
            row.iter_mut().for_each(|v| *v = v.to_bits() as f32);
        }
    }
    None
}

/// Elements `first..` of the output's order, read along strides: a division for each run along the innermost axis.
fn strided(row: &mut [f32], from: &Elements<'_>, s: &Strided, shape: &[usize], first: usize) {
    let Some((&extent, outer)) = shape.split_last() else {
        return row.fill(from.one(s.offset)); // one element
    };
    let last = outer.len();
    let mut done = 0;
    while done < row.len() {
        let (mut rest, inner) = ((first + done) / extent, (first + done) % extent);
        let run = (extent - inner).min(row.len() - done);
        let out = &mut row[done..done + run];
        done += run;
        let Some(w) = &s.pad else {
            let mut at = s.offset + inner * s.strides[last];
            for (&d, &step) in outer.iter().zip(&s.strides).rev() {
                at += rest % d * step;
                rest /= d;
            }
            from.run(out, at, s.strides[last]);
            continue;
        };
        let (mut at, mut inside) = (s.offset, true);
        for axis in (0..last).rev() {
            let c = (rest % outer[axis]).wrapping_sub(w.before[axis]);
            inside &= c < w.size[axis];
            at += if inside { c * s.strides[axis] } else { 0 };
            rest /= outer[axis];
        }
        let fill = f32::from_bits(w.fill);
        // the part of the run that lies in the box
        let lo = w.before[last].clamp(inner, inner + run) - inner;
        let hi = (w.before[last] + w.size[last]).clamp(inner, inner + run) - inner;
        if !inside || lo >= hi {
            out.fill(fill);
            continue;
        }
        out[..lo].fill(fill);
        out[hi..].fill(fill);
        from.run(&mut out[lo..hi], at + (inner + lo - w.before[last]) * s.strides[last], s.strides[last]);
    }
}
