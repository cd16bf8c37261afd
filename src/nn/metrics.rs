//! The metrics beside accuracy: their settings, and the columns that each logs at every batch.

use super::finish::{Finish, Score};
use super::labels::{classes, fault, one_hot, same, scores, zeros_and_ones};
use crate::error::{Error, Faults};
use crate::graph::Var;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};

macro_rules! named {
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
named! { BinaryAccuracy TopKAccuracy ConfusionMatrix Precision Recall F1 Auc }

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
    )*};
}
binary_settings! { BinaryAccuracy Precision Recall F1 }

fn half() -> f64 {
    0.5
}

/// The fraction of outputs on the label's side of a threshold, each output on its own; labels are 0 and 1, reals or integers. Named
/// `binary_accuracy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct BinaryAccuracy {
    /// A probability above it counts as 1; 0.5.
    #[serde(default = "half")]
    pub threshold: f64,
    /// Whether the outputs are logits; `None`: what the loss beside takes them for ([`BinaryCrossEntropy`](super::BinaryCrossEntropy) and
    /// [`FocalLoss::binary`](super::FocalLoss::binary) on outputs that are no sigmoid's take logits), else probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_logits: Option<bool>,
    /// Its name in histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl BinaryAccuracy {
    /// Of probabilities, at 0.5.
    pub fn new() -> Self {
        BinaryAccuracy { threshold: 0.5, from_logits: None, label: None }
    }
}

/// The fraction of rows whose label is among the `k` largest outputs; outputs that equal the k-th count as among them (Keras'
/// `TopKCategoricalAccuracy` and its sparse twin). Named `top_5_accuracy`, by its `k`.
#[doc(alias = "TopKCategoricalAccuracy")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct TopKAccuracy {
    /// How many, at least 1.
    pub k: usize,
    /// Its name in histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl TopKAccuracy {
    /// Among the `k` largest.
    pub fn new(k: usize) -> Self {
        TopKAccuracy { k, label: None }
    }
}

/// How often a row of each class was taken for each class: rows are labels, columns what the model says (as in sklearn and Keras). Read it by
/// [`Evaluation::matrix`](crate::train::Evaluation::matrix), under the name `confusion`; histories hold numbers and not this.
///
/// The model gives one score for each class, or for two classes one probability (above 0.5 is class 1; or one logit, if the loss takes it for that).
///
/// ```
/// use gradus::nn::ConfusionMatrix;
/// use gradus::prelude::*;
/// use gradus::tensor::HostTensor;
/// let x = HostTensor::f32([4, 3], vec![1., 0., 0., 0., 1., 0., 0., 1., 0., 0., 0., 1.])?;
/// let data = Dataset::new(x, HostTensor::u32([4], vec![0, 1, 2, 2])?)?;
/// let same = module(|_, x| x * 1.0);
/// let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3]).metric(ConfusionMatrix::new(3)).device(Device::cpu());
/// let seen = same.compile(settings)?.evaluate(&data, 3)?;
/// let confusion = seen.matrix("confusion").unwrap();
/// assert_eq!(confusion.row(2), [0.0, 1.0, 1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ConfusionMatrix {
    /// How many classes; at most 127 fit in the device's log.
    pub classes: usize,
    /// Its name in evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl ConfusionMatrix {
    /// Of so many classes.
    pub fn new(classes: usize) -> Self {
        ConfusionMatrix { classes, label: None }
    }
}

/// How the scores of several classes become one, as sklearn's `average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Average {
    /// The mean over the classes. Classes that are neither label nor prediction of any row do not count, as in sklearn.
    Macro,
    /// One score from the counts of all classes together.
    Micro,
    /// The mean over the classes, weighted by how many rows have them as label.
    Weighted,
}

/// Its name: `macro`, `micro`, `weighted`.
impl std::str::FromStr for Average {
    type Err = Error;
    fn from_str(s: &str) -> crate::Result<Self> {
        match s {
            "macro" => Ok(Average::Macro),
            "micro" => Ok(Average::Micro),
            "weighted" => Ok(Average::Weighted),
            _ => Err(Error::unknown_choice("average", s, &["macro", "micro", "weighted"])),
        }
    }
}

macro_rules! score {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// Without an average it is of labels 0 and 1, over all outputs together (Keras); with one it is of classes, the largest output being what the
        /// model says (sklearn). It comes of counts over the whole epoch, and is 0 where it would be 0 / 0.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $name {
            /// A probability above it counts as 1; 0.5. Without effect where there is an average.
            #[serde(default = "half")]
            pub threshold: f64,
            /// Whether the outputs are logits; `None`: what the loss beside takes them for, else probabilities. Without effect where there is an
            /// average.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub from_logits: Option<bool>,
            /// How the scores of several classes become one; none for labels 0 and 1.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub average: Option<Average>,
            /// Its name in histories.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub label: Option<String>,
        }

        impl $name {
            /// Of labels 0 and 1, at a probability of 0.5.
            pub fn new() -> Self {
                $name { threshold: 0.5, from_logits: None, average: None, label: None }
            }
            /// Of several classes.
            pub fn average(mut self, average: Average) -> Self {
                self.average = Some(average);
                self
            }
        }
    )*};
}

score! {
    /// What part of the rows that the model takes for a class has that label: `precision`.
    Precision
    /// What part of the rows with a label the model takes for that class: `recall`.
    Recall
    /// The harmonic mean of precision and recall, `2 tp / (2 tp + fp + fn)`: `f1`.
    #[doc(alias = "F1Score")]
    F1
}

macro_rules! default {
    ($($name:ident)*) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    )*};
}
default! { BinaryAccuracy Precision Recall F1 Auc }

/// The area under the receiver operating characteristic, of probabilities and labels 0 and 1, over all outputs together: `auc`.
///
/// By Keras' method: true and false positives are counted at `num_thresholds` thresholds (`-1e-7`, then `i / (n - 1)`, then `1 + 1e-7`; above
/// counts as positive), and the area lies under straight lines between these points. So it is right to about `1 / num_thresholds`, less where most
/// probabilities lie between two thresholds. 0 where only one of the labels occurs.
#[doc(alias = "AUC")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Auc {
    /// How many thresholds, at least 2; 200.
    #[serde(default = "thresholds")]
    pub num_thresholds: usize,
    /// Whether the outputs are logits; `None`: what the loss beside takes them for ([`BinaryCrossEntropy`](super::BinaryCrossEntropy) and
    /// [`FocalLoss::binary`](super::FocalLoss::binary) on outputs that are no sigmoid's take logits), else probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_logits: Option<bool>,
    /// Its name in histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

fn thresholds() -> usize {
    200
}

impl Auc {
    /// Of probabilities, at 200 thresholds.
    pub fn new() -> Self {
        Auc { num_thresholds: 200, from_logits: None, label: None }
    }
    /// How many thresholds.
    pub fn num_thresholds(mut self, n: usize) -> Self {
        self.num_thresholds = n;
        self
    }
    /// Whether the outputs are logits, whatever the loss takes them for: their sigmoid counts.
    pub fn from_logits(mut self, logits: bool) -> Self {
        self.from_logits = Some(logits);
        self
    }
}

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
    /// The root of the mean of squared differences over all elements of an epoch (not a mean of the batches' roots): `rmse`.
    #[doc(alias = "RootMeanSquaredError")]
    Rmse = "The root of the mean of squared differences.";
    /// The coefficient of determination, `1 - sum (t - y)^2 / sum (t - mean t)^2`, of each output over the epoch, and the mean over the outputs
    /// (sklearn's `r2_score`, Keras' `R2Score`): `r2`. Where the labels of an output do not vary it is 1 if all are met, else 0.
    #[doc(alias = "R2Score")]
    R2 = "The coefficient of determination.";
}

impl TopKAccuracy {
    pub(super) fn check(&self, f: &mut Faults) {
        f.check(self.k > 0, "metric.k", self.k, "give at least 1");
    }
}

impl ConfusionMatrix {
    pub(super) fn check(&self, f: &mut Faults) {
        f.check(self.classes >= 2, "metric.classes", self.classes, "give at least 2");
    }
}

impl Auc {
    pub(super) fn check(&self, f: &mut Faults) {
        f.check(self.num_thresholds >= 2, "metric.num_thresholds", self.num_thresholds, "give at least 2, as 200");
    }
}

pub(super) fn check_threshold(f: &mut Faults, threshold: f64) {
    f.check((0.0..1.0).contains(&threshold), "metric.threshold", threshold, "give a probability, as 0.5");
}

/// 1 where the probability is above the threshold.
#[track_caller]
fn positive(output: &Var, threshold: f64, logits: bool) -> Var {
    let at = if logits { (threshold / (1.0 - threshold)).ln().max(f64::from(f32::MIN)) } else { threshold };
    output.greater(&output.number(at))
}

/// All elements, one after another.
#[track_caller]
fn flat(v: &Var) -> Var {
    v.reshape([v.shape().size()])
}

#[track_caller]
pub(super) fn binary_accuracy(m: &BinaryAccuracy, logits: bool, output: &Var, labels: &Var) -> Var {
    let t = zeros_and_ones("binary_accuracy", output, labels);
    positive(output, m.threshold, logits).equal(&t).mean()
}

/// The label's place: how many outputs are not at or below it. NaN puts it behind all.
#[track_caller]
pub(super) fn top_k(m: &TopKAccuracy, output: &Var, labels: &Var) -> Var {
    if !scores("top_k_accuracy", output, labels) {
        return output.builder().poisoned();
    }
    let n = output.shape().last();
    let own = one_hot(&classes(labels), n).select(output, &output.number(0.0)).sum_keep(&[1]);
    let before = (1.0 - output.less_equal(&own)).sum_axes(&[1]);
    before.less(&before.number(m.k as f64)).mean()
}

/// What the model says and what the labels say, as rows of 0 and 1.
#[track_caller]
fn said_and_true(op: &str, output: &Var, labels: &Var) -> Option<(Var, Var)> {
    if !scores(op, output, labels) {
        return None;
    }
    let n = output.shape().last();
    Some((one_hot(&output.argmax(1), n), one_hot(&classes(labels), n)))
}

/// `[classes, classes]`, labels down, predictions along.
#[track_caller]
pub(super) fn confusion(m: &ConfusionMatrix, logits: bool, output: &Var, labels: &Var) -> Var {
    const OP: &str = "confusion_matrix";
    let (n, last) = (m.classes, output.shape().last());
    let one = m.classes == 2 && output.shape().size() == labels.shape().size() && (last == 1 || output.shape().rank() == 1);
    if one {
        let said = (flat(&positive(output, 0.5, logits)) + 1.0).one_hot_rows(2);
        let told = (flat(&zeros_and_ones(OP, output, labels)) + 1.0).one_hot_rows(2);
        return told.matmul_with(&said, true, false);
    }
    if last != n && output.value().is_some() {
        let problem = format!("{n} classes and outputs {}", output.shape());
        return fault(output, OP, problem, "give `ConfusionMatrix::new` as many classes as the model has outputs");
    }
    match said_and_true(OP, output, labels) {
        Some((said, told)) => told.matmul_with(&said, true, false),
        None => output.builder().poisoned(),
    }
}

/// True positives, rows said to be positive, rows that are: one of each, or one for each class, `[3 * classes]`.
#[track_caller]
pub(super) fn counts(op: &str, average: Option<Average>, threshold: f64, logits: bool, output: &Var, labels: &Var) -> Var {
    let (said, told) = match average {
        None => {
            let told = zeros_and_ones(op, output, labels);
            let column = |v: &Var| v.reshape([v.shape().size(), 1]);
            if told.value().is_none() {
                return told;
            }
            (column(&positive(output, threshold, logits)), column(&told))
        }
        Some(_) => match said_and_true(op, output, labels) {
            Some(both) => both,
            None => return output.builder().poisoned(),
        },
    };
    (&said * &told).concat(&[&said, &told], 1).sum_axes(&[0])
}

/// Positives and negatives above each threshold, `[2, thresholds]`.
#[track_caller]
pub(super) fn curve(m: &Auc, logits: bool, output: &Var, labels: &Var) -> Var {
    let t = zeros_and_ones("auc", output, labels);
    if t.value().is_none() {
        return t;
    }
    let (n, last) = (t.shape().size(), m.num_thresholds - 1);
    let p = if logits { output.sigmoid() } else { output.clone() };
    let i = output.builder().ordinals(m.num_thresholds) - 1.0;
    let ends = |i: &Var| i.equal(&i.number(last as f64)) * 1e-7 - i.equal(&i.number(0.0)) * 1e-7;
    let thresholds = &i / last as f64 + ends(&i);
    let above = p.reshape([n, 1]).greater(&thresholds);
    let t = t.reshape([n, 1]);
    t.concat(&[&(1.0 - &t)], 1).matmul_with(&above, true, false)
}

#[track_caller]
pub(super) fn squares(op: &str, output: &Var, labels: &Var) -> Var {
    (output - same(op, output, labels)).square().mean()
}

#[track_caller]
pub(super) fn absolutes(output: &Var, labels: &Var) -> Var {
    (output - same("mae", output, labels)).abs().mean()
}

/// Of each output over the batch: the labels' mean, the squares around it, the squares of the differences: `[3 * outputs]`.
#[track_caller]
pub(super) fn spreads(output: &Var, labels: &Var) -> Var {
    let t = same("r2", output, labels);
    if t.value().is_none() || t.dtype() != DType::F32 {
        return t;
    }
    let (rows, size) = (t.shape()[0], t.shape().size());
    let (t, y) = (t.reshape([rows, size / rows]), output.reshape([rows, size / rows]));
    let mean = t.mean_from_first(&[0]);
    let around = (&t - &mean).square().sum_axes(&[0]);
    let missed = (t - y).square().sum_axes(&[0]);
    mean.squeeze(0).concat(&[&around, &missed], 0)
}

pub(super) fn score(kind: Score, average: Option<Average>) -> Finish {
    Finish::Score(kind, average)
}
