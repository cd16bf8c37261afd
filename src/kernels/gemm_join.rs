//! The end of a product whose terms were cut into pieces.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};
use super::{Gemm, GemmSpec};
use crate::expr::Expr;

const WG: usize = 64;

/// `C = epilogue(sum of what the pieces came to)`, and the sum of their row sums. Buffers: the pieces' results with their row sums behind, extras,
/// the state if anything is drawn, outputs, row sums.
#[derive(Debug, Clone)]
pub struct GemmJoin {
    /// The whole product. Of A and B nothing is read.
    pub gemm: Gemm,
    /// How many pieces there are.
    pub pieces: usize,
}

impl GemmJoin {
    /// Elements of one piece's result.
    pub(crate) fn size(&self) -> usize {
        self.gemm.matrices() * self.gemm.m * self.gemm.n
    }

    /// Row sums of one piece.
    pub(crate) fn rows(&self) -> usize {
        if self.gemm.spec.row_sum { self.gemm.m } else { 0 }
    }

    /// Elements that a thread joins.
    fn lanes(&self) -> usize {
        if self.gemm.spec.vc { 4 } else { 1 }
    }
}

impl Archetype for GemmJoin {
    fn name(&self) -> String {
        "gemm_join".into()
    }

    fn source(&self) -> String {
        let GemmSpec { vc, epilogue, row_sum, .. } = &self.gemm.spec;
        let mut s = Source::new(Element::F32.by_fours(*vc), self);
        s.number("WG", WG).number("FOURS", self.lanes()).flag("ROW_SUM", *row_sum).math(epilogue);
        let one = if *vc { "parts[i / 4u][i % 4u]" } else { "parts[i]" };
        if !self.gemm.draws.is_empty() {
            s.random();
        }
        s.line(format!("fn part_of_row(i: u32) -> f32 {{ return {one}; }}"));
        self.gemm.stores(&mut s);
        s.finish(shader!("gemm_join.wgsl"))
    }

    /// The pieces, extras, the state, outputs, row sums.
    fn bindings(&self) -> Vec<Binding> {
        let parts = 0..self.pieces * (self.size() + self.rows());
        let mut all = vec![Binding::read("parts", Element::F32.by_fours(self.gemm.spec.vc), parts)];
        all.extend(self.gemm.ending(1));
        all
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("m", self.gemm.m).u32("n", self.gemm.n).u32("size", self.size() / self.lanes()).u32("pieces", self.pieces);
        self.gemm.sizes_of_ending(d)
    }

    /// A thread for every element or four.
    fn grid(&self) -> [u32; 3] {
        fold((self.size() / self.lanes()).div_ceil(WG))
    }

    fn turns(&self) -> usize {
        4 * self.pieces
    }

    fn flops(&self) -> u64 {
        flops(self.size(), self.pieces + self.gemm.spec.epilogue.flops())
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        self.gemm.formula()
    }
}
