//! The index of the largest value along an axis.

use super::lib::binding::{Access, Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::halves::element;
use super::lib::source::Source;

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

    /// Values of a piece, or candidates.
    pub fn piece(&self) -> usize {
        if self.candidates > 0 { self.candidates } else { self.length.div_ceil(self.pieces) }
    }

    /// Turns of the longest lane's loops.
    pub(super) fn turns(&self) -> usize {
        self.piece()
    }

    /// Input, candidates, result.
    pub fn bindings(&self) -> Vec<Binding> {
        let [from, to] = self.offsets;
        let candidates = self.outer * self.candidates * self.inner;
        let whole = self.outer * self.length * self.inner;
        let looked = if candidates > 0 { candidates } else { whole };
        let mut all = vec![Binding::read("x", Element::float(self.half), from..from + whole).moving(looked)];
        all.extend((candidates > 0).then(|| Binding::read("candidates", Element::U32, 0..candidates)));
        all.push(Binding::write("out", Element::U32, to..to + self.items()));
        all
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32", &self.dims());
        s.number("WG", WG).buffer("x", Access::Read, element(self.half, false));
        s.line("fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }");
        let above = if self.nan { "!is_nan(top) && (is_nan(v) || v > top)" } else { "v > top" };
        s.line(format!("fn above(v: f32, top: f32) -> bool {{ return {above}; }}"));
        let mut place = "c";
        if self.candidates > 0 {
            s.buffer("candidates", Access::Read, "u32");
            place = "candidates[(o * d.choices + c) * d.inner + i]";
        }
        s.line(format!("fn place(o: u32, i: u32, c: u32) -> u32 {{ return {place}; }}"));
        s.buffer("out", Access::Write, "u32");
        s.finish(include_str!("../../shaders/argmax.wgsl"))
    }
    /// Input, candidates, result.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read; 1 + usize::from(self.candidates > 0)];
        a.push(Access::Write);
        a
    }
    /// Its sizes.
    pub(crate) fn dims(&self) -> Dims {
        let [x, out] = self.offsets;
        let choices = if self.candidates > 0 { self.candidates } else { self.length };
        let d = Dims::new().u32("items", self.items()).u32("length", self.length).u32("inner", self.inner);
        let d = d.u32("x_offset", x).u32("out_offset", out).u32("pieces", self.pieces);
        d.u32("piece", self.piece()).u32("choices", choices)
    }
    /// A thread a result.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.items().div_ceil(WG))
    }
}
