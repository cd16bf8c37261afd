//! A batch's labels, be they class numbers or probabilities.

use super::exponentials::first_largest;
use super::fork::f32s;
use crate::graph::Labels;

/// The labels of a batch, as words.
pub(crate) struct Targets<'a> {
    pub(crate) kind: Labels,
    pub(crate) words: &'a [u32],
    pub(crate) classes: usize,
    /// The part of each target that all classes share.
    pub(crate) smoothing: f32,
}

impl Targets<'_> {
    fn row(&self, row: usize) -> &[f32] {
        &f32s(self.words)[row * self.classes..][..self.classes]
    }

    pub(crate) fn class(&self, row: usize) -> usize {
        match self.kind {
            Labels::Classes => self.words[row] as usize,
            Labels::Probabilities => first_largest(self.row(row)),
        }
    }

    pub(crate) fn is_class(&self, row: usize) -> bool {
        self.kind == Labels::Probabilities || (self.words[row] as usize) < self.classes
    }

    pub(crate) fn p(&self, row: usize, c: usize) -> f32 {
        let p = match self.kind {
            Labels::Classes => f32::from(u8::from(self.words[row] as usize == c)),
            Labels::Probabilities => self.row(row)[c],
        };
        p * (1.0 - self.smoothing) + self.smoothing / self.classes as f32
    }

    pub(crate) fn total(&self, row: usize) -> f32 {
        let total = match self.kind {
            Labels::Classes => 1.0,
            Labels::Probabilities => self.row(row).iter().map(|&p| f64::from(p)).sum::<f64>() as f32,
        };
        total * (1.0 - self.smoothing) + self.smoothing
    }
}
