//! The index of the largest value along an axis.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::lanes::{WG, shared};
use super::lib::source::{Source, shader};
use super::lib::target::Target;

/// The index of the largest over the middle of `[outer, length, inner]`: of all, of those in each piece, or of some candidates. The first NaN is the
/// largest. Buffers: input, candidates (u32) where there are some, result (u32).
#[derive(Debug, Clone)]
pub struct ArgMax {
    /// The outer extent.
    pub outer: usize,
    /// Values of which one is the largest.
    pub length: usize,
    /// The inner extent.
    pub inner: usize,
    /// Pieces that the middle is cut into: the result is `[outer, pieces, inner]`.
    pub pieces: usize,
    /// How many candidates each result has, `[outer, candidates, inner]`: indices, in rising order; 0 if all are.
    pub candidates: usize,
    /// First element of the input and of the result.
    pub offsets: [usize; 2],
    /// The input is f16.
    pub half: bool,
    /// Lanes that share a result, and how far apart they stand.
    pub lanes: [usize; 2],
}

impl ArgMax {
    /// Most values that one lane goes along.
    pub const LONG: usize = 16_384;
    /// Values of a piece of more, at least.
    pub const PIECE: usize = 2048;

    /// Into how many pieces the middle is cut: where one lane alone would turn long, or few results would leave most of a GPU idle.
    pub fn pieces(target: Target, [outer, length, inner]: [usize; 3]) -> usize {
        let [lanes, _] = Self::lanes_for(target, length, inner);
        let shared = if outer * inner < 64 { 1 } else { lanes };
        if length <= Self::LONG * shared { 1 } else { length.div_ceil((Self::PIECE * lanes.min(8)).max(length.div_ceil(Self::LONG))) }
    }

    /// The lanes that share so many values, or candidates.
    pub fn lanes_for(target: Target, length: usize, inner: usize) -> [usize; 2] {
        let (group, step) = if target == Target::Gpu { shared(length, inner) } else { (1, 1) };
        [group, step]
    }

    fn wg(&self) -> usize {
        if self.lanes[0] > 1 { WG } else { 64 }
    }

    /// Results.
    pub fn items(&self) -> usize {
        self.outer * self.pieces * self.inner
    }

    /// Values that are looked at.
    fn looked(&self) -> usize {
        self.outer * self.inner * if self.candidates > 0 { self.candidates } else { self.length }
    }

    /// Values of a piece, or candidates.
    pub fn piece(&self) -> usize {
        if self.candidates > 0 { self.candidates } else { self.length.div_ceil(self.pieces) }
    }
}

impl Archetype for ArgMax {
    fn name(&self) -> String {
        "argmax".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        let [group, step] = self.lanes;
        s.number("WG", self.wg()).number("GROUP", group).first(group, step);
        let mut place = "c";
        if self.candidates > 0 {
            place = "candidates[(o * d.choices + c) * d.inner + i]";
        }
        s.line(format!("fn place(o: u32, i: u32, c: u32) -> u32 {{ return {place}; }}"));
        s.finish(shader!("argmax.wgsl"))
    }

    /// Input, candidates, result.
    fn bindings(&self) -> Vec<Binding> {
        let [from, to] = self.offsets;
        let candidates = self.outer * self.candidates * self.inner;
        let whole = self.outer * self.length * self.inner;
        let mut all = vec![Binding::read("x", Element::float(self.half), from..from + whole).moving(self.looked())];
        all.extend((candidates > 0).then(|| Binding::read("candidates", Element::U32, 0..candidates)));
        all.push(Binding::write("out", Element::U32, to..to + self.items()));
        all
    }

    fn dims(&self) -> Dims {
        let [x, out] = self.offsets;
        let choices = if self.candidates > 0 { self.candidates } else { self.length };
        let d = Dims::new().u32("items", self.items()).u32("length", self.length).u32("inner", self.inner);
        let d = d.u32("x_offset", x).u32("out_offset", out).u32("pieces", self.pieces);
        d.u32("piece", self.piece()).u32("choices", choices)
    }

    /// A group of lanes a result.
    fn grid(&self) -> [u32; 3] {
        fold(self.items().div_ceil(self.wg() / self.lanes[0]))
    }

    fn turns(&self) -> usize {
        self.piece().div_ceil(self.lanes[0]) + 8
    }

    fn flops(&self) -> u64 {
        flops(self.looked(), 1)
    }
}
