//! Whether each row's largest score is the label's.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::labels::{labels, labels_binding};
use super::lib::source::{Source, shader};
use crate::graph::Labels;

const WG: usize = 64;

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

    /// Words of the scores, or of where the largest stand.
    pub(crate) fn scores(&self) -> usize {
        if self.known { self.rows } else { self.rows * self.classes }
    }
}

impl Archetype for Accuracy {
    fn name(&self) -> String {
        "accuracy".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG).flag("KNOWN", self.known);
        labels(&mut s, self.labels);
        s.finish(shader!("accuracy.wgsl"))
    }

    /// Scores, labels, hits.
    fn bindings(&self) -> Vec<Binding> {
        let [scores, labels, hits] = self.offsets;
        let of = if self.known { Element::U32 } else { Element::float(self.half) };
        vec![
            Binding::read("logits", of, scores..scores + self.scores()),
            labels_binding(self.labels, labels, self.rows, self.classes),
            Binding::write("hits", Element::F32, hits..hits + self.rows),
        ]
    }

    fn dims(&self) -> Dims {
        let [logits, labels, hits] = self.offsets;
        let d = Dims::new().u32("rows", self.rows).u32("classes", self.classes);
        d.u32("logits_offset", logits).u32("labels_offset", labels).u32("hits_offset", hits)
    }

    /// A thread a row.
    fn grid(&self) -> [u32; 3] {
        fold(self.rows.div_ceil(WG))
    }

    fn turns(&self) -> usize {
        if self.known { 0 } else { 2 * self.classes }
    }

    fn flops(&self) -> u64 {
        flops(self.scores(), 1)
    }
}
