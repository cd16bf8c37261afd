//! Kernels that look at whole rows: softmax, cross-entropy, accuracy, argmax, cumsum.

use super::halves::{element, rounded};
use super::source::Source;
use super::{Access, Profile, fold, to_words, word};
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
/// Where `single` is set one workgroup makes the means of the whole batch; else loss and hits are one value a row.
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
}

impl CrossEntropy {
    /// Whether a batch is small enough for one workgroup.
    pub fn is_single(profile: Profile, rows: usize, classes: usize) -> bool {
        rows * classes
            <= match profile {
                Profile::Gpu => 16_384,
                Profile::Software | Profile::Lanes8 => 8_192,
            }
    }

    fn lanes(&self) -> usize {
        if self.single { self.group } else { WG }
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", self.lanes()).group(if self.single { self.group } else { 1 });
        s.flag("SINGLE", self.single).flag("GRADIENT", self.gradient);
        s.buffer("logits", Access::Read, element(self.half, false));
        labels(&mut s, self.labels);
        s.buffer("losses", Access::Write, "f32").buffer("hits", Access::Write, "f32");
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
        s.line("fn store(row: u32, loss: f32, hit: f32) {\n    losses[dim(4u) + row] = loss;\n    hits[dim(5u) + row] = hit;\n}");
        s.finish(include_str!("../../shaders/cross_entropy.wgsl"))
    }

    /// Logits, labels, loss, hits, gradient, the epilogue's number.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read, Access::Read, Access::Write, Access::Write];
        a.resize(4 + usize::from(self.gradient), Access::Write);
        a.extend((self.gradient && self.epilogue.is_some()).then_some(Access::Read));
        a
    }

    /// Rows, classes, offsets, the bits of the smoothing and of a NaN, the place of the epilogue's number.
    pub fn dims(&self) -> Vec<u32> {
        let mut d = to_words([self.rows, self.classes].into_iter().chain(self.offsets));
        d.extend([self.smoothing.to_bits(), f32::NAN.to_bits()]);
        d.extend(self.epilogue.iter().map(|e| word(e.1)));
        d
    }

    /// One workgroup, or a thread a row.
    pub fn grid(&self) -> [u32; 3] {
        if self.single { [1, 1, 1] } else { fold(self.rows.div_ceil(WG)) }
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
}

impl Accuracy {
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG).buffer("logits", Access::Read, element(self.half, false));
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

/// Running sums over rows. Buffers: input, output.
#[derive(Debug, Clone)]
pub struct CumSum {
    /// Whether they run from the end.
    pub reverse: bool,
    /// How many rows.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// First element of the input and of the output.
    pub offsets: [usize; 2],
}

impl CumSum {
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG).flag("REVERSE", self.reverse).buffer("x", Access::Read, "f32").buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/cumsum.wgsl"))
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

/// The index of the largest over the middle of `[outer, length, inner]`. Buffers: input, result (u32).
#[derive(Debug, Clone)]
pub struct ArgMax {
    /// Results: outer times inner.
    pub items: usize,
    /// Values of which one is the largest.
    pub length: usize,
    /// The inner extent.
    pub inner: usize,
    /// First element of the input and of the result.
    pub offsets: [usize; 2],
}

impl ArgMax {
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG).buffer("x", Access::Read, "f32").buffer("out", Access::Write, "u32");
        s.line("fn is_nan(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }");
        s.finish(include_str!("../../shaders/argmax.wgsl"))
    }
    /// Input, result.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Write]
    }
    /// Items, length, inner, offsets.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.items, self.length, self.inner, self.offsets[0], self.offsets[1]])
    }
    /// A thread a result.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.items.div_ceil(WG))
    }
}

/// The labels' binding and `target_p`, `target_total`, `target_class`. Classes behave to the bit as one-hot rows do.
fn labels(s: &mut Source, kind: Labels) {
    match kind {
        Labels::Classes => {
            s.buffer("labels", Access::Read, "u32");
            s.line("fn target_class(row: u32) -> u32 { return labels[dim(3u) + row]; }");
            s.line("fn target_p(row: u32, c: u32) -> f32 { return select(0.0, 1.0, c == labels[dim(3u) + row]); }");
            s.line("fn target_total(row: u32) -> f32 { return 1.0; }");
        }
        Labels::Probabilities => {
            s.buffer("labels", Access::Read, "f32");
            s.line("fn target_p(row: u32, c: u32) -> f32 { return labels[dim(3u) + row * dim(1u) + c]; }");
            s.line(
                "fn target_total(row: u32) -> f32 {\n    var sum = 0.0;\n    \
                 for (var c = 0u; c < dim(1u); c++) { sum += target_p(row, c); }\n    return sum;\n}\n\
                 fn target_class(row: u32) -> u32 {\n    var best = 0u;\n    \
                 for (var c = 1u; c < dim(1u); c++) { if (target_p(row, c) > target_p(row, best)) { best = c; } }\n    return best;\n}",
            );
        }
    }
}
