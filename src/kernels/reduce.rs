//! Sums, means and maxima over an axis: a formula over the operands, then a tree of partial results in a fixed order.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::Halves;
use super::lib::halves::widened;
use super::lib::source::{MATH, Source, shader};
use super::lib::target::Target;
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
    /// Partial sums of a lane: see [`Reduce::parts_for`].
    pub parts: usize,
    /// The largest term in place of the sum; no lanes share it.
    pub max: bool,
    /// Terms are summed as differences from the row's first one, which the mean is added to.
    pub from_first: bool,
    /// What is f16 of the inputs.
    pub halves: Halves,
}

/// The sum, the mean or the largest over the middle of `[outer, length, inner]`. Buffers: inputs, output.
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
    /// Pieces that a sum is cut into; the result is then `[outer, pieces, inner]`.
    pub pieces: usize,
    /// Divides each sum.
    pub divisor: usize,
    /// The inputs.
    pub inputs: Vec<Term>,
    /// The first element of the result.
    pub output: usize,
}

impl Reduce {
    /// Longest sum of one lane where sums are not cut because they are few. Whatever is longer is cut, however many rows there are: many lanes
    /// then share the work, and none turns long ([`MOST_TURNS`](super::MOST_TURNS)).
    pub const LONG: usize = 16_384;
    /// Terms of a piece of such a one.
    const PIECE: usize = 1024;

    /// Into how many pieces the sums over the middle of `[outer, length, inner]` are cut, for the target; `rows` is outer times inner. Or
    /// what the largest are of: no lanes share those.
    pub fn pieces_for(target: Target, rows: usize, length: usize, inner: usize, max: bool) -> usize {
        let (enough, piece) = match target {
            Target::Gpu => (64, 4096),
            Target::Software | Target::Lanes8 => (16, 512),
        };
        let least = length.div_ceil(Self::LONG);
        if inner == 1 && rows < enough {
            return if length <= 2 * piece { 1 } else { length.div_ceil(piece).min(1024).max(least) };
        }
        // many lanes share what lies side by side
        let shared = if max { 1 } else { Self::group_for(target, length, inner) };
        if length <= Self::LONG * shared { 1 } else { length.div_ceil(Self::PIECE * shared).min(1024).max(least / shared) }
    }

    /// Lanes that share a piece, for the target: only long contiguous sums are shared.
    pub fn group_for(target: Target, length: usize, inner: usize) -> usize {
        if inner == 1 && length >= 64 { target.group() } else { 1 }
    }

    /// Partial sums of a lane that has so many terms to itself: 16 sums of every sixteenth term each, added in pairs, and then the terms that
    /// are left. They err as sums of a sixteenth of the terms do, and a lane turns a sixteenth as often. A largest one errs nowhere.
    pub fn parts_for(group: usize, terms: usize, max: bool) -> usize {
        if group == 1 && !max && terms >= 64 { 16 } else { 1 }
    }

    fn wg(&self) -> usize {
        self.spec.group.max(64)
    }

    /// Terms of a piece.
    pub fn piece(&self) -> usize {
        self.length.div_ceil(self.pieces)
    }
}

impl Archetype for Reduce {
    fn name(&self) -> String {
        "reduce".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", self.wg()).flag("MAX", self.spec.max).file(MATH);
        s.joins(self.spec.group, "f32", if self.spec.max { "return safe_max(a, b);" } else { "return a + b;" });
        s.line("fn term(row: u32, r: u32) -> f32 {\n    let o = row / d.inner;\n    let i = row % d.inner;");
        for i in 0..self.inputs.len() {
            let place = format!("in{i}[d.in{i}_offset + o * d.in{i}_outer + r * d.in{i}_along + i * d.in{i}_inner]");
            s.line(format!("    let x{i} = {};", widened(self.spec.halves.input(i), false, place)));
        }
        let names: Vec<String> = (0..self.inputs.len()).map(|i| format!("x{i}")).collect();
        let printed = self.spec.f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end()).line(format!("    return {};\n}}", printed.outputs[0]));
        let less = if self.spec.from_first { "v - shift" } else { "v" };
        s.flag("FROM_FIRST", self.spec.from_first).line(format!("fn less(v: f32, shift: f32) -> f32 {{ return {less}; }}"));
        partial_sums(&mut s, self.spec.parts);
        s.line("fn store(item: u32, value: f32) { out[d.out_offset + item] = value; }");
        s.finish(shader!("reduce.wgsl"))
    }

    /// Inputs, output.
    fn bindings(&self) -> Vec<Binding> {
        let outer = self.rows.checked_div(self.inner).unwrap_or(0);
        let empty = self.rows * self.length == 0;
        let input = |(i, t): (usize, &Term)| {
            let steps = [(outer, t.outer), (self.length, t.along), (self.inner, t.inner)];
            let last: usize = steps.iter().map(|(d, step)| d.saturating_sub(1) * step).sum();
            let moved: usize = steps.iter().filter(|s| s.1 > 0).map(|s| s.0).product();
            let span = t.offset..t.offset + if empty { 0 } else { last + 1 };
            Binding::read(format!("in{i}"), Element::float(self.spec.halves.input(i)), span).moving(if empty { 0 } else { moved })
        };
        let out = Binding::write("out", Element::F32, self.output..self.output + self.rows * self.pieces);
        self.inputs.iter().enumerate().map(input).chain([out]).collect()
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("rows", self.rows).u32("length", self.length).u32("pieces", self.pieces).u32("piece", self.piece());
        let d = d.f32("divisor", self.divisor as f32).u32("inner", self.inner).u32("out_offset", self.output);
        self.inputs.iter().enumerate().fold(d, |d, (i, t)| {
            let d = d.u32(format!("in{i}_offset"), t.offset).u32(format!("in{i}_outer"), t.outer);
            d.u32(format!("in{i}_along"), t.along).u32(format!("in{i}_inner"), t.inner)
        })
    }

    /// A group for every piece.
    fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.pieces * self.spec.group).div_ceil(self.wg()))
    }

    fn turns(&self) -> usize {
        let lane = self.piece().div_ceil(self.spec.group);
        lane / self.spec.parts + self.spec.parts
    }

    fn flops(&self) -> u64 {
        flops(self.rows * self.length, 1 + self.spec.f.flops())
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        Some((&self.spec.f, self.rows * self.length))
    }
}

/// `begin`, `turn` and `joined`: a line for each partial sum, as a loop over them would count as turns of its own.
fn partial_sums(s: &mut Source, parts: usize) {
    s.number("PARTS", parts);
    if parts == 1 {
        s.line("fn begin(v: f32) {}\nfn turn(row: u32, r: u32, shift: f32) {}\nfn joined() -> f32 { return 0.0; }");
        return;
    }
    (0..parts).for_each(|p| _ = s.line(format!("var<private> p{p}: f32;")));
    let lines = |f: &dyn Fn(usize) -> String| (0..parts).map(f).collect::<String>();
    s.line(format!("fn begin(v: f32) {{\n{}}}", lines(&|p| format!("    p{p} = v;\n"))));
    let turn = |p| format!("    p{p} = join(p{p}, less(term(row, r + {p}u), shift));\n");
    s.line(format!("fn turn(row: u32, r: u32, shift: f32) {{\n{}}}", lines(&turn)));
    let mut sums: Vec<String> = (0..parts).map(|p| format!("p{p}")).collect();
    while sums.len() > 1 {
        sums = sums.chunks(2).map(|two| format!("join({})", two.join(", "))).collect();
    }
    s.line(format!("fn joined() -> f32 {{ return {}; }}", sums[0]));
}
