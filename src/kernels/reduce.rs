//! Sums, means and maxima over an axis, several at once: a formula over the operands, then a tree of partial results in a fixed order.

mod lanes;

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::{Halves, widened};
use super::lib::join::Join;
use super::lib::source::{Source, shader};
use super::lib::target::Target;
use crate::expr::Expr;
pub use lanes::{Fours, Lanes};

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
    /// The formulas of a term, one for each result.
    pub f: Expr,
    /// How each result joins.
    pub joins: Vec<Join>,
    /// Whether the terms of variances are those of pieces.
    pub pieced: bool,
    /// How lanes share the sums.
    pub lanes: Lanes,
    /// The result through whose binding each is written: its own, or that of an earlier one in the same buffer.
    pub via: Vec<usize>,
    /// What is f16 of the inputs.
    pub halves: Halves,
}

/// The sums, means or largest over the middle of `[outer, length, inner]`. Buffers: inputs, outputs.
#[derive(Debug, Clone)]
pub struct Reduce {
    /// Its pipeline.
    pub spec: ReduceSpec,
    /// Rows of a result: outer times inner.
    pub rows: usize,
    /// The inner extent.
    pub inner: usize,
    /// Terms of a sum.
    pub length: usize,
    /// Pieces that a sum is cut into; a result is then `[outer, pieces, inner]`.
    pub pieces: usize,
    /// For how many each term stands, and how many that are in all: other than 1 and the length where pieces are joined.
    pub weights: [usize; 2],
    /// The inputs.
    pub inputs: Vec<Term>,
    /// The first element of each result.
    pub outputs: Vec<usize>,
}

impl Reduce {
    /// The most results of a launch: what their lanes join lies in workgroup memory, and a binding is needed for each.
    pub const MOST_RESULTS: usize = 4;

    /// Sums over the middle of `[outer, length, inner]` as the target's lanes share them, of so many pieces each.
    pub fn new(
        target: Target,
        f: Expr,
        joins: Vec<Join>,
        [outer, length, inner]: [usize; 3],
        pieces: usize,
        inputs: Vec<Term>,
        outputs: Vec<usize>,
    ) -> Self {
        let fours = Self::fours_for([outer, length, inner], &inputs, &outputs);
        let lanes = Lanes::of(target, length.div_ceil(pieces), inner, fours);
        let via = (0..outputs.len()).collect();
        let spec = ReduceSpec { f, joins, pieced: false, lanes, via, halves: Halves::default() };
        Reduce { spec, rows: outer * inner, inner, length, pieces, weights: [1, length], inputs, outputs }
    }

    /// With these inputs stored as f16.
    pub fn storing(mut self, halves: Halves) -> Self {
        self.spec.halves = halves;
        self
    }

    /// Of terms that stand for so many each, and for so many in all: of pieces.
    pub fn weighing(mut self, weights: [usize; 2]) -> Self {
        self.weights = weights;
        self.spec.pieced = self.spreads();
        if self.is_shifted() && self.spec.lanes.fours == Fours::Terms {
            self.spec.lanes.fours = Fours::No;
        }
        self
    }

    /// Terms of a piece.
    pub fn piece(&self) -> usize {
        let piece = self.length.div_ceil(self.pieces);
        if self.spec.lanes.fours == Fours::Terms { piece.next_multiple_of(4) } else { piece }
    }

    /// The vectors that these numbers make: of columns, of terms.
    fn vectors(&self) -> [usize; 2] {
        match self.spec.lanes.fours {
            Fours::No => [1, 1],
            Fours::Columns => [4, 1],
            Fours::Terms => [1, 4],
        }
    }

    /// Whether four numbers of an input are read at once.
    fn reads_fours(&self, t: &Term) -> bool {
        match self.spec.lanes.fours {
            Fours::No => false,
            Fours::Columns => t.inner == 1,
            Fours::Terms => t.along == 1,
        }
    }

    /// What vectors of four can hold where sums over the middle of `[outer, length, inner]` read these inputs and go to these elements.
    pub fn fours_for([_, length, inner]: [usize; 3], inputs: &[Term], outputs: &[usize]) -> Fours {
        let aligned = |numbers: [usize; 3]| numbers.iter().all(|n| n.is_multiple_of(4));
        let columns = |t: &Term| t.inner == 0 || t.inner == 1 && aligned([t.offset, t.outer, t.along]);
        let terms = |t: &Term| t.along == 0 || t.along == 1 && aligned([t.offset, t.outer, 0]);
        if inner > 1 && inner.is_multiple_of(4) && inputs.iter().all(columns) && outputs.iter().all(|o| o.is_multiple_of(4)) {
            Fours::Columns
        } else if inner == 1 && length >= 64 && length.is_multiple_of(4) && inputs.iter().all(terms) {
            Fours::Terms
        } else {
            Fours::No
        }
    }

    fn is_shifted(&self) -> bool {
        self.spec.joins.contains(&Join::MeanFromFirst)
    }

    fn spreads(&self) -> bool {
        self.spec.joins.contains(&Join::Variance)
    }

    /// A list of what `f` gives for the number of each result, and for how many terms they stand where there are variances.
    fn each(&self, count: &str, f: impl Fn(usize, Join) -> String) -> String {
        let count = self.spreads().then(|| count.to_string());
        self.spec.joins.iter().enumerate().map(|(k, &join)| f(k, join)).chain(count).collect::<Vec<_>>().join(", ")
    }
}

impl Archetype for Reduce {
    fn name(&self) -> String {
        "reduce".into()
    }

    fn source(&self) -> String {
        let ReduceSpec { f, lanes, via, .. } = &self.spec;
        let terms = lanes.fours == Fours::Terms;
        let mut s = Source::new(Element::F32.by_fours(lanes.fours != Fours::No), self);
        s.number("WG", lanes.workgroup()).number("STEP", lanes.step).number("PARTS", lanes.parts);
        s.flag("OPENED", self.spec.joins.iter().any(|j| j.looks_first())).math(f);
        s.line(format!("struct Joined {{ {} }}", self.each("n: f32", |k, _| format!("v{k}: V"))));
        let join = |k: usize, join| match join {
            Join::Max => format!("safe_max(a.v{k}, b.v{k})"),
            Join::Sum | Join::Mean | Join::MeanFromFirst => format!("a.v{k} + b.v{k}"),
            Join::Variance => format!("a.v{k} + b.v{k} + apart(a.v{}, a.n, b.v{0}, b.n)", k.saturating_sub(1)),
        };
        if self.spreads() {
            // Chan's: by what two means lie apart, of sums of so many terms
            s.line("fn apart(a: V, n: f32, b: V, m: f32) -> V {\n    let delta = b * (1.0 / max(m, 1.0)) - a * (1.0 / max(n, 1.0));");
            s.line("    return select(V(0.0), delta * delta * (n * m / max(n + m, 1.0)), n > 0.0 && m > 0.0);\n}");
        }
        s.joins(lanes.group, &format!("return Joined({});", self.each("a.n + b.n", join)));
        self.terms(&mut s);
        let start = |k, join| if join == Join::Max { format!("opening.v{k}") } else { "V(0.0)".into() };
        s.line(format!("fn start(opening: Joined) -> Joined {{ return Joined({}); }}", self.each("0.0", start)));
        let less = |k, join| match join {
            Join::MeanFromFirst => format!("(t.v{k} - opening.v{k}) * weight(r, r + 1u)"),
            Join::Sum | Join::Mean | Join::Max => format!("t.v{k}"),
            Join::Variance if self.spec.pieced => format!("t.v{k} * weight(r, r + 1u)"),
            Join::Variance => "V(0.0)".into(),
        };
        let each = if self.spec.pieced { "weight(r, r + 1u)" } else { "1.0" };
        if self.is_shifted() {
            s.line("fn weight(first: u32, last: u32) -> f32 { return f32(min(last * d.each, d.total) - min(first * d.each, d.total)); }");
        }
        s.line(format!("fn less(t: Joined, r: u32, opening: Joined) -> Joined {{ return Joined({}); }}", self.each(each, less)));
        partial_sums(&mut s, lanes.parts);
        s.line("fn store(item: u32, first: u32, last: u32, opening: Joined, all: Joined) {");
        if terms {
            s.line(format!("    let half = join(all, Joined({}));", self.each("all.n", |k, _| format!("all.v{k}.zwxy"))));
            s.line(format!("    let sum = join(half, Joined({}));", self.each("half.n", |k, _| format!("half.v{k}.yxwz"))));
        } else {
            s.line("    let sum = all;");
        }
        for (k, join) in self.spec.joins.iter().enumerate() {
            let value = match (join, terms) {
                (Join::MeanFromFirst, false) => format!("opening.v{k} + sum.v{k} / max(weight(first, last), 1.0)"),
                (Join::MeanFromFirst, true) => format!("(opening.v{k} + sum.v{k} / max(4.0 * weight(first, last), 1.0)).x"),
                (Join::Variance, false) => format!("sum.v{k} / max(sum.n, 1.0)"),
                (Join::Variance, true) => format!("(sum.v{k} / max(sum.n, 1.0)).x"),
                (Join::Mean, false) => format!("sum.v{k} / d.count"),
                (Join::Mean, true) => format!("sum.v{k}.x / d.count"),
                (Join::Sum | Join::Max, false) => format!("sum.v{k}"),
                (Join::Sum | Join::Max, true) => format!("sum.v{k}.x"),
            };
            s.line(format!("    out{}[d.out{k}_offset + item] = {value};", via[k]));
        }
        s.line("}");
        s.finish(shader!("reduce.wgsl"))
    }

    /// Inputs, outputs.
    fn bindings(&self) -> Vec<Binding> {
        let outer = self.rows.checked_div(self.inner).unwrap_or(0);
        let empty = self.rows * self.length == 0;
        let input = |(i, t): (usize, &Term)| {
            let steps = [(outer, t.outer), (self.length, t.along), (self.inner, t.inner)];
            let last: usize = steps.iter().map(|(d, step)| d.saturating_sub(1) * step).sum();
            let moved: usize = steps.iter().filter(|s| s.1 > 0).map(|s| s.0).product();
            let span = t.offset..t.offset + if empty { 0 } else { last + 1 };
            let of = Element::float(self.spec.halves.input(i)).by_fours(self.reads_fours(t));
            Binding::read(format!("in{i}"), of, span).moving(if empty { 0 } else { moved })
        };
        let inputs = self.inputs.len();
        let output = |(k, &o): (usize, &usize)| {
            let of = Element::F32.by_fours(self.spec.lanes.fours == Fours::Columns);
            Binding::write(format!("out{k}"), of, o..o + self.rows * self.pieces).bound_through(inputs + k, inputs + self.spec.via[k])
        };
        self.inputs.iter().enumerate().map(input).chain(self.outputs.iter().enumerate().map(output)).collect()
    }

    /// Counted in vectors where there are any.
    fn dims(&self) -> Dims {
        let [columns, terms] = self.vectors();
        let d = Dims::new().u32("rows", self.rows / columns).u32("length", self.length / terms).u32("pieces", self.pieces);
        let mut d = d.u32("piece", self.piece() / terms).u32("inner", self.inner / columns);
        if self.is_shifted() {
            d = d.u32("each", self.weights[0]).u32("total", self.weights[1] / terms);
        }
        if self.spec.joins.contains(&Join::Mean) {
            d = d.f32("count", self.weights[1] as f32);
        }
        d = self.outputs.iter().enumerate().fold(d, |d, (k, &o)| d.u32(format!("out{k}_offset"), o / columns));
        for (i, t) in self.inputs.iter().enumerate() {
            let four = if self.reads_fours(t) { 4 } else { 1 };
            // a step of one is one vector
            let step = |n: usize| if n == 1 { 1 } else { n / four };
            d = d.u32(format!("in{i}_offset"), t.offset / four).u32(format!("in{i}_outer"), step(t.outer));
            d = d.u32(format!("in{i}_along"), step(t.along)).u32(format!("in{i}_inner"), step(t.inner));
        }
        d
    }

    /// A group of lanes for every piece.
    fn grid(&self) -> [u32; 3] {
        let lanes = &self.spec.lanes;
        fold((self.rows / self.vectors()[0] * self.pieces).div_ceil(lanes.workgroup() / lanes.group))
    }

    fn turns(&self) -> usize {
        let lane = (self.piece() / self.vectors()[1]).div_ceil(self.spec.lanes.group);
        lane / self.spec.lanes.parts + self.spec.lanes.parts
    }

    fn flops(&self) -> u64 {
        flops(self.rows * self.length, self.spec.joins.len() + self.spec.f.flops())
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        Some((&self.spec.f, self.rows * self.length))
    }
}

impl Reduce {
    /// `turn_to(row)`, which finds a row's first operands once, and `terms(r)`; `opened(terms)`, of which all four are the first where they are
    /// neighbouring terms.
    fn terms(&self, s: &mut Source) {
        for i in 0..self.inputs.len() {
            s.line(format!("var<private> at{i}: u32;\nvar<private> by{i}: u32;"));
        }
        s.line("fn turn_to(row: u32) {\n    let o = row / d.inner;\n    let i = row % d.inner;");
        for i in 0..self.inputs.len() {
            s.line(format!("    at{i} = d.in{i}_offset + o * d.in{i}_outer + i * d.in{i}_inner;\n    by{i} = d.in{i}_along;"));
        }
        s.line("}\nfn terms(r: u32) -> Joined {");
        for (i, t) in self.inputs.iter().enumerate() {
            let element = format!("in{i}[at{i} + r * by{i}]");
            s.line(format!("    let x{i} = V({});", widened(self.spec.halves.input(i), self.reads_fours(t), element)));
        }
        let names: Vec<String> = (0..self.inputs.len()).map(|i| format!("x{i}")).collect();
        let printed = self.spec.f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end())
            .line(format!("    return Joined({});\n}}", self.each("0.0", |k, _| printed.outputs[k].clone())));
        let opened = |k, _| if self.spec.lanes.fours == Fours::Terms { format!("V(t.v{k}.x)") } else { format!("t.v{k}") };
        s.line(format!("fn opened(t: Joined) -> Joined {{ return Joined({}); }}", self.each("0.0", opened)));
    }
}

/// `begin`, `turn` and `parted`: a line for each partial sum, as a loop over them would count as turns of its own.
fn partial_sums(s: &mut Source, parts: usize) {
    if parts == 1 {
        s.line("fn begin(all: Joined) {}\nfn turn(r: u32, opening: Joined) {}\nfn parted() -> Joined { return Joined(); }");
        return;
    }
    (0..parts).for_each(|p| _ = s.line(format!("var<private> p{p}: Joined;")));
    let lines = |f: &dyn Fn(usize) -> String| (0..parts).map(f).collect::<String>();
    s.line(format!("fn begin(all: Joined) {{\n{}}}", lines(&|p| format!("    p{p} = all;\n"))));
    let turn = |p| {
        let r = format!("r + {p}u * GROUP");
        format!("    p{p} = join(p{p}, less(terms({r}), {r}, opening));\n")
    };
    s.line(format!("fn turn(r: u32, opening: Joined) {{\n{}}}", lines(&turn)));
    let mut sums: Vec<String> = (0..parts).map(|p| format!("p{p}")).collect();
    while sums.len() > 1 {
        sums = sums.chunks(2).map(|two| format!("join({})", two.join(", "))).collect();
    }
    s.line(format!("fn parted() -> Joined {{ return {}; }}", sums[0]));
}
