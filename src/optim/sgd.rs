//! Stochastic gradient descent, with momentum.

use super::check::check_number;
use super::decay::Decay;
use super::kind::{Formulas, OptimizerKind, Settings, is_zero, shared_settings};
use super::rates::LR;
use super::{Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, Nesterov's too: PyTorch's `torch.optim.SGD`, with its names, defaults and formula.
///
/// ```text
/// g = g + weight_decay * p + l1 * sign(p)
/// b = momentum * b + (1 - dampening) * g      (first step: b = g)
/// p = p - lr * (nesterov: g + momentum * b, else b)
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Sgd {
    /// Learning rate; 1e-3.
    pub lr: Schedule,
    /// Momentum; 0.
    pub momentum: f64,
    /// Dampening of the momentum; 0.
    pub dampening: f64,
    /// L2 penalty, added to the gradient; 0.
    pub weight_decay: f64,
    /// L1 penalty: this times the sign of the parameter is added to the gradient; 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub l1: f64,
    /// Nesterov's momentum; off.
    pub nesterov: bool,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { lr: 1e-3.into(), momentum: 0.0, dampening: 0.0, weight_decay: 0.0, l1: 0.0, nesterov: false, groups: vec![] }
    }
}

shared_settings!(Sgd, "Sets the L2 penalty.", l1);

/// What dampening lets through.
const FRESH: usize = 1;

impl Sgd {
    /// Sets the momentum.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }
    /// Sets the dampening.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.dampening = dampening;
        self
    }
    /// Uses Nesterov's momentum.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }
}

impl OptimizerKind for Sgd {
    fn formulas(&self) -> Formulas {
        let (mu, nesterov) = (self.momentum, self.nesterov);
        let penalties = self.penalties();
        let direction = if mu == 0.0 {
            Expr::of(2, |x| vec![penalties.add(&x[0], &x[1])])
        } else {
            Expr::of(3, |x| {
                let g = penalties.add(&x[0], &x[1]);
                let b = mu * &x[2] + Scalar::rate(FRESH) * &g;
                vec![if nesterov { &g + mu * &b } else { b.clone() }, b]
            })
        };
        Formulas::new(direction, |p, u| p - Scalar::rate(LR) * u)
    }

    fn rates(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = Rates::default();
        r[LR] = lr as f32;
        r[FRESH] = if t == 1.0 { 1.0 } else { (1.0 - self.dampening) as f32 };
        decay.coupled(&mut r);
        r
    }

    fn check(&self, f: &mut Faults) {
        check_number(f, "momentum", self.momentum);
        f.check((self.dampening as f32).is_finite(), "optimizer.dampening", self.dampening, "give a finite number; 0 is usual");
        let plain = self.momentum > 0.0 && self.dampening == 0.0;
        f.check(
            !self.nesterov || plain,
            "optimizer.nesterov",
            "needs a momentum and no dampening",
            "set a momentum, or leave nesterov off",
        );
    }
}
