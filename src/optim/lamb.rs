//! LAMB: Adam's direction, scaled for each tensor by the norm of its parameters.

use super::check::check_betas;
use super::decay::Decay;
use super::kind::{Formulas, OptimizerKind, shared_settings};
use super::rates::{L2, LR, RATE_RATIO, correction};
use super::{Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// LAMB (You et al. 2020, "Large Batch Optimization for Deep Learning", algorithm 2), with the names and defaults of NVIDIA's
/// `FusedLAMB`. PyTorch has none.
///
/// ```text
/// m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g
/// u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p
/// p = p - lr * |p| / |u| * u                 (norms of each parameter tensor; where one of them is 0, their ratio is 1)
/// ```
///
/// Costs two launches more than the others: the direction with its norms, and their ratios. (NVIDIA clips the gradient's norm to 1 too:
/// that is [`Compile::clip_norm`](crate::train::Compile::clip_norm) here.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Lamb {
    /// Learning rate; 1e-3.
    pub lr: Schedule,
    /// Decay of the two moments; (0.9, 0.999).
    pub betas: (f64, f64),
    /// Added to the denominator, above 0; 1e-6.
    pub eps: f64,
    /// Decoupled weight decay, a part of the direction; 0.01.
    pub weight_decay: f64,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for Lamb {
    fn default() -> Self {
        Lamb { lr: 1e-3.into(), betas: (0.9, 0.999), eps: 1e-6, weight_decay: 0.01, groups: vec![] }
    }
}

shared_settings!(Lamb, "Sets the weight decay.");

/// The root of the second correction, and the first correction.
const ROOT: usize = 1;
const FIRST: usize = 2;

impl Lamb {
    /// Sets the decay of the two moments.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.betas = (beta1, beta2);
        self
    }
    /// Sets what is added to the denominator.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl OptimizerKind for Lamb {
    fn formulas(&self) -> Formulas {
        let ((b1, b2), eps) = (self.betas, self.eps);
        let direction = Expr::of(4, |x| {
            let m = b1 * &x[2] + (1.0 - b1) * &x[1];
            let v = b2 * &x[3] + (1.0 - b2) * (&x[1] * &x[1]);
            let u = &m / Scalar::rate(FIRST) / (v.sqrt() / Scalar::rate(ROOT) + eps) + Scalar::rate(L2) * &x[0];
            vec![u, m, v]
        });
        Formulas::by_tensor(direction, |p, u| p - Scalar::rate(LR) * Scalar::rate(RATE_RATIO) * u)
    }

    fn rates(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = Rates::default();
        r[LR] = lr as f32;
        r[ROOT] = libm::sqrt(correction(self.betas.1, t)) as f32;
        r[FIRST] = correction(self.betas.0, t) as f32;
        r[L2] = decay.weight_decay as f32;
        r
    }

    fn check(&self, f: &mut Faults) {
        check_betas(f, self.betas);
        // the arena's gaps hold zeros: 0 / 0 there would reach the norms
        let eps = self.eps as f32;
        f.check(eps.is_finite() && eps > 0.0, "optimizer.eps", self.eps, "give a number above 0 that f32 holds");
    }
}
