//! Which part of the rows the model says right.

use super::finish::Finish;
use super::kind::MetricKind;
use super::settings::{binary_settings, check_threshold, half, labelled, positive};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::{classes, fault, one_hot, scores, zeros_and_ones};
use crate::nn::plain::plain;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

plain! {
    /// The fraction of rows whose largest output is the label's.
    pub struct Accuracy, "The fraction of rows whose largest output is the label's.";
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
    /// Whether the outputs are logits; `None`: what the loss beside takes them for ([`BinaryCrossEntropy`](crate::nn::BinaryCrossEntropy) and
    /// [`FocalLoss::binary`](crate::nn::FocalLoss::binary) on outputs that are no sigmoid's take logits), else probabilities.
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

labelled! { BinaryAccuracy TopKAccuracy }
binary_settings! { BinaryAccuracy }

impl MetricKind for Accuracy {
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        let (o, l) = (output.shape(), labels.shape());
        if output.value().is_some() && o.rank() > 0 && o.size() == o[0] && o.size() == l.size() {
            let problem = format!("one output a row, {o}, for the labels {l}");
            return fault(
                output,
                "accuracy",
                problem,
                "`Accuracy` looks for the largest of several outputs: of one output use `BinaryAccuracy`",
            );
        }
        output.accuracy(labels)
    }

    fn finish(&self, _: &Var) -> Finish {
        Finish::Share(1)
    }
}

impl MetricKind for BinaryAccuracy {
    fn build(&self, logits: bool, output: &Var, labels: &Var) -> Var {
        let t = zeros_and_ones("binary_accuracy", output, labels);
        positive(output, self.threshold, self.from_logits.unwrap_or(logits)).equal(&t).mean()
    }

    fn finish(&self, output: &Var) -> Finish {
        Finish::Share(output.shape().dims().iter().skip(1).product())
    }

    fn check(&self, f: &mut Faults) {
        check_threshold(f, self.threshold);
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        self.label.as_deref().map(Cow::from)
    }
}

impl MetricKind for TopKAccuracy {
    /// The label's place: how many outputs are not at or below it. NaN puts it behind all.
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        if !scores("top_k_accuracy", output, labels) {
            return output.builder().poisoned();
        }
        let n = output.shape().last();
        let own = one_hot(&classes(labels), n).select(output, &output.number(0.0)).sum_keep(&[1]);
        let before = (1.0 - output.less_equal(&own)).sum_axes(&[1]);
        before.less(&before.number(self.k as f64)).mean()
    }

    fn finish(&self, _: &Var) -> Finish {
        Finish::Share(1)
    }

    fn check(&self, f: &mut Faults) {
        f.check(self.k > 0, "metric.k", self.k, "give at least 1");
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(self.label.as_deref().map_or_else(|| format!("top_{}_accuracy", self.k).into(), Cow::from))
    }
}
