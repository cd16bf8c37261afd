//! f16 in memory, f32 in the twins: operands are widened before a launch, results rounded to nearest behind it. Two halves lie in a word.

use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::kernels::{Gemm, Halves, Kernel};
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

/// Whether the twin reads and writes this one as it is stored, and needs no f32 beside.
pub(crate) fn native(kernel: &Kernel) -> bool {
    // a product's are widened piece by piece
    matches!(kernel, Kernel::Map(_) | Kernel::Reduce(_) | Kernel::Gemm(_) | Kernel::Gather(_))
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

/// A part of a product that is computed at once: all that is f32 beside at a time. Cut by the shape alone, so that threads change no bit.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The part, its f16 operands at the beginning of where they are widened to.
    pub gemm: Gemm,
    /// The elements of A and of B that are widened first.
    pub widen: [Option<Range<usize>>; 2],
    /// Its rows of the product.
    pub rows: Range<usize>,
    /// It adds to what the pieces before it left.
    pub adds: bool,
}

/// Rows, or terms, of a piece.
const PIECE: usize = 512;

/// The pieces of a product that reads or stores f16; none for other kernels.
pub(crate) fn pieces(kernel: &Kernel) -> Vec<Piece> {
    let Kernel::Gemm(g) = kernel else { return vec![] };
    let halves = &g.spec.halves;
    if *halves == Halves::default() {
        return vec![];
    }
    let whole = !(0..g.outputs.len()).any(|o| halves.output(o)) && g.spec.epilogue.is_identity();
    let by_terms = g.batch == 1 && g.spec.ta && !g.spec.tb && whole;
    let by_rows = g.batch == 1 && !g.spec.ta;
    let extent = if by_terms { g.k } else { g.m };
    let step = if by_terms || by_rows { PIECE } else { extent.max(1) };
    let mut out: Vec<Piece> = Vec::new();
    for first in (0..extent).step_by(step) {
        let last = extent.min(first + step);
        let mut own = g.clone();
        own.a.offset += if by_terms || by_rows { first * g.a.pitch } else { 0 };
        if by_terms {
            own.k = last - first;
            own.b.offset += first * g.b.pitch;
        } else {
            own.m = last - first;
            own.extras.iter_mut().for_each(|e| e.offset += first * e.row);
        }
        let spans = crate::cpu::gemm::spans(&own);
        let fresh = |i: usize| halves.input(i) && (i == 0 || by_terms || first == 0);
        let widen = [0, 1].map(|i| fresh(i).then(|| spans[i].clone()));
        for (i, x) in [&mut own.a, &mut own.b].into_iter().enumerate().filter(|(i, _)| halves.input(*i)) {
            x.offset = if widen[i].is_some() || i == 1 { 0 } else { x.offset };
        }
        out.push(Piece { gemm: own, widen, rows: if by_terms { 0..g.m } else { first..last }, adds: by_terms && first > 0 });
    }
    out
}
