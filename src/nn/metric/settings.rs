//! Settings that several metrics have.

use crate::error::Faults;
use crate::graph::Var;

/// A setter for the label.
macro_rules! labelled {
    ($($name:ident)*) => {$(
        impl $name {
            /// Its name in histories, where a model has two of this kind.
            pub fn named(mut self, label: impl Into<String>) -> Self {
                self.label = Some(label.into());
                self
            }
        }
    )*};
}

/// A setter for the label that does not count.
macro_rules! ignoring {
    ($($name:ident)*) => {$(
        impl $name {
            /// Rows of this class label do not count, whatever the loss ignores.
            pub fn ignore_index(mut self, label: u32) -> Self {
                self.ignore_index = Some(label);
                self
            }
        }
    )*};
}

/// Setters for the threshold and for `from_logits`, and the default.
macro_rules! binary_settings {
    ($($name:ident)*) => {$(
        impl $name {
            /// Above which probability a row counts as 1.
            pub fn threshold(mut self, threshold: f64) -> Self {
                self.threshold = threshold;
                self
            }
            /// Whether the outputs are logits, whatever the loss takes them for: the threshold stays one of probabilities.
            pub fn from_logits(mut self, logits: bool) -> Self {
                self.from_logits = Some(logits);
                self
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    )*};
}
pub(super) use {binary_settings, ignoring, labelled};

/// The threshold where none is given.
pub(super) fn half() -> f64 {
    0.5
}

pub(super) fn check_threshold(f: &mut Faults, threshold: f64) {
    f.check((0.0..1.0).contains(&threshold), "metric.threshold", threshold, "give a probability, as 0.5");
}

/// 1 where the probability is above the threshold.
pub(super) fn positive(output: &Var, threshold: f64, logits: bool) -> Var {
    let at = if logits { (threshold / (1.0 - threshold)).ln().max(f64::from(f32::MIN)) } else { threshold };
    output.greater(&output.number(at))
}
