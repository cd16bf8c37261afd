//! Adagrad: each element is divided by the root of the sum of its squared gradients.

use super::check::check_number;
use super::decay::Decay;
use super::kind::{Formulas, OptimizerKind, Settings, is_zero, shared_settings};
use super::rates::LR;
use super::{Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// Adagrad (Duchi et al. 2011): PyTorch's `torch.optim.Adagrad`, with its names, defaults and formula.
///
/// ```text
/// g = g + weight_decay * p + l1 * sign(p)
/// s = s + g * g                                (s begins at initial_accumulator_value)
/// p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Adagrad {
    /// Learning rate; 1e-2.
    pub lr: Schedule,
    /// How fast the learning rate falls; 0.
    pub lr_decay: f64,
    /// L2 penalty, added to the gradient; 0.
    pub weight_decay: f64,
    /// L1 penalty: this times the sign of the parameter is added to the gradient; 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub l1: f64,
    /// Where the sum of squares begins; 0.
    pub initial_accumulator_value: f64,
    /// Added to the denominator; 1e-10.
    pub eps: f64,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for Adagrad {
    fn default() -> Self {
        let lr = 1e-2.into();
        Adagrad { lr, lr_decay: 0.0, weight_decay: 0.0, l1: 0.0, initial_accumulator_value: 0.0, eps: 1e-10, groups: vec![] }
    }
}

shared_settings!(Adagrad, "Sets the L2 penalty.", l1);

impl Adagrad {
    /// Sets how fast the learning rate falls.
    pub fn lr_decay(mut self, lr_decay: f64) -> Self {
        self.lr_decay = lr_decay;
        self
    }
    /// Sets where the sum of squares begins.
    pub fn initial_accumulator_value(mut self, value: f64) -> Self {
        self.initial_accumulator_value = value;
        self
    }
    /// Sets what is added to the denominator.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl OptimizerKind for Adagrad {
    fn formulas(&self) -> Formulas {
        let (eps, penalties) = (self.eps, self.penalties());
        let direction = Expr::of(3, |x| {
            let g = penalties.add(&x[0], &x[1]);
            let s = &x[2] + &g * &g;
            vec![&g / (s.sqrt() + eps), s]
        });
        Formulas::new(direction, |p, u| p - Scalar::rate(LR) * u)
    }

    fn rates(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = Rates::default();
        r[LR] = (lr / (1.0 + (t - 1.0) * self.lr_decay)) as f32;
        decay.coupled(&mut r);
        r
    }

    fn check(&self, f: &mut Faults) {
        check_number(f, "lr_decay", self.lr_decay);
        check_number(f, "initial_accumulator_value", self.initial_accumulator_value);
        check_number(f, "eps", self.eps);
    }

    fn initial_moment(&self) -> f32 {
        self.initial_accumulator_value as f32
    }
}
