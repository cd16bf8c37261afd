//! The losses beside cross-entropy and squared error: their settings and formulas.

use super::labels::{fault, same, targets, zeros_and_ones};
use crate::error::Faults;
use crate::graph::Var;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};

macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident = $new:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $name {}

        impl $name {
            #[doc = $new]
            pub fn new() -> Self {
                $name {}
            }
        }
    )*};
}

plain! {
    /// The mean of absolute differences over all elements (PyTorch's `L1Loss`, Keras' `MeanAbsoluteError`); also a metric, `mae`. Its
    /// gradient is 0 where output and label are equal.
    #[doc(alias = "L1Loss")]
    #[doc(alias = "MeanAbsoluteError")]
    Mae = "The mean of absolute differences.";
    /// The mean of `log(cosh(output - label))` over all elements (Keras' `LogCosh`): squares near 0, absolute values far from it. Computed as
    /// `|d| + softplus(-2 |d|) - log 2`, which never overflows.
    LogCosh = "The mean logarithm of the hyperbolic cosine of the differences.";
    /// Kullback-Leibler divergence of the labels from the output, `sum t (log t - x)` over the elements of a row, the mean over rows (PyTorch's
    /// `KLDivLoss(reduction="batchmean")`). The outputs `x` are logarithms of probabilities, as `LogSoftmax` gives; on a model that ends in
    /// softmax it takes the logarithm of that. The labels `t` are probabilities; a label of 0 counts 0.
    #[doc(alias = "KLDivLoss")]
    #[doc(alias = "KLDivergence")]
    KlDivergence = "Of log-probabilities and probabilities.";
}

/// Squares where the difference is at most `delta`, straight lines beyond: `d^2 / 2` or `delta (|d| - delta / 2)`, the mean over all elements
/// (PyTorch's `HuberLoss`, Keras' `Huber`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Huber {
    /// Where squares end; 1, and above 0.
    pub delta: f64,
}

impl Default for Huber {
    fn default() -> Self {
        Huber { delta: 1.0 }
    }
}

impl Huber {
    /// With squares up to a difference of 1.
    pub fn new() -> Self {
        Self::default()
    }
    /// Where squares end.
    pub fn delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }
}

/// Cross-entropy of labels 0 and 1 for each output on its own, the mean over all elements (PyTorch's `BCEWithLogitsLoss`, Keras'
/// `BinaryCrossentropy`): for one output node, or several labels that exclude nothing.
///
/// On a model that ends in a sigmoid it uses what went into that, else the outputs are logits `z`:
/// `p t softplus(-z) + (1 - t) softplus(z)`, finite for every `z`. Labels are reals of the outputs' number, or integers 0 and 1.
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
    #[serde(skip_serializing_if = "super::loss::none")]
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
    /// The weight of labels 1 (PyTorch's `pos_weight`): `[3.0]` for all outputs, or one for each.
    pub fn pos_weight(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.pos_weight = weights.into_iter().collect();
        self
    }
    /// Labels `(1 - s) t + s / 2`.
    pub fn label_smoothing(mut self, s: f64) -> Self {
        self.label_smoothing = s;
        self
    }
}

/// Negative log-likelihood of log-probabilities, as `LogSoftmax` gives (PyTorch's `NLLLoss`). Labels are classes or rows of probabilities.
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

/// Cross-entropy that counts well-classified rows less: `-alpha (1 - p)^gamma log p` of the label's probability `p` (Lin et al. 2017).
///
/// [`FocalLoss::new`] is over classes that exclude each other (softmax; Keras' `CategoricalFocalCrossentropy`), the mean over rows;
/// [`FocalLoss::binary`] over outputs each on its own (sigmoid; torchvision's `sigmoid_focal_loss`), the mean over all elements. On a model that
/// ends in softmax or a sigmoid it uses what went into that, else the outputs are logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct FocalLoss {
    /// Each output on its own.
    #[serde(default)]
    pub binary: bool,
    /// How much less; 2. With 0 it is the cross-entropy.
    #[serde(default = "two")]
    pub gamma: f64,
    /// With classes one weight for each, none by default. Binary: the weight of labels 1, labels 0 have 1 less it; 0.25 by default, none weighs
    /// neither.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpha: Vec<f64>,
}

fn two() -> f64 {
    2.0
}

impl FocalLoss {
    /// Over classes, gamma 2.
    pub fn new() -> Self {
        FocalLoss { binary: false, gamma: 2.0, alpha: vec![] }
    }
    /// Over outputs each on its own: gamma 2, alpha 0.25.
    pub fn binary() -> Self {
        FocalLoss { binary: true, alpha: vec![0.25], ..Self::new() }
    }
    /// How much less well-classified rows count.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
    /// One weight for each class; or, binary, that of labels 1.
    pub fn alpha(mut self, alpha: impl IntoIterator<Item = f64>) -> Self {
        self.alpha = alpha.into_iter().collect();
        self
    }
}

impl Default for FocalLoss {
    fn default() -> Self {
        Self::new()
    }
}

/// Weights of classes, of labels 1: 0 or above, not all 0.
pub(super) fn check_weights(f: &mut Faults, key: &str, weights: &[f64]) {
    let fine = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && (weights.is_empty() || weights.iter().any(|w| *w > 0.0));
    f.check(fine, key, format!("{weights:?}"), "give finite numbers, 0 or above, and not all of them 0");
}

impl BinaryCrossEntropy {
    pub(super) fn check(&self, f: &mut Faults) {
        f.check((0.0..1.0).contains(&self.label_smoothing), "loss.label_smoothing", self.label_smoothing, "give a part of 1, as 0.1");
        check_weights(f, "loss.pos_weight", &self.pos_weight);
    }
}

impl FocalLoss {
    pub(super) fn check(&self, f: &mut Faults) {
        f.check(self.gamma.is_finite() && self.gamma >= 0.0, "loss.gamma", self.gamma, "give a finite number, 0 or above");
        check_weights(f, "loss.alpha", &self.alpha);
        let one = !self.binary || self.alpha.len() <= 1 && self.alpha.iter().all(|a| *a <= 1.0);
        f.check(one, "loss.alpha", format!("{:?}", self.alpha), "binary focal loss takes one number from 0 to 1, or none");
    }
}

/// The mean over all elements; with weights `[rows]` each row's part times its weight, still over all rows.
#[track_caller]
pub(super) fn mean(parts: &Var, weight: Option<&Var>) -> Var {
    weighed(parts, weight).mean()
}

#[track_caller]
pub(super) fn weighed(parts: &Var, weight: Option<&Var>) -> Var {
    let Some(w) = weight else { return parts.clone() };
    let (rows, shape) = (parts.shape().dims().first().copied().unwrap_or(1), parts.shape());
    if parts.value().is_none() || w.value().is_none() {
        return parts.builder().poisoned();
    }
    if w.dtype() != DType::F32 || w.shape().size() != rows {
        let problem = format!("sample weights {} {} for {rows} rows", w.dtype(), w.shape());
        return fault(parts, "sample weights", problem, "the field `weight` has one number a row");
    }
    let mut column = vec![1; shape.rank()];
    column[..1.min(shape.rank())].fill(rows);
    parts * w.reshape(column)
}

/// A number for each class or output, against the last axis; the mistake is noted where there are more or fewer.
#[track_caller]
pub(super) fn numbers(op: &str, what: &str, output: &Var, values: &[f64]) -> Var {
    match values {
        [one] => output.number(*one),
        _ if values.len() == output.shape().last() => output.builder().table(values),
        _ => {
            let problem = format!("{} {what} for outputs {}", values.len(), output.shape());
            fault(output, op, problem, "give one number for each value of the last axis")
        }
    }
}

/// `-sum_c w_c t_c x_c` of each row, for log-probabilities `x`, and how it is averaged: over the rows, or for class labels with weights over the
/// sum of their weights, as in PyTorch.
#[track_caller]
pub(super) fn likelihood(op: &str, x: &Var, labels: &Var, smoothing: f64, classes: &[f64], weight: Option<&Var>) -> Var {
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
    let parts = weighed(&-(goal * x).sum_axes(&[1]), weight);
    match total {
        Some(total) => parts.sum() / total,
        None => parts.mean(),
    }
}

pub(super) type Weight<'a> = Option<&'a Var>;

#[track_caller]
pub(super) fn mae(output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    mean(&(output - same("mae", output, labels)).abs(), weight)
}

#[track_caller]
pub(super) fn log_cosh(output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    let d = (output - same("log_cosh", output, labels)).abs();
    mean(&(&d + (&d * -2.0).softplus() - std::f64::consts::LN_2), weight)
}

#[track_caller]
pub(super) fn huber(h: Huber, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    let d = (output - same("huber", output, labels)).abs();
    let near = d.less_equal(&d.number(h.delta));
    mean(&near.select(&(d.square() * 0.5), &((&d - 0.5 * h.delta) * h.delta)), weight)
}

#[track_caller]
pub(super) fn kl_divergence(output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    // a log-softmax of it is itself
    let x = output.softmax_input().map_or_else(|| output.clone(), |x| x.log_softmax());
    let t = same("kl_divergence", &x, labels);
    let some = t.greater(&t.number(0.0));
    let parts = &t * some.select(&t, &t.number(1.0)).log() - &t * x;
    let axes: Vec<usize> = (1..parts.shape().rank()).collect();
    mean(&if axes.is_empty() { parts } else { parts.sum_axes(&axes) }, weight)
}

#[track_caller]
pub(super) fn binary(c: &BinaryCrossEntropy, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    const OP: &str = "binary_cross_entropy";
    let z = if c.from_probabilities { output.clone() } else { output.sigmoid_input().unwrap_or_else(|| output.clone()) };
    let t = zeros_and_ones(OP, &z, labels);
    let s = c.label_smoothing;
    let t = if s == 0.0 { t } else { t * (1.0 - s) + 0.5 * s };
    let (yes, no) = match c.from_probabilities {
        true => (-(&z + 1e-7).log(), -(1.0 + 1e-7 - &z).log()),
        false => ((-&z).softplus(), z.softplus()),
    };
    let yes = if c.pos_weight.is_empty() { yes } else { yes * numbers(OP, "weights", &z, &c.pos_weight) };
    mean(&(&t * yes + (1.0 - &t) * no), weight)
}

#[track_caller]
pub(super) fn focal(c: &FocalLoss, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    const OP: &str = "focal_loss";
    if c.binary {
        let z = output.sigmoid_input().unwrap_or_else(|| output.clone());
        let t = zeros_and_ones(OP, &z, labels);
        let (plus, minus) = (z.softplus(), (-&z).softplus());
        // powers of 1 - p = exp(-softplus(z)) and of p: no slope is infinite
        let power = |x: &Var| (x * -c.gamma).exp();
        let (mut yes, mut no) = (power(&plus) * &minus, power(&minus) * &plus);
        if let [alpha] = c.alpha[..] {
            (yes, no) = (yes * alpha, no * (1.0 - alpha));
        }
        return mean(&(&t * yes + (1.0 - &t) * no), weight);
    }
    let x = output.softmax_input().unwrap_or_else(|| output.clone()).log_softmax();
    let t = targets(OP, &x, labels);
    let mut parts = t * &x;
    if c.gamma != 0.0 {
        // 1 - p, never quite 0: its power may have an infinite slope there
        parts = parts * (-x.expm1()).clamp(1e-20, f64::INFINITY).pow(c.gamma);
    }
    if !c.alpha.is_empty() {
        parts = parts * numbers(OP, "values of alpha", &x, &c.alpha);
    }
    if parts.value().is_none() {
        return parts;
    }
    mean(&-parts.sum_axes(&[1]), weight)
}
