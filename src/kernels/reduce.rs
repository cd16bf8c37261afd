use super::halves::{element, widened};
use super::source::{MATH, Source};
use super::{Access, Halves, Profile, fold, to_words};
use crate::expr::Expr;

/// One input of a reduction, read at (outer, r, inner).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// First element.
    pub offset: usize,
    /// Step from one outer index to the next.
    pub outer: usize,
    /// Step along the reduced axis.
    pub along: usize,
    /// Step from one inner index to the next.
    pub inner: usize,
}

/// What makes a reduction's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReduceSpec {
    /// The formula of a term.
    pub f: Expr,
    /// Lanes that share a piece.
    pub group: usize,
    /// The largest term in place of the sum; no lanes share it.
    pub max: bool,
    /// What is f16 of the inputs.
    pub halves: Halves,
}

/// The sum, or the largest, over the middle of `[outer, length, inner]`, times a factor. Buffers: inputs, output.
#[derive(Debug, Clone)]
pub struct Reduce {
    /// Its pipeline.
    pub spec: ReduceSpec,
    /// Rows of the result: outer times inner.
    pub rows: usize,
    /// The inner extent.
    pub inner: usize,
    /// Terms of a sum.
    pub length: usize,
    /// Pieces that a sum is cut into; the result is then `[rows, pieces]`.
    pub pieces: usize,
    /// Multiplies each sum.
    pub scale: f32,
    /// The inputs.
    pub inputs: Vec<Term>,
    /// The first element of the result.
    pub output: usize,
}

impl Reduce {
    /// Into how many pieces a long sum of few rows is cut, for the profile.
    pub fn pieces_for(profile: Profile, rows: usize, length: usize) -> usize {
        let (enough, piece) = match profile {
            Profile::Gpu => (64, 4096),
            Profile::Software | Profile::Lanes8 => (16, 512),
        };
        if rows >= enough || length <= 2 * piece { 1 } else { length.div_ceil(piece).min(1024) }
    }

    /// Lanes that share a piece, for the profile: only long contiguous sums are shared.
    pub fn group_for(profile: Profile, length: usize, inner: usize) -> usize {
        if inner == 1 && length >= 64 { profile.group() } else { 1 }
    }

    fn wg(&self) -> usize {
        self.spec.group.max(64)
    }

    /// Terms of a piece.
    pub fn piece(&self) -> usize {
        self.length.div_ceil(self.pieces)
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", self.wg()).group(self.spec.group);
        for i in 0..self.inputs.len() {
            s.buffer(&format!("in{i}"), Access::Read, element(self.spec.halves.input(i), false));
        }
        s.buffer("out", Access::Write, "f32").line(MATH).flag("MAX", self.spec.max);
        let join = if self.spec.max { "safe_max(a, b)" } else { "a + b" };
        s.line(format!("fn join(a: f32, b: f32) -> f32 {{ return {join}; }}"));
        s.line("fn term(row: u32, r: u32) -> f32 {\n    let o = row / dim(5u);\n    let i = row % dim(5u);");
        for i in 0..self.inputs.len() {
            let at = 7 + 4 * i;
            let place = format!("in{i}[dim({at}u) + o * dim({}u) + r * dim({}u) + i * dim({}u)]", at + 1, at + 2, at + 3);
            s.line(format!("    let x{i} = {};", widened(self.spec.halves.input(i), false, place)));
        }
        let names: Vec<String> = (0..self.inputs.len()).map(|i| format!("x{i}")).collect();
        let printed = self.spec.f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end()).line(format!("    return {};\n}}", printed.outputs[0]));
        s.line("fn store(item: u32, value: f32) { out[dim(6u) + item] = value; }");
        s.finish(include_str!("../../shaders/reduce.wgsl"))
    }

    /// Inputs, output.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read; self.inputs.len()];
        a.push(Access::Write);
        a
    }

    /// Rows, length, pieces, piece, scale, inner, output, then the inputs.
    pub fn dims(&self) -> Vec<u32> {
        let mut d = to_words([self.rows, self.length, self.pieces, self.piece()]);
        d.push(self.scale.to_bits());
        d.extend(to_words([self.inner, self.output]));
        for t in &self.inputs {
            d.extend(to_words([t.offset, t.outer, t.along, t.inner]));
        }
        d
    }

    /// A group for every piece.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.pieces * self.spec.group).div_ceil(self.wg()))
    }
}
