//! Kernels that look at whole rows: softmax, cross-entropy, accuracy, argmax, cumsum.

use super::halves::{element, rounded};
use super::source::Source;
use super::{Access, Target, fold, to_words, word};
use crate::expr::Expr;
use crate::graph::Labels;

const WG: usize = 64;

/// Softmax over rows, or its logarithm. Buffers: input, output.
#[derive(Debug, Clone)]
pub struct Softmax {
    /// Whether it is the logarithm.
    pub log: bool,
    /// How many rows.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// First element of the input and of the output.
    pub offsets: [usize; 2],
    /// The input is f16.
    pub half: bool,
}

impl Softmax {
    /// Widest row that one lane goes along: longer ones are made of reductions and a map.
    pub const LONG: usize = 16_384;

    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        3 * self.width
    }
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG).flag("LOG", self.log).buffer("x", Access::Read, element(self.half, false)).buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/softmax.wgsl"))
    }
    /// Input, output.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Write]
    }
    /// Rows, width, offsets.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.rows, self.width, self.offsets[0], self.offsets[1]])
    }
    /// A thread a row.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.rows.div_ceil(WG))
    }
}

/// Softmax cross-entropy. Buffers: logits, labels, loss, hits, the gradient where it is asked for, and the number that its epilogue reads.
///
/// Where `single` is set one workgroup makes the means of the whole batch; else loss and hits are one value a row. Long rows are cut into
/// pieces: then the loss is one value a piece, there are no hits, and behind the others come each row's largest logit, the sum of its
/// exponentials and, if it [`needs_totals`](CrossEntropy::needs_totals), of its labels.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// What the labels are.
    pub labels: Labels,
    /// The part of each target that all classes share; no part of the pipeline.
    pub smoothing: f32,
    /// Whether the gradient is written.
    pub gradient: bool,
    /// Whether one workgroup does it all.
    pub single: bool,
    /// Lanes of that workgroup.
    pub group: usize,
    /// How many rows.
    pub rows: usize,
    /// How many classes.
    pub classes: usize,
    /// First element of logits, labels, loss, hits, gradient.
    pub offsets: [usize; 5],
    /// What becomes of each element of the gradient: a formula over that and one number, with the number's place.
    pub epilogue: Option<(Expr, usize)>,
    /// The logits are f16.
    pub half: bool,
    /// The gradient is f16.
    pub half_gradient: bool,
    /// Pieces of [`CrossEntropy::PIECE`] classes that each row is cut into; 1 where a lane goes along all of it.
    pub pieces: usize,
}

impl CrossEntropy {
    /// Most classes of a row that one lane goes along, up to seven times.
    pub const LONG: usize = 8192;
    /// Classes of a piece of a longer one.
    pub const PIECE: usize = 1024;

    fn is_long(&self) -> bool {
        self.pieces > 1
    }

    /// Whether it reads what each row's labels add up to: long rows of probabilities, for the gradient.
    pub fn needs_totals(&self) -> bool {
        self.is_long() && self.gradient && self.labels == Labels::Probabilities
    }

    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        let passes = 3 + usize::from(self.gradient) + if self.labels == Labels::Probabilities { 3 } else { 0 };
        match (self.single, self.is_long()) {
            (_, true) => Self::PIECE,
            (true, _) => self.rows.div_ceil(self.group) * (1 + passes * self.classes),
            _ => passes * self.classes,
        }
    }
    /// Whether a batch is small enough for one workgroup.
    pub fn is_single(target: Target, rows: usize, classes: usize) -> bool {
        rows * classes
            <= match target {
                Target::Gpu => 16_384,
                Target::Software | Target::Lanes8 => 8_192,
            }
    }

    fn lanes(&self) -> usize {
        if self.single { self.group } else { WG }
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", self.lanes()).group(if self.single { self.group } else { 1 });
        let long = self.is_long();
        s.flag("SINGLE", self.single).flag("LONG", long).flag("TOTALS", self.needs_totals());
        s.flag("GRADIENT", self.gradient);
        s.buffer("logits", Access::Read, element(self.half, false));
        labels(&mut s, self.labels);
        s.buffer("losses", Access::Write, "f32");
        if !long {
            s.buffer("hits", Access::Write, "f32");
        }
        let mut store = String::new();
        if self.gradient {
            s.buffer("gradients", Access::Write, element(self.half_gradient, false));
            let mut made = "value".to_string();
            if let Some((f, _)) = &self.epilogue {
                s.buffer("factor", Access::Read, "f32").math(f);
                let printed = f.wgsl(&["value", "factor[dim(9u)]"]);
                store += &printed.statements;
                made.clone_from(&printed.outputs[0]);
            }
            store += &format!("    gradients[dim(6u) + row * dim(1u) + c] = {};\n", rounded(self.half_gradient, false, made));
        }
        s.line(format!("fn store_gradient(row: u32, c: u32, value: f32) {{\n{store}}}"));
        let hit = if long { "" } else { "    hits[dim(5u) + row] = hit;\n" };
        s.line(format!("fn store(row: u32, loss: f32, hit: f32) {{\n    losses[dim(4u) + row] = loss;\n{hit}}}"));
        for (name, told) in [("tops", long), ("sums", long), ("totals", self.needs_totals())] {
            let value = if told { format!("{name}[row]") } else { "0.0".into() };
            if told {
                s.buffer(name, Access::Read, "f32");
            }
            s.line(format!("fn {name}_of(row: u32) -> f32 {{ return {value}; }}"));
        }
        s.finish(include_str!("../../shaders/cross_entropy.wgsl"))
    }

    /// Logits, labels, loss, hits, gradient, the epilogue's number, what is told of long rows.
    pub fn accesses(&self) -> Vec<Access> {
        let results = 2 - usize::from(self.is_long()) + usize::from(self.gradient);
        let told = if self.is_long() { 2 + usize::from(self.needs_totals()) } else { 0 };
        let read = told + usize::from(self.gradient && self.epilogue.is_some());
        [vec![Access::Read; 2], vec![Access::Write; results], vec![Access::Read; read]].concat()
    }

    /// Rows, classes, offsets, the bits of the smoothing and of a NaN, the place of the epilogue's number, pieces of a row, classes of a piece.
    pub fn dims(&self) -> Vec<u32> {
        let mut d = to_words([self.rows, self.classes].into_iter().chain(self.offsets));
        d.extend([self.smoothing.to_bits(), f32::NAN.to_bits()]);
        d.push(self.epilogue.as_ref().map_or(0, |e| word(e.1)));
        d.extend(to_words([self.pieces, Self::PIECE]));
        d
    }

    /// One workgroup, or a thread a row or piece.
    pub fn grid(&self) -> [u32; 3] {
        if self.single { [1, 1, 1] } else { fold((self.rows * self.pieces).div_ceil(WG)) }
    }
}

/// Whether each row's largest score is the label's. Buffers: scores, labels, hits.
#[derive(Debug, Clone)]
pub struct Accuracy {
    /// What the labels are.
    pub labels: Labels,
    /// How many rows.
    pub rows: usize,
    /// How many classes.
    pub classes: usize,
    /// First element of scores, labels, hits.
    pub offsets: [usize; 3],
    /// The scores are f16.
    pub half: bool,
    /// In place of scores there is where the largest of each row stands (u32).
    pub known: bool,
}

impl Accuracy {
    /// Widest row that one lane goes along, up to twice.
    pub const LONG: usize = 16_384;

    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        if self.known { 0 } else { 2 * self.classes }
    }

    /// Words of the scores, or of where the largest stand.
    pub(crate) fn scores(&self) -> usize {
        if self.known { self.rows } else { self.rows * self.classes }
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        let of = if self.known { "u32" } else { element(self.half, false) };
        s.number("WG", WG).flag("KNOWN", self.known).buffer("logits", Access::Read, of);
        labels(&mut s, self.labels);
        s.buffer("hits", Access::Write, "f32");
        s.finish(include_str!("../../shaders/accuracy.wgsl"))
    }
    /// Scores, labels, hits.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Read, Access::Write]
    }
    /// Rows, classes, offsets.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.rows, self.classes].into_iter().chain(self.offsets))
    }
    /// A thread a row.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.rows.div_ceil(WG))
    }
}

/// Running sums over rows, or over pieces of them. Buffers: input, the sums of all pieces up to each (or from each on) where they are known, output.
#[derive(Debug, Clone)]
pub struct CumSum {
    /// Whether they run from the end.
    pub reverse: bool,
    /// How many rows.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// Pieces that a row is cut into; 1 if it is not.
    pub pieces: usize,
    /// Whether a piece starts from the sum of those before it.
    pub started: bool,
    /// First element of the input and of the output.
    pub offsets: [usize; 2],
}

impl CumSum {
    /// Widest row that one lane goes along.
    pub const LONG: usize = 16_384;
    /// Values of a piece of a longer one, at least.
    pub const PIECE: usize = 2048;

    /// Values of a piece.
    pub fn piece(&self) -> usize {
        self.width.div_ceil(self.pieces)
    }

    /// Turns of the longest lane's loops.
    pub(super) fn turns(&self) -> usize {
        self.piece()
    }
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG).flag("REVERSE", self.reverse).flag("STARTED", self.started).buffer("x", Access::Read, "f32");
        if self.started {
            s.buffer("starts", Access::Read, "f32").line("fn start(item: u32) -> f32 { return starts[item]; }");
        } else {
            s.line("fn start(item: u32) -> f32 { return 0.0; }");
        }
        s.buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/cumsum.wgsl"))
    }
    /// Input, sums of the pieces, output.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read; 1 + usize::from(self.started)];
        a.push(Access::Write);
        a
    }
    /// Rows, width, offsets, pieces, values of a piece.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.rows, self.width, self.offsets[0], self.offsets[1], self.pieces, self.piece()])
    }
    /// A thread a piece.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.pieces).div_ceil(WG))
    }
}

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

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG).buffer("x", Access::Read, element(self.half, false));
        s.line("fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }");
        let above = if self.nan { "!is_nan(top) && (is_nan(v) || v > top)" } else { "v > top" };
        s.line(format!("fn above(v: f32, top: f32) -> bool {{ return {above}; }}"));
        let mut place = "c";
        if self.candidates > 0 {
            s.buffer("candidates", Access::Read, "u32");
            place = "candidates[(o * dim(7u) + c) * dim(2u) + i]";
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
    /// Items, length, inner, offsets, pieces, values of a piece, values or candidates in all.
    pub fn dims(&self) -> Vec<u32> {
        let all = if self.candidates > 0 { self.candidates } else { self.length };
        to_words([self.items(), self.length, self.inner, self.offsets[0], self.offsets[1], self.pieces, self.piece(), all])
    }
    /// A thread a result.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.items().div_ceil(WG))
    }
}

/// The labels' binding and `target_p`, `target_total`, `target_class`, `target_is_class`. Classes behave to the bit as one-hot rows do.
fn labels(s: &mut Source, kind: Labels) {
    match kind {
        Labels::Classes => {
            s.buffer("labels", Access::Read, "u32");
            s.line("fn target_class(row: u32) -> u32 { return labels[dim(3u) + row]; }");
            s.line("fn target_p(row: u32, c: u32) -> f32 { return select(0.0, 1.0, c == labels[dim(3u) + row]); }");
            s.line("fn target_total(row: u32) -> f32 { return 1.0; }");
            s.line("fn target_is_class(row: u32) -> bool { return labels[dim(3u) + row] < dim(1u); }");
        }
        Labels::Probabilities => {
            s.buffer("labels", Access::Read, "f32");
            s.line("fn target_p(row: u32, c: u32) -> f32 { return labels[dim(3u) + row * dim(1u) + c]; }");
            s.line("fn target_is_class(row: u32) -> bool { return true; }");
            s.line(
                "fn target_total(row: u32) -> f32 {\n    var sum = 0.0;\n    \
                 for (var c = 0u; c < dim(1u); c++) { sum += target_p(row, c); }\n    return sum;\n}\n\
                 fn target_class(row: u32) -> u32 {\n    var best = 0u;\n    \
                 for (var c = 1u; c < dim(1u); c++) { if (target_p(row, c) > target_p(row, best)) { best = c; } }\n    return best;\n}",
            );
        }
    }
}
