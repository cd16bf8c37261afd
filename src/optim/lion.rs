//! Lion: the sign of a running mean of the gradient.

use super::check::check_betas;
use super::decay::Decay;
use super::kind::{Formulas, OptimizerKind, shared_settings};
use super::rates::{KEEP, LR};
use super::{Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2), with the names and defaults of the authors'
/// own implementation. PyTorch has none.
///
/// ```text
/// u = sign(beta1 * m + (1 - beta1) * g);  m = beta2 * m + (1 - beta2) * g
/// p = p * (1 - lr * weight_decay) - lr * u
/// ```
///
/// Every step moves a parameter by the learning rate: take a third to a tenth of AdamW's, and a weight decay that is as much larger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Lion {
    /// Learning rate; 1e-4.
    pub lr: Schedule,
    /// Weights of the momentum in the direction, and of its own decay; (0.9, 0.99).
    pub betas: (f64, f64),
    /// Decoupled weight decay; 0.
    pub weight_decay: f64,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for Lion {
    fn default() -> Self {
        Lion { lr: 1e-4.into(), betas: (0.9, 0.99), weight_decay: 0.0, groups: vec![] }
    }
}

shared_settings!(Lion, "Sets the weight decay.");

impl Lion {
    /// Sets the weight of the momentum in the direction, and its decay.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.betas = (beta1, beta2);
        self
    }
}

impl OptimizerKind for Lion {
    fn formulas(&self) -> Formulas {
        let (b1, b2) = self.betas;
        let direction = Expr::of(3, |x| {
            let c = b1 * &x[2] + (1.0 - b1) * &x[1];
            vec![c.sign(), b2 * &x[2] + (1.0 - b2) * &x[1]]
        });
        Formulas::new(direction, |p, u| p * Scalar::rate(KEEP) - Scalar::rate(LR) * u)
    }

    fn rates(&self, _: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = Rates::default();
        r[LR] = lr as f32;
        decay.decoupled(lr, &mut r);
        r
    }

    fn check(&self, f: &mut Faults) {
        check_betas(f, self.betas);
    }
}
