//! The index of the largest value along an axis.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};

const WG: usize = 64;

/// The index of the largest over the middle of `[outer, length, inner]`: of all, of those in each piece, or of some candidates. Buffers: input,
/// candidates (u32) where there are some, result (u32).
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
    /// The first NaN is the largest; else none ever is, unless it comes first.
    pub nan: bool,
}

impl ArgMax {
    /// Most values that one lane goes along.
    pub const LONG: usize = 16_384;
    /// Values of a piece of more, at least.
    pub const PIECE: usize = 2048;

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
        s.number("WG", WG);
        s.line("fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }");
        let above = if self.nan { "!is_nan(top) && (is_nan(v) || v > top)" } else { "v > top" };
        s.line(format!("fn above(v: f32, top: f32) -> bool {{ return {above}; }}"));
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

    /// A thread a result.
    fn grid(&self) -> [u32; 3] {
        fold(self.items().div_ceil(WG))
    }

    fn turns(&self) -> usize {
        self.piece()
    }

    fn flops(&self) -> u64 {
        flops(self.looked(), 1)
    }
}
