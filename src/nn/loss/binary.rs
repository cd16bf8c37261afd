//! Cross-entropy of labels 0 and 1, each output on its own.

use super::kind::{LossKind, Weight};
use super::weights::{check_weights, counted, mean, numbers, some};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::Numbers;
use crate::nn::labels::zeros_and_ones;
use crate::nn::numbers::is_zero;
use serde::{Deserialize, Serialize};

/// Cross-entropy of labels 0 and 1 for each output on its own, the mean over all elements (PyTorch's `BCEWithLogitsLoss`, Keras'
/// `BinaryCrossentropy`): for one output node, or several labels that exclude nothing.
///
/// On a model that ends in a sigmoid it uses what went into that, else the outputs are logits `z`:
/// `p t softplus(-z) + (1 - t) softplus(z)`, finite for every finite `z`. Labels are reals from 0 to 1 of the outputs' number, or integers 0 and 1;
/// others are an `Err` of `fit` and `evaluate` (not of a step of one's own, and not beside sample weights). The part of a label 0 or 1 that counts 0
/// may be infinite.
#[doc(alias = "BCEWithLogitsLoss")]
#[doc(alias = "BCELoss")]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct BinaryCrossEntropy {
    /// The outputs are probabilities, and not by a sigmoid.
    pub from_probabilities: bool,
    /// The weight `p` of labels 1: one number, or one for each output; none is 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pos_weight: Vec<f64>,
    /// The part `s` by which labels move to 1/2, `(1 - s) t + s / 2` (Keras' `label_smoothing`); 0, and below 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
}

impl BinaryCrossEntropy {
    /// On logits, or on a sigmoid.
    pub fn new() -> Self {
        Self::default()
    }
    /// On probabilities `q` that the model made in its own way: `-p t log(q + 1e-7) - (1 - t) log(1 - q + 1e-7)`.
    pub fn from_probabilities() -> Self {
        BinaryCrossEntropy { from_probabilities: true, ..Self::default() }
    }
    /// The weight of labels 1 (PyTorch's `pos_weight`): `3.0` for all outputs, or `[3.0, 1.0]`, one for each.
    pub fn pos_weight(mut self, weights: impl Into<Numbers>) -> Self {
        self.pos_weight = weights.into().0;
        self
    }
    /// Labels `(1 - s) t + s / 2`.
    pub fn label_smoothing(mut self, s: f64) -> Self {
        self.label_smoothing = s;
        self
    }
}

impl LossKind for BinaryCrossEntropy {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        const OP: &str = "binary_cross_entropy";
        let z = if self.from_probabilities { output.clone() } else { output.sigmoid_input().unwrap_or_else(|| output.clone()) };
        let z = counted(&z, weight);
        let t = zeros_and_ones(OP, &z, labels);
        let s = self.label_smoothing;
        let t = if s == 0.0 { t } else { t * (1.0 - s) + 0.5 * s };
        let (yes, no) = match self.from_probabilities {
            true => (-(&z + 1e-7).log(), -(1.0 + 1e-7 - &z).log()),
            false => ((-&z).softplus(), z.softplus()),
        };
        let yes = some(&t, &yes);
        let yes = if self.pos_weight.is_empty() { yes } else { yes * numbers(OP, "weights", &z, &self.pos_weight) };
        let rest = 1.0 - &t;
        mean(&(&t * yes + &rest * some(&rest, &no)), weight)
    }

    fn check(&self, f: &mut Faults) {
        f.check((0.0..1.0).contains(&self.label_smoothing), "loss.label_smoothing", self.label_smoothing, "give a part of 1, as 0.1");
        check_weights(f, "loss.pos_weight", &self.pos_weight);
    }

    fn takes_logits(&self) -> bool {
        !self.from_probabilities
    }

    fn takes_parts(&self) -> bool {
        true
    }
}
