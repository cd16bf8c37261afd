//! f16 in memory, f32 in the twins: operands are widened before a launch, results rounded to nearest behind it. Two halves lie in a word.

use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::expr::ahead;
use crate::kernels::Halves;
pub(crate) use crate::tensor::{f16s, f16s_mut};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// Nanoseconds of one element on its way.
const ELEMENT: f64 = 0.15;
/// Words that are cut off together.
const GRAIN: usize = 128;

/// The elements of an operand, as they are stored.
#[derive(Clone, Copy)]
pub(crate) enum Elements<'a> {
    Whole(&'a [f32]),
    Half(&'a [f16]),
}

impl<'a> Elements<'a> {
    pub(crate) fn new(words: &'a [u32], half: bool) -> Self {
        if half { Elements::Half(f16s(words)) } else { Elements::Whole(f32s(words)) }
    }

    pub(crate) fn one(&self, at: usize) -> f32 {
        match self {
            Elements::Whole(x) => x[at],
            Elements::Half(x) => x[at].to_f32(),
        }
    }

    /// As many elements from `at` on as the row has: where they lie, or in the row.
    pub(crate) fn lend(&self, row: &mut [f32], at: usize) -> Option<&'a [f32]> {
        match self {
            Elements::Whole(x) => Some(&x[at..][..row.len()]),
            Elements::Half(_) => {
                self.run(row, at, 1);
                None
            }
        }
    }

    /// Asks for so many elements from `at` on, if they are there and f32.
    pub(crate) fn ahead(&self, at: usize, len: usize) {
        if let Elements::Whole(x) = self
            && let Some(next) = x.get(at..at + len)
        {
            ahead(next);
        }
    }

    /// `row[j] = self[at + j * step]`
    pub(crate) fn run(&self, row: &mut [f32], at: usize, step: usize) {
        match (self, step) {
            (_, 0) => row.fill(self.one(at)),
            (Elements::Whole(x), 1) => row.copy_from_slice(&x[at..][..row.len()]),
            (Elements::Half(x), 1) => x[at..][..row.len()].convert_to_f32_slice(row),
            (Elements::Whole(x), _) => row.iter_mut().zip(x[at..].iter().step_by(step)).for_each(|(r, &v)| *r = v),
            (Elements::Half(x), _) => row.iter_mut().zip(x[at..].iter().step_by(step)).for_each(|(r, v)| *r = v.to_f32()),
        }
    }
}

/// Puts f32 from element `at` of a result on, as it is stored.
pub(crate) fn put(to: &mut [u32], half: bool, at: usize, row: &[f32]) {
    if half {
        f16s_mut(to)[at..][..row.len()].convert_from_f32_slice(row);
    } else {
        f32s_mut(to)[at..][..row.len()].copy_from_slice(row);
    }
}

/// These elements of the results that are f32; of others none.
pub(crate) fn whole<'w>(w: &'w mut Writes<'_>, halves: &Halves, results: usize, elements: Range<usize>) -> [&'w mut [f32]; WRITES] {
    let mut each = w.iter_mut().take(results).enumerate();
    std::array::from_fn(|_| match each.next() {
        Some((o, to)) if !halves.output(o) => &mut f32s_mut(to)[elements.clone()],
        _ => &mut [],
    })
}

/// The results from this element on, those that are f32 and those that are f16.
pub(crate) fn split<'w>(
    w: &'w mut Writes<'_>,
    halves: &Halves,
    results: usize,
    at: usize,
) -> ([&'w mut [f32]; WRITES], [&'w mut [f16]; WRITES]) {
    let mut found = (<[&mut [f32]; WRITES]>::default(), <[&mut [f16]; WRITES]>::default());
    for (o, to) in w.iter_mut().take(results).enumerate() {
        if halves.output(o) {
            found.1[o] = &mut f16s_mut(to)[at..];
        } else {
            found.0[o] = &mut f32s_mut(to)[at..];
        }
    }
    found
}

/// The words that hold these halves.
pub(crate) fn words_of(elements: &Range<usize>) -> Range<usize> {
    elements.start / 2..elements.end.div_ceil(2)
}

/// `to = from`, from element `first` on.
pub(crate) fn widen(from: &[u32], first: usize, to: &mut [u32], threads: usize) {
    let mut workers = vec![(); parts(ELEMENT * to.len() as f64, threads)];
    let (from, units) = (f16s(from), 0..to.len());
    let mut writes = Writes::default();
    writes[0] = to;
    fork(&mut workers, units, 2 * GRAIN, [1; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        let [to, ..] = w;
        from[first + part.start..][..part.len()].convert_to_f32_slice(f32s_mut(to));
    });
}

/// `to = from`, rounded; an odd end leaves the last half as it is.
pub(crate) fn round(from: &[u32], to: &mut [u32], threads: usize) {
    let mut workers = vec![(); parts(ELEMENT * from.len() as f64, threads)];
    let (from, units) = (f32s(from), 0..to.len());
    let mut writes = Writes::default();
    writes[0] = to;
    fork(&mut workers, units, GRAIN, [1; WRITES], writes, &|_: &mut (), part: Range<usize>, w: Writes<'_>| {
        let [to, ..] = w;
        let from = &from[2 * part.start..from.len().min(2 * part.end)];
        f16s_mut(to)[..from.len()].convert_from_f32_slice(from);
    });
}
