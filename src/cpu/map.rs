//! The twin of `shaders/map.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::draws::{DRAW, drawn};
use super::lib::fork::{Writes, fork_halves};
use super::lib::halves::{Elements, put, whole};
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Map, Read, Strided};
use std::ops::Range;

impl Twin for Map {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        // the state comes first where anything is drawn
        let (state, reads) = reads.split_at(usize::from(!self.draws.is_empty()));
        let halves = &self.spec.halves;
        let widths = std::array::from_fn(|o| if halves.output(o) { 1 } else { 2 });
        let piece = workers.first().map_or(CHUNK, Evaluator::piece);
        let each = self.size() / workers.len().max(1);
        let lies: Vec<Lies> = (0..self.inputs.len()).map(|i| Lies::of(self, i, reads, piece, each)).collect();
        fork_halves(workers, 0..self.size(), CHUNK, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
            for first in units.clone().step_by(piece) {
                let (len, own) = (piece.min(units.end - first), first - units.start);
                let load = |i: usize, row: &mut [f32]| {
                    if let Some(number) = i.checked_sub(self.inputs.len()) {
                        drawn(row, &self.draws[number], state[0], first);
                        return None;
                    }
                    if self.spec.integers.get(i).is_some_and(|of_u32| *of_u32) {
                        integers(row, reads[i], &self.inputs[i], self.spec.reads[i], &self.shape, first);
                        return None;
                    }
                    let (from, s) = (Elements::new(reads[i], halves.input(i)), &self.inputs[i]);
                    match (&lies[i], self.spec.reads[i]) {
                        (Lies::Densely, _) => {
                            from.ahead(s.offset + first + piece, piece.min(units.end.saturating_sub(first + piece)));
                            return from.lend(row, s.offset + first);
                        }
                        (Lies::Repeated(row), _) => return Some(&row[first % self.shape.last().copied().unwrap_or(1)..][..len]),
                        (_, Read::One) => row.fill(from.one(s.offset)),
                        _ if s.pad.is_none() => return along(row, &from, s, &self.shape, first),
                        _ => strided(row, &from, s, &self.shape, first),
                    }
                    None
                };
                e.run(len, load, &mut whole(&mut w, halves, self.outputs.len(), own..own + len));
                for o in (0..self.outputs.len()).filter(|o| halves.output(*o)) {
                    put(w[o], true, own, &e.output(o)[..len]);
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

    fn alike(&self, _formula: usize, input: usize) -> bool {
        self.spec.reads.get(input) == Some(&Read::One)
    }
}

/// How an operand is handed to the formula.
enum Lies {
    /// One element behind the other, as the result does: lent. Where another operand is repeated this one, too, has strides.
    Densely,
    /// A short row that is the same all over, as a value for each channel of images: so often one behind the other that whatever piece is lent.
    /// Copied run by run anew for each piece it would cost more than the formula.
    Repeated(Vec<f32>),
    /// Along strides, in a box, or one number for all.
    Apart,
}

impl Lies {
    fn of(k: &Map, i: usize, reads: &[&[u32]], piece: usize, units: usize) -> Lies {
        let (s, read) = (&k.inputs[i], k.spec.reads[i]);
        if read == Read::Flat || (read == Read::Strided && s.pad.is_none() && lies_densely(s, &k.shape)) {
            return Lies::Densely;
        }
        let (Some(&extent), Some((last, outer))) = (k.shape.last(), s.strides.split_last()) else { return Lies::Apart };
        let same = read == Read::Strided && s.pad.is_none() && outer.iter().all(|&step| step == 0);
        if !same || extent >= piece || units < 4 * piece || k.spec.integers.get(i).is_some_and(|of_u32| *of_u32) {
            return Lies::Apart;
        }
        let from = Elements::new(reads[i], k.spec.halves.input(i));
        let mut row = vec![0.0; (piece + extent).next_multiple_of(extent)];
        row.chunks_exact_mut(extent).for_each(|row| from.run(row, s.offset, *last));
        Lies::Repeated(row)
    }
}

/// Whether elements lie one behind the other in the order of this shape.
fn lies_densely(s: &Strided, shape: &[usize]) -> bool {
    let mut dense = 1;
    shape.iter().zip(&s.strides).rev().all(|(&extent, &step)| {
        let lies = extent == 1 || step == dense;
        dense *= extent;
        lies
    })
}

/// Elements `first..` of integers, as numbers.
fn integers(row: &mut [f32], from: &[u32], s: &Strided, read: Read, shape: &[usize], first: usize) {
    match read {
        Read::Flat => row.iter_mut().zip(&from[s.offset + first..]).for_each(|(r, v)| *r = *v as f32),
        Read::One => row.fill(from[s.offset] as f32),
        Read::Strided | Read::PadBox => {
            strided(row, &Elements::new(from, false), s, shape, first);
            row.iter_mut().for_each(|v| *v = v.to_bits() as f32);
        }
    }
}

/// As [`strided`], but where neighbours are read within one run they are lent.
fn along<'a>(row: &mut [f32], from: &Elements<'a>, s: &Strided, shape: &[usize], first: usize) -> Option<&'a [f32]> {
    if let (Some((&extent, outer)), Some(1)) = (shape.split_last(), s.strides.last())
        && first % extent + row.len() <= extent
    {
        return from.lend(row, place(s, outer, first / extent, first % extent));
    }
    strided(row, from, s, shape, first);
    None
}

/// Where element `inner` of run `outside` along the innermost axis is read.
fn place(s: &Strided, outer: &[usize], mut outside: usize, inner: usize) -> usize {
    let mut at = s.offset + inner * s.strides[outer.len()];
    for (&d, &step) in outer.iter().zip(&s.strides).rev() {
        at += outside % d * step;
        outside /= d;
    }
    at
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
            from.run(out, place(s, outer, rest, inner), s.strides[last]);
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
