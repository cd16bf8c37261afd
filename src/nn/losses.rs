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

/// One number for all, or one for each: `3.0`, `[3.0, 1.0]`, a `Vec`.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers(pub(super) Vec<f64>);

impl From<f64> for Numbers {
    fn from(one: f64) -> Self {
        Numbers(vec![one])
    }
}

impl<const N: usize> From<[f64; N]> for Numbers {
    fn from(all: [f64; N]) -> Self {
        Numbers(all.to_vec())
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(all: Vec<f64>) -> Self {
        Numbers(all)
    }
}

impl From<&[f64]> for Numbers {
    fn from(all: &[f64]) -> Self {
        Numbers(all.to_vec())
    }
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

/// Cross-entropy that counts well-classified rows less: `-alpha (1 - p)^gamma log p` of the label's probability `p` (Lin et al. 2017).
///
/// [`FocalLoss::new`] is over classes that exclude each other (softmax; Keras' `CategoricalFocalCrossentropy`), the mean over rows;
/// [`FocalLoss::binary`] over outputs each on its own (sigmoid; torchvision's `sigmoid_focal_loss`, Keras' `BinaryFocalCrossentropy`), the mean over
/// all elements: `alpha_t (1 - p_t)^gamma ce` with the binary cross-entropy `ce`, `p_t = p t + (1 - p) (1 - t)` and
/// `alpha_t = alpha t + (1 - alpha) (1 - t)`, of labels `t` from 0 to 1. On a model that ends in softmax or a sigmoid it uses what went into that, else
/// the outputs are logits. A logit of -inf (a masked class) adds nothing where its target is 0.
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
    pub fn alpha(mut self, alpha: impl Into<Numbers>) -> Self {
        self.alpha = alpha.into().0;
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

/// Each row's parts times its weight; those of weight 0 are 0, be they NaN.
#[track_caller]
pub(super) fn weighed(parts: &Var, weight: Option<&Var>) -> Var {
    let Some(w) = weight else { return parts.clone() };
    let column = column(parts, w);
    some(&column, parts) * column
}

/// The outputs; those of rows of weight 0 are 0 and get no gradient, be they NaN.
#[track_caller]
pub(super) fn counted(output: &Var, weight: Option<&Var>) -> Var {
    weight.map_or_else(|| output.clone(), |w| some(&column(output, w), output))
}

/// Weights `[rows]` against these rows.
#[track_caller]
fn column(of: &Var, w: &Var) -> Var {
    let (rows, shape) = (of.shape().dims().first().copied().unwrap_or(1), of.shape());
    if of.value().is_none() || w.value().is_none() {
        return of.builder().poisoned();
    }
    if w.dtype() != DType::F32 || w.shape().size() != rows {
        let problem = format!("sample weights {} {} for {rows} rows", w.dtype(), w.shape());
        return fault(of, "sample weights", problem, "the field `weight` has one number a row");
    }
    let mut column = vec![1; shape.rank()];
    column[..1.min(shape.rank())].fill(rows);
    w.reshape(column)
}

/// The value where the factor that it is going to be multiplied by is not 0, else 0: 0 times infinity is NaN, and what counts 0 does not count.
#[track_caller]
fn some(factor: &Var, value: &Var) -> Var {
    factor.not_equal(&factor.number(0.0)).select(value, &value.number(0.0))
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
/// sum of their weights, as in PyTorch (0 where these are all 0). A class of weight or probability 0 adds nothing, be its `x` infinite.
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
    // rows of class labels that count 0 get a gradient of 0 times a finite number
    let x = if labels.dtype() == DType::F32 { counted(x, weight) } else { x.clone() };
    let x = some(&goal, &x);
    let parts = weighed(&-(goal * x).sum_axes(&[1]), weight);
    match total {
        Some(total) => parts.sum() / total.not_equal(&total.number(0.0)).select(&total, &total.number(1.0)),
        None => parts.mean(),
    }
}

pub(super) type Weight<'a> = Option<&'a Var>;

#[track_caller]
pub(super) fn mae(output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    mean(&(counted(output, weight) - same("mae", output, labels)).abs(), weight)
}

#[track_caller]
pub(super) fn log_cosh(output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    let d = (counted(output, weight) - same("log_cosh", output, labels)).abs();
    mean(&(&d + (&d * -2.0).softplus() - std::f64::consts::LN_2), weight)
}

#[track_caller]
pub(super) fn huber(h: Huber, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    let d = (counted(output, weight) - same("huber", output, labels)).abs();
    let near = d.less_equal(&d.number(h.delta));
    mean(&near.select(&(d.square() * 0.5), &((&d - 0.5 * h.delta) * h.delta)), weight)
}

#[track_caller]
pub(super) fn kl_divergence(output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    // a log-softmax of it is itself
    let x = output.softmax_input().map_or_else(|| output.clone(), |x| x.log_softmax());
    let t = same("kl_divergence", &x, labels);
    let positive = t.greater(&t.number(0.0));
    let parts = &t * positive.select(&t, &t.number(1.0)).log() - &t * some(&t, &counted(&x, weight));
    let axes: Vec<usize> = (1..parts.shape().rank()).collect();
    mean(&if axes.is_empty() { parts } else { parts.sum_axes(&axes) }, weight)
}

#[track_caller]
pub(super) fn binary(c: &BinaryCrossEntropy, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    const OP: &str = "binary_cross_entropy";
    let z = if c.from_probabilities { output.clone() } else { output.sigmoid_input().unwrap_or_else(|| output.clone()) };
    let z = counted(&z, weight);
    let t = zeros_and_ones(OP, &z, labels);
    let s = c.label_smoothing;
    let t = if s == 0.0 { t } else { t * (1.0 - s) + 0.5 * s };
    let (yes, no) = match c.from_probabilities {
        true => (-(&z + 1e-7).log(), -(1.0 + 1e-7 - &z).log()),
        false => ((-&z).softplus(), z.softplus()),
    };
    let yes = some(&t, &yes);
    let yes = if c.pos_weight.is_empty() { yes } else { yes * numbers(OP, "weights", &z, &c.pos_weight) };
    let rest = 1.0 - &t;
    mean(&(&t * yes + &rest * some(&rest, &no)), weight)
}

#[track_caller]
pub(super) fn focal(c: &FocalLoss, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    const OP: &str = "focal_loss";
    if c.binary {
        return binary_focal(c, output, labels, weight);
    }
    let x = counted(&output.softmax_input().unwrap_or_else(|| output.clone()).log_softmax(), weight);
    let t = targets(OP, &x, labels);
    let mut parts = &t * some(&t, &x);
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

/// `alpha_t (1 - p_t)^gamma ce` of logits `z`, with `p_t = p t + (1 - p) (1 - t)`.
#[track_caller]
fn binary_focal(c: &FocalLoss, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
    let z = counted(&output.sigmoid_input().unwrap_or_else(|| output.clone()), weight);
    let t = zeros_and_ones("focal_loss", &z, labels);
    let (plus, minus, rest) = (z.softplus(), (-&z).softplus(), 1.0 - &t);
    let mut parts = &t * some(&t, &minus) + &rest * some(&rest, &plus);
    if c.gamma != 0.0 {
        // -log(1 - p_t): softplus(z) of a label 1, softplus(-z) of a label 0. Between them the logarithm is of a number that is no smaller than
        // the lesser of t and 1 - t; labels 0 and 1 stand aside with 1/2, so that no slope is infinite
        let (one, zero) = (t.equal(&t.number(1.0)), t.equal(&t.number(0.0)));
        let part = (&one + &zero).select(&t.number(0.5), &t);
        let mixed = -(&part * (-&plus).exp() + (1.0 - &part) * (-&minus).exp()).log();
        let depth = one.select(&plus, &zero.select(&minus, &mixed));
        parts = (depth * -c.gamma).exp() * parts;
    }
    if let [alpha] = c.alpha[..] {
        parts = parts * (&t * alpha + rest * (1.0 - alpha));
    }
    mean(&parts, weight)
}
