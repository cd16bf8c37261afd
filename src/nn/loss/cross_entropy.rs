//! Losses of classes that exclude each other: cross-entropy, and the likelihood of log-probabilities.

use super::kind::{LossKind, Weight};
use super::weights::{check_weights, counted, some, weighed};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::{fault, targets};
use crate::nn::numbers::is_zero;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};

/// Softmax cross-entropy, the mean over the batch (PyTorch's `CrossEntropyLoss`, Keras' `CategoricalCrossentropy`).
///
/// On a model that ends in softmax it uses what went into that, else the model's outputs are logits; both ways are one kernel with
/// the same bits. Labels are classes or rows of probabilities, as the data set has them. A logit of -inf (a masked class) adds nothing where its
/// target is 0 (no smoothing), with and without weights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct CrossEntropy {
    /// The model's outputs are probabilities, and not by softmax.
    pub from_probabilities: bool,
    /// The part `s` of each target that all classes share, `(1 - s) * target + s / classes`; 0, and below 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// A weight for each class; none is 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
}

impl CrossEntropy {
    /// On logits, or on a softmax.
    pub fn new() -> Self {
        Self::default()
    }

    /// On probabilities that the model made in its own way: `-sum t * log(p + 1e-7)`. Needs one-hot labels.
    pub fn from_probabilities() -> Self {
        CrossEntropy { from_probabilities: true, ..Self::default() }
    }

    /// Targets `(1 - s) * target + s / classes`, of classes as of probabilities (Szegedy et al. 2015; PyTorch's `label_smoothing`).
    pub fn label_smoothing(mut self, s: f64) -> Self {
        self.label_smoothing = s;
        self
    }

    /// A weight `w` for each class (PyTorch's `weight`): rows of class labels count by that of their label, and the mean is over the sum of these,
    /// `sum w_y l / sum w_y`, 0 with gradient 0 in a batch where that sum is 0 (PyTorch: NaN); of rows of probabilities each part counts by its class,
    /// and the mean is over the rows.
    #[doc(alias = "weight")]
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.class_weights = weights.into_iter().collect();
        self
    }
}

impl LossKind for CrossEntropy {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        let s = self.label_smoothing;
        if weight.is_some() || !self.class_weights.is_empty() {
            let x = match self.from_probabilities {
                true => (counted(output, weight) + 1e-7).log(),
                false => output.softmax_input().unwrap_or_else(|| output.clone()).log_softmax(),
            };
            return likelihood("cross_entropy", &x, labels, s, &self.class_weights, weight);
        }
        if self.from_probabilities {
            let targets = if s == 0.0 { labels.clone() } else { labels * (1.0 - s) + s / output.shape().last() as f64 };
            return ((output + 1e-7).log() * targets).sum_axes(&[output.shape().rank().saturating_sub(1)]).mean() * -1.0;
        }
        output.softmax_input().as_ref().unwrap_or(output).cross_entropy_smoothed(labels, s)
    }

    fn check(&self, f: &mut Faults) {
        let s = self.label_smoothing;
        f.check((0.0..1.0).contains(&s), "loss.label_smoothing", s, "give a part of 1, as 0.1");
        check_weights(f, "loss.class_weights", &self.class_weights);
    }
}

/// Negative log-likelihood of log-probabilities, as `LogSoftmax` gives (PyTorch's `NLLLoss`). Labels are classes or rows of probabilities. A
/// log-probability of -inf (a masked class) adds nothing where its target or weight is 0; a batch whose class weights are all 0 has loss and
/// gradient 0.
#[doc(alias = "NLLLoss")]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Nll {
    /// A weight for each class; none is 1. See [`CrossEntropy::class_weights`](super::CrossEntropy::class_weights).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
}

impl Nll {
    /// All classes alike.
    pub fn new() -> Self {
        Self::default()
    }
    /// A weight for each class (PyTorch's `weight`).
    #[doc(alias = "weight")]
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.class_weights = weights.into_iter().collect();
        self
    }
}

impl LossKind for Nll {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        match output.softmax_input() {
            // one kernel
            Some(x) if weight.is_none() && self.class_weights.is_empty() && output.is_log_softmax() => x.cross_entropy(labels),
            _ => likelihood("nll", output, labels, 0.0, &self.class_weights, weight),
        }
    }

    fn check(&self, f: &mut Faults) {
        check_weights(f, "loss.class_weights", &self.class_weights);
    }
}

/// `-sum_c w_c t_c x_c` of each row, for log-probabilities `x`, and how it is averaged: over the rows, or for class labels with weights over the
/// sum of their weights, as in PyTorch (0 where these are all 0). A class of weight or probability 0 adds nothing, be its `x` infinite.
fn likelihood(op: &str, x: &Var, labels: &Var, smoothing: f64, classes: &[f64], weight: Weight<'_>) -> Var {
    let t = targets(op, x, labels);
    if t.value().is_none() {
        return t;
    }
    let mut goal = if smoothing == 0.0 { t.clone() } else { &t * (1.0 - smoothing) + smoothing / x.shape().last() as f64 };
    let mut total = None;
    if !classes.is_empty() {
        if classes.len() != x.shape().last() {
            let problem = format!("{} class weights for scores {}", classes.len(), x.shape());
            return fault(x, op, problem, "give one weight for each class");
        }
        let w = x.builder().table(classes);
        total = (labels.dtype() != DType::F32).then(|| x.builder().weighed_by((&t * &w).sum()));
        goal = goal * w;
    }
    // rows of class labels that count 0 get a gradient of 0 times a finite number
    let x = if labels.dtype() == DType::F32 { counted(x, weight) } else { x.clone() };
    let x = some(&goal, &x);
    let parts = weighed(&-(goal * x).sum_axes(&[1]), weight);
    match total {
        Some(total) => parts.sum() / total.not_equal(&total.number(0.0)).select(&total, &total.number(1.0)),
        None => parts.mean(),
    }
}
