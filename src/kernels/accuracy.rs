//! Whether each row's largest score is the label's.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::labels::{labels, labels_binding};
use super::lib::lanes::CLASSES;
use super::lib::source::{Source, shader};
use super::lib::target::Target;
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
    /// Lanes that share a row.
    pub group: usize,
}

impl Accuracy {
    /// Widest row that one lane goes along, up to twice.
    pub const LONG: usize = 16_384;

    /// Lanes that share a row of so many classes.
    pub fn group_for(target: Target, classes: usize) -> usize {
        CLASSES.lanes_for(target, classes, Self::LONG)
    }

    fn wg(&self) -> usize {
        if self.group > 1 { self.group } else { WG }
    }
}

impl Archetype for Accuracy {
    fn name(&self) -> String {
        "accuracy".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", self.wg()).number("GROUP", self.group).first(self.group, 1);
        labels(&mut s, self.labels);
        s.finish(shader!("accuracy.wgsl"))
    }

    /// Scores, labels, hits.
    fn bindings(&self) -> Vec<Binding> {
        let [scores, labels, hits] = self.offsets;
        vec![
            Binding::read("logits", Element::float(self.half), scores..scores + self.rows * self.classes),
            labels_binding(self.labels, labels, self.rows, self.classes),
            Binding::write("hits", Element::F32, hits..hits + self.rows),
        ]
    }

    fn dims(&self) -> Dims {
        let [logits, labels, hits] = self.offsets;
        let d = Dims::new().u32("rows", self.rows).u32("classes", self.classes);
        let d = d.u32("logits_offset", logits).u32("labels_offset", labels).u32("hits_offset", hits);
        d.word("ignored", self.labels.ignored().unwrap_or(0))
    }

    /// A thread a row, or a workgroup.
    fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.group).div_ceil(self.wg()))
    }

    fn turns(&self) -> usize {
        2 * self.classes.div_ceil(self.group) + 16
    }

    fn flops(&self) -> u64 {
        flops(self.rows * self.classes, 1)
    }
}
