//! The focal loss, over classes and of labels 0 and 1.

use super::kind::{LossKind, Weight};
use super::weights::{check_weights, counted, mean, numbers, some};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::Numbers;
use crate::nn::labels::{targets, zeros_and_ones};
use serde::{Deserialize, Serialize};

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

impl LossKind for FocalLoss {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        const OP: &str = "focal_loss";
        if self.binary {
            return binary_focal(self, output, labels, weight);
        }
        let x = counted(&output.softmax_input().unwrap_or_else(|| output.clone()).log_softmax(), weight);
        let t = targets(OP, &x, labels);
        let mut parts = &t * some(&t, &x);
        if self.gamma != 0.0 {
            // 1 - p, never quite 0: its power may have an infinite slope there
            parts = parts * (-x.expm1()).clamp(1e-20, f64::INFINITY).pow(self.gamma);
        }
        if !self.alpha.is_empty() {
            parts = parts * numbers(OP, "values of alpha", &x, &self.alpha);
        }
        if parts.value().is_none() {
            return parts;
        }
        mean(&-parts.sum_axes(&[x.shape().rank() - 1]), weight)
    }

    fn check(&self, f: &mut Faults) {
        f.check(self.gamma.is_finite() && self.gamma >= 0.0, "loss.gamma", self.gamma, "give a finite number, 0 or above");
        check_weights(f, "loss.alpha", &self.alpha);
        let one = !self.binary || self.alpha.len() <= 1 && self.alpha.iter().all(|a| *a <= 1.0);
        f.check(one, "loss.alpha", format!("{:?}", self.alpha), "binary focal loss takes one number from 0 to 1, or none");
    }

    fn takes_logits(&self) -> bool {
        self.binary
    }

    fn takes_parts(&self) -> bool {
        self.binary
    }
}

/// `alpha_t (1 - p_t)^gamma ce` of logits `z`, with `p_t = p t + (1 - p) (1 - t)`.
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
