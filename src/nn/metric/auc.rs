//! The area under the receiver operating characteristic.

use super::finish::Finish;
use super::kind::MetricKind;
use super::settings::labelled;
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::zeros_and_ones;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

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
    /// Whether the outputs are logits; `None`: what the loss beside takes them for ([`BinaryCrossEntropy`](crate::nn::BinaryCrossEntropy) and
    /// [`FocalLoss::binary`](crate::nn::FocalLoss::binary) on outputs that are no sigmoid's take logits), else probabilities.
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

labelled! { Auc }

impl Default for Auc {
    fn default() -> Self {
        Self::new()
    }
}

impl MetricKind for Auc {
    /// Positives and negatives above each threshold, `[2, thresholds]`.
    fn build(&self, logits: bool, output: &Var, labels: &Var) -> Var {
        let t = zeros_and_ones("auc", output, labels);
        if t.value().is_none() {
            return t;
        }
        let (n, last) = (t.shape().size(), self.num_thresholds - 1);
        let p = if self.from_logits.unwrap_or(logits) { output.sigmoid() } else { output.clone() };
        let i = output.builder().ordinals(self.num_thresholds) - 1.0;
        let ends = |i: &Var| i.equal(&i.number(last as f64)) * 1e-7 - i.equal(&i.number(0.0)) * 1e-7;
        let thresholds = &i / last as f64 + ends(&i);
        let above = p.reshape([n, 1]).greater(&thresholds);
        let t = t.reshape([n, 1]);
        t.concat(&[&(1.0 - &t)], 1).matmul_with(&above, true, false)
    }

    fn finish(&self, _: &Var) -> Finish {
        Finish::Area
    }

    fn check(&self, f: &mut Faults) {
        f.check(self.num_thresholds >= 2, "metric.num_thresholds", self.num_thresholds, "give at least 2, as 200");
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        self.label.as_deref().map(Cow::from)
    }
}
