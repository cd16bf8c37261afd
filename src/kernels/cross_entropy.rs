//! Softmax cross-entropy: loss, hits and gradient in one launch.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::rounded;
use super::lib::labels::{labels, labels_binding};
use super::lib::source::{Source, shader};
use super::lib::target::Target;
use crate::expr::Expr;
use crate::graph::Labels;

const WG: usize = 64;

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
}

impl Archetype for CrossEntropy {
    fn name(&self) -> String {
        "cross_entropy".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", self.lanes()).group(if self.single { self.group } else { 1 });
        let long = self.is_long();
        s.flag("SINGLE", self.single).flag("LONG", long).flag("TOTALS", self.needs_totals());
        s.flag("GRADIENT", self.gradient);
        labels(&mut s, self.labels);
        let mut store = String::new();
        if self.gradient {
            let mut made = "value".to_string();
            if let Some((f, _)) = &self.epilogue {
                s.math(f);
                let printed = f.wgsl(&["value", "factor[d.factor_offset]"]);
                store += &printed.statements;
                made.clone_from(&printed.outputs[0]);
            }
            store += &format!("    gradients[d.gradients_offset + row * d.classes + c] = {};\n", rounded(self.half_gradient, false, made));
        }
        s.line(format!("fn store_gradient(row: u32, c: u32, value: f32) {{\n{store}}}"));
        let hit = if long { "" } else { "    hits[d.hits_offset + row] = hit;\n" };
        s.line(format!("fn store(row: u32, loss: f32, hit: f32) {{\n    losses[d.losses_offset + row] = loss;\n{hit}}}"));
        for (name, told) in [("tops", long), ("sums", long), ("totals", self.needs_totals())] {
            let value = if told { format!("{name}[row]") } else { "0.0".into() };
            s.line(format!("fn {name}_of(row: u32) -> f32 {{ return {value}; }}"));
        }
        s.finish(shader!("cross_entropy.wgsl"))
    }

    /// Logits, labels, loss, hits, gradient, the epilogue's number, what is told of long rows.
    fn bindings(&self) -> Vec<Binding> {
        let [logits, labels, loss, hits, gradient] = self.offsets;
        let (size, long) = (self.rows * self.classes, self.is_long());
        let each = if self.single { 1 } else { self.rows * self.pieces };
        let mut all = vec![
            Binding::read("logits", Element::float(self.half), logits..logits + size),
            labels_binding(self.labels, labels, self.rows, self.classes),
            Binding::write("losses", Element::F32, loss..loss + each),
        ];
        if !long {
            all.push(Binding::write("hits", Element::F32, hits..hits + each));
        }
        if self.gradient {
            all.push(Binding::write("gradients", Element::float(self.half_gradient), gradient..gradient + size));
            all.extend(self.epilogue.iter().map(|&(_, at)| Binding::read("factor", Element::F32, at..at + 1)));
        }
        let told = [("tops", long), ("sums", long), ("totals", self.needs_totals())];
        all.extend(told.iter().filter(|t| t.1).map(|&(name, _)| Binding::read(name, Element::F32, 0..self.rows)));
        all
    }

    fn dims(&self) -> Dims {
        let [logits, labels, losses, hits, gradients] = self.offsets;
        let d = Dims::new().u32("rows", self.rows).u32("classes", self.classes).u32("logits_offset", logits).u32("labels_offset", labels);
        let d = d.u32("losses_offset", losses).u32("hits_offset", hits).u32("gradients_offset", gradients);
        let d = d.f32("smoothing", self.smoothing).word("nan_bits", f32::NAN.to_bits());
        d.u32("factor_offset", self.epilogue.as_ref().map_or(0, |e| e.1)).u32("pieces", self.pieces).u32("piece", Self::PIECE)
    }

    /// One workgroup, or a thread a row or piece.
    fn grid(&self) -> [u32; 3] {
        if self.single { [1, 1, 1] } else { fold((self.rows * self.pieces).div_ceil(WG)) }
    }

    fn turns(&self) -> usize {
        let passes = 3 + usize::from(self.gradient) + if self.labels == Labels::Probabilities { 3 } else { 0 };
        match (self.single, self.is_long()) {
            (_, true) => Self::PIECE,
            (true, _) => self.rows.div_ceil(self.group) * (1 + passes * self.classes),
            _ => passes * self.classes,
        }
    }

    fn flops(&self) -> u64 {
        let epilogue = self.epilogue.as_ref().filter(|_| self.gradient).map_or(0, |e| e.0.flops());
        flops(self.rows * self.classes, 5 + epilogue)
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        self.epilogue.as_ref().map(|e| (&e.0, self.rows * self.classes))
    }
}
