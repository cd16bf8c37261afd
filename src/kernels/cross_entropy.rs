//! Softmax cross-entropy: loss, hits and gradient in one launch.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::rounded;
use super::lib::labels::{counted, counted_binding, labels, labels_binding};
use super::lib::lanes::CLASSES;
use super::lib::source::{Source, shader};
use super::lib::target::Target;
use crate::expr::Expr;
use crate::graph::Labels;

const WG: usize = 64;

/// Turns of a join of a workgroup's lanes.
const TREE: usize = 8;

/// Softmax cross-entropy. Buffers: logits, labels, loss, hits, the gradient where it is asked for, the number that its epilogue reads, and the number
/// of rows that count where not all do.
///
/// Where `single` is set one workgroup makes the means of the whole batch; else loss and hits are one value a row.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// What the labels are.
    pub labels: Labels,
    /// The part of each target that all classes share; no part of the pipeline.
    pub smoothing: f32,
    /// Where the number stands of rows that count, where not all do.
    pub counted: usize,
    /// Whether the gradient is written.
    pub gradient: bool,
    /// Whether one workgroup does it all.
    pub single: bool,
    /// Lanes that work together: of that workgroup, else on a row.
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
    /// Most classes of a row that one lane goes along, up to seven times.
    pub const LONG: usize = 8192;

    /// Whether a batch is small enough for one workgroup, a lane a row.
    pub fn is_single(target: Target, rows: usize, classes: usize) -> bool {
        let most = match target {
            Target::Gpu => 16_384,
            Target::Software | Target::Lanes8 => 8_192,
        };
        CLASSES.lanes_for(target, classes, Self::LONG) == 1 && rows * classes <= most
    }

    /// Lanes that work together on a batch, or on a row of so many classes.
    pub fn group_for(target: Target, single: bool, classes: usize) -> usize {
        if single { target.group() } else { CLASSES.lanes_for(target, classes, Self::LONG) }
    }

    /// Whether lanes share a row.
    fn is_wide(&self) -> bool {
        !self.single && self.group > 1
    }

    fn lanes(&self) -> usize {
        if self.single || self.is_wide() { self.group } else { WG }
    }
}

impl Archetype for CrossEntropy {
    fn name(&self) -> String {
        "cross_entropy".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", self.lanes()).group(if self.single || self.is_wide() { self.group } else { 1 });
        s.flag("SINGLE", self.single).flag("GRADIENT", self.gradient);
        labels(&mut s, self.labels);
        counted(&mut s, self.labels);
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
        s.line(
            "fn store(row: u32, loss: f32, hit: f32) {\n    losses[d.losses_offset + row] = loss;\n    \
             hits[d.hits_offset + row] = hit;\n}",
        );
        if !self.is_wide() {
            return s.finish(shader!("cross_entropy.wgsl"));
        }
        s.first(self.group, 1);
        s.finish(shader!("cross_entropy_wide.wgsl"))
    }

    /// Logits, labels, loss, hits, gradient, the epilogue's number, the number of rows that count.
    fn bindings(&self) -> Vec<Binding> {
        let [logits, labels, loss, hits, gradient] = self.offsets;
        let size = self.rows * self.classes;
        let each = if self.single { 1 } else { self.rows };
        let mut all = vec![
            Binding::read("logits", Element::float(self.half), logits..logits + size),
            labels_binding(self.labels, labels, self.rows, self.classes),
            Binding::write("losses", Element::F32, loss..loss + each),
            Binding::write("hits", Element::F32, hits..hits + each),
        ];
        if self.gradient {
            all.push(Binding::write("gradients", Element::float(self.half_gradient), gradient..gradient + size));
            all.extend(self.epilogue.iter().map(|&(_, at)| Binding::read("factor", Element::F32, at..at + 1)));
        }
        all.extend(counted_binding(self.labels, self.counted));
        all
    }

    fn dims(&self) -> Dims {
        let [logits, labels, losses, hits, gradients] = self.offsets;
        let d = Dims::new().u32("rows", self.rows).u32("classes", self.classes).u32("logits_offset", logits).u32("labels_offset", labels);
        let d = d.u32("losses_offset", losses).u32("hits_offset", hits).u32("gradients_offset", gradients);
        let d = d.f32("smoothing", self.smoothing).word("nan_bits", f32::NAN.to_bits());
        let d = d.u32("factor_offset", self.epilogue.as_ref().map_or(0, |e| e.1));
        d.word("ignored", self.labels.ignored().unwrap_or(0)).u32("counted_offset", self.counted)
    }

    /// One workgroup, a workgroup a row, or a thread a row.
    fn grid(&self) -> [u32; 3] {
        match (self.single, self.is_wide()) {
            (true, _) => [1, 1, 1],
            (_, true) => fold(self.rows),
            _ => fold(self.rows.div_ceil(WG)),
        }
    }

    fn turns(&self) -> usize {
        let passes = 3 + usize::from(self.gradient) + if self.labels.are_classes() { 0 } else { 3 };
        match (self.single, self.is_wide()) {
            (true, _) => self.rows.div_ceil(self.group) * (1 + passes * self.classes),
            (_, true) => 3 * self.classes.div_ceil(self.group) + 4 * TREE,
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
