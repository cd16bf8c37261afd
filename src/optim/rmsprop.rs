//! RMSprop: each element is divided by the root of a running mean of its squared gradient.

use super::check::check_number;
use super::decay::Decay;
use super::kind::{Formulas, OptimizerKind, Settings, is_zero, shared_settings};
use super::rates::LR;
use super::{Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// RMSprop (Hinton's lecture 6e; centered: Graves 2013): PyTorch's `torch.optim.RMSprop`, with its names, defaults and formula.
///
/// ```text
/// g = g + weight_decay * p + l1 * sign(p)
/// v = alpha * v + (1 - alpha) * g * g;  centered: a = alpha * a + (1 - alpha) * g
/// d = g / (sqrt(v, centered: v - a * a) + eps)
/// momentum: b = momentum * b + d;  p = p - lr * b;  else p = p - lr * d
/// ```
///
/// `eps` stands outside of the root, as in PyTorch. Where rounding makes `v - a * a` negative, it counts as 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct RmsProp {
    /// Learning rate; 1e-2.
    pub lr: Schedule,
    /// Decay of the mean of squares; 0.99.
    pub alpha: f64,
    /// Added to the denominator; 1e-8.
    pub eps: f64,
    /// L2 penalty, added to the gradient; 0.
    pub weight_decay: f64,
    /// L1 penalty: this times the sign of the parameter is added to the gradient; 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub l1: f64,
    /// Momentum; 0.
    pub momentum: f64,
    /// Divides by the gradient's deviation in place of its root mean square; off.
    pub centered: bool,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for RmsProp {
    fn default() -> Self {
        let lr = 1e-2.into();
        RmsProp { lr, alpha: 0.99, eps: 1e-8, weight_decay: 0.0, l1: 0.0, momentum: 0.0, centered: false, groups: vec![] }
    }
}

shared_settings!(RmsProp, "Sets the L2 penalty.", l1);

impl RmsProp {
    /// Sets the decay of the mean of squares.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }
    /// Sets what is added to the denominator.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
    /// Sets the momentum.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }
    /// Divides by the gradient's deviation.
    pub fn centered(mut self, centered: bool) -> Self {
        self.centered = centered;
        self
    }
}

impl OptimizerKind for RmsProp {
    fn formulas(&self) -> Formulas {
        let (alpha, eps, mu, centered) = (self.alpha, self.eps, self.momentum, self.centered);
        let penalties = self.penalties();
        let moments = 1 + usize::from(centered) + usize::from(mu > 0.0);
        let direction = Expr::of(2 + moments, |x| {
            let g = penalties.add(&x[0], &x[1]);
            let v = alpha * &x[2] + (1.0 - alpha) * (&g * &g);
            let mean = centered.then(|| alpha * &x[3] + (1.0 - alpha) * &g);
            let spread = mean.as_ref().map_or(v.clone(), |a| (&v - a * a).maximum(0.0));
            let d = &g / (spread.sqrt() + eps);
            let b = (mu > 0.0).then(|| mu * &x[1 + moments] + &d);
            [b.clone().unwrap_or(d), v].into_iter().chain(mean).chain(b).collect()
        });
        Formulas::new(direction, |p, u| p - Scalar::rate(LR) * u)
    }

    fn rates(&self, _: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = Rates::default();
        r[LR] = lr as f32;
        decay.coupled(&mut r);
        r
    }

    fn check(&self, f: &mut Faults) {
        f.check((0.0..1.0).contains(&self.alpha), "optimizer.alpha", self.alpha, "give a number from 0 to below 1");
        check_number(f, "eps", self.eps);
        check_number(f, "momentum", self.momentum);
    }
}
