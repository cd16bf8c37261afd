//! Which part of the rows the model says right.

use super::finish::Finish;
use super::kind::MetricKind;
use super::settings::{binary_settings, check_threshold, half, ignoring, labelled, positive};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::{fault, told, zeros_and_ones};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The fraction of rows whose largest output is the label's. Outputs are `[.., classes]`, labels classes `[..]` or rows of probabilities `[.., classes]`.
///
/// Rows whose label is ignored do not count; where none counts it is 0. Unless it is told, that is the label that the loss of the model ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Accuracy {
    /// The class label that does not count; `None`: what the loss beside ignores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u32>,
}

impl Accuracy {
    /// The fraction of rows whose largest output is the label's.
    pub fn new() -> Self {
        Self::default()
    }
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
/// `TopKCategoricalAccuracy` and its sparse twin). Named `top_5_accuracy`, by its `k`. Rows whose label is ignored do not count, as in [`Accuracy`].
#[doc(alias = "TopKCategoricalAccuracy")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct TopKAccuracy {
    /// How many, at least 1.
    pub k: usize,
    /// The class label that does not count; `None`: what the loss beside ignores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u32>,
    /// Its name in histories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl TopKAccuracy {
    /// Among the `k` largest.
    pub fn new(k: usize) -> Self {
        TopKAccuracy { k, ignore_index: None, label: None }
    }
}

/// The columns of [`Finish::Counted`].
fn both(hits: &Var, counted: &Var) -> Var {
    hits.reshape([1]).concat(&[&counted.reshape([1])], 0)
}

/// Rows of scores that each row of the batch has.
fn rows_of(output: &Var) -> usize {
    output.shape().dims().split_last().map_or(1, |(_, rows)| rows.iter().skip(1).product())
}

labelled! { BinaryAccuracy TopKAccuracy }
ignoring! { Accuracy TopKAccuracy }
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
        match self.ignore_index {
            None => output.accuracy(labels),
            Some(ignored) => {
                let (share, counted) = output.accuracy_ignoring(labels, ignored);
                both(&(share * &counted), &counted)
            }
        }
    }

    fn finish(&self, output: &Var) -> Finish {
        if self.ignore_index.is_some() { Finish::Counted } else { Finish::Share(rows_of(output)) }
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
        let Some((told, counts)) = told("top_k_accuracy", output, labels, self.ignore_index) else {
            return output.builder().poisoned();
        };
        let last = output.shape().rank() - 1;
        let own = told.select(output, &output.number(0.0)).sum_keep(&[last]);
        let before = (1.0 - output.less_equal(&own)).sum_axes(&[last]);
        let hits = before.less(&before.number(self.k as f64));
        match counts {
            None => hits.mean(),
            Some(counts) => both(&(hits * counts.reshape(before.shape())).sum(), &counts.sum()),
        }
    }

    fn finish(&self, output: &Var) -> Finish {
        if self.ignore_index.is_some() { Finish::Counted } else { Finish::Share(rows_of(output)) }
    }

    fn check(&self, f: &mut Faults) {
        f.check(self.k > 0, "metric.k", self.k, "give at least 1");
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(self.label.as_deref().map_or_else(|| format!("top_{}_accuracy", self.k).into(), Cow::from))
    }
}
