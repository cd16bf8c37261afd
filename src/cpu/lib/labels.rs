//! A batch's labels, be they class numbers or probabilities.

use super::fork::f32s;
use super::largest::first_largest;
use crate::graph::Labels;

/// The labels of a batch, as words.
pub(crate) struct Targets<'a> {
    pub(crate) kind: Labels,
    pub(crate) words: &'a [u32],
    pub(crate) classes: usize,
}

impl Targets<'_> {
    /// The probabilities of a row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &f32s(self.words)[row * self.classes..][..self.classes]
    }

    /// Whether a row counts.
    pub(crate) fn counts(&self, row: usize) -> bool {
        self.kind.ignored().is_none_or(|label| self.words[row] != label)
    }

    pub(crate) fn class(&self, row: usize) -> usize {
        match self.kind {
            Labels::Classes | Labels::ClassesBut(_) => self.words[row] as usize,
            Labels::Probabilities => first_largest(self.row(row)),
        }
    }
}
