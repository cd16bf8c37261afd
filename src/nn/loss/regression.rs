//! Losses of numbers: squares and absolute values of differences, and what lies between.

use super::kind::{LossKind, Weight};
use super::weights::{counted, mean};
use crate::error::{Error, Faults, WITHIN};
use crate::graph::Var;
use crate::nn::closure::alike;
use crate::nn::labels::{integers, same};
use crate::nn::plain::plain;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};

plain! {
    /// The mean of squared differences over all elements (PyTorch's `MSELoss`).
    pub struct Mse, "The mean of squared differences.";
    /// The mean of absolute differences over all elements (PyTorch's `L1Loss`, Keras' `MeanAbsoluteError`); also a metric, `mae`. Its
    /// gradient is 0 where output and label are equal.
    #[doc(alias = "L1Loss")]
    #[doc(alias = "MeanAbsoluteError")]
    pub struct Mae, "The mean of absolute differences.";
    /// The mean of `log(cosh(output - label))` over all elements (Keras' `LogCosh`): squares near 0, absolute values far from it. Computed as
    /// `|d| + softplus(-2 |d|) - log 2`, which never overflows.
    pub struct LogCosh, "The mean logarithm of the hyperbolic cosine of the differences.";
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

impl LossKind for Mse {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        let (o, l) = (output.shape(), labels.shape());
        if integers("mse", output, labels) {
            return output.builder().poisoned();
        }
        if labels.dtype() == DType::F32 && o != l && o.size() != l.size() {
            output.builder().fail(Error::ShapeMismatch {
                op: "mse".into(),
                problem: format!("the model gives {o} and the labels are {l}"),
                at: WITHIN.into(),
                help: "the last layer must have as many outputs as a row of labels has values".into(),
            });
            return output.builder().poisoned();
        }
        mean(&(counted(output, weight) - alike(output, labels)).square(), weight)
    }
}

impl LossKind for Mae {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        mean(&(counted(output, weight) - same("mae", output, labels)).abs(), weight)
    }
}

impl LossKind for LogCosh {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        let d = (counted(output, weight) - same("log_cosh", output, labels)).abs();
        mean(&(&d + (&d * -2.0).softplus() - std::f64::consts::LN_2), weight)
    }
}

impl LossKind for Huber {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        let d = (counted(output, weight) - same("huber", output, labels)).abs();
        let near = d.less_equal(&d.number(self.delta));
        mean(&near.select(&(d.square() * 0.5), &((&d - 0.5 * self.delta) * self.delta)), weight)
    }

    fn check(&self, f: &mut Faults) {
        f.check(self.delta.is_finite() && self.delta > 0.0, "loss.delta", self.delta, "give a finite number above 0");
    }
}
