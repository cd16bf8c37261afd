//! How a product that reads or stores f16 is cut: what is f32 beside it at a time.

use crate::kernels::{Archetype, Gemm, Halves, Operand};
use std::ops::Range;

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

/// The pieces of a product that reads or stores f16; none of another.
pub(crate) fn pieces(g: &Gemm) -> Vec<Piece> {
    let halves = &g.spec.halves;
    if *halves == Halves::default() {
        return vec![];
    }
    let whole = !(0..g.outputs.len()).any(|o| halves.output(o)) && g.spec.epilogue.is_identity();
    let matrices = [g.spec.a, g.spec.b] == [Operand::Matrix; 2] && g.matrices() == 1;
    let by_terms = matrices && g.spec.ta && !g.spec.tb && whole;
    let by_rows = matrices && !g.spec.ta;
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
        let bindings = own.bindings();
        let fresh = |i: usize| halves.input(i) && (i == 0 || by_terms || first == 0);
        let widen = [0, 1].map(|i| fresh(i).then(|| bindings[i].span.clone()));
        for (i, x) in [&mut own.a, &mut own.b].into_iter().enumerate().filter(|(i, _)| halves.input(*i)) {
            x.offset = if widen[i].is_some() || i == 1 { 0 } else { x.offset };
        }
        out.push(Piece { gemm: own, widen, rows: if by_terms { 0..g.m } else { first..last }, adds: by_terms && first > 0 });
    }
    out
}
