//! Adam and AdamW: running means of the gradient and of its square.

use super::check::{check_betas, check_number};
use super::decay::{Decay, Penalties};
use super::kind::{Formulas, OptimizerKind, Settings, is_false, is_zero, shared_settings};
use super::rates::{KEEP, LR, correction};
use super::{Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// Adam (Kingma & Ba 2015): PyTorch's `torch.optim.Adam`, with its names, defaults and formula.
///
/// ```text
/// g = g + weight_decay * p + l1 * sign(p)
/// m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g
/// p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// With `amsgrad` the largest `v` so far stands in the last line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Adam {
    /// Learning rate; 1e-3.
    pub lr: Schedule,
    /// Decay of the two moments; (0.9, 0.999).
    pub betas: (f64, f64),
    /// Added to the denominator; 1e-8.
    pub eps: f64,
    /// L2 penalty, added to the gradient; 0.
    pub weight_decay: f64,
    /// L1 penalty: this times the sign of the parameter is added to the gradient; 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub l1: f64,
    /// Divides by the root of the largest second moment so far (Reddi et al. 2018); off.
    #[serde(skip_serializing_if = "is_false")]
    pub amsgrad: bool,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// AdamW (Loshchilov & Hutter 2019): PyTorch's `torch.optim.AdamW`. As [`Adam`], but the weights decay apart from the
/// gradient: `p = p * (1 - lr * weight_decay)` first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct AdamW {
    /// Learning rate; 1e-3.
    pub lr: Schedule,
    /// Decay of the two moments; (0.9, 0.999).
    pub betas: (f64, f64),
    /// Added to the denominator; 1e-8.
    pub eps: f64,
    /// Decoupled weight decay; 0.01.
    pub weight_decay: f64,
    /// Divides by the root of the largest second moment so far (Reddi et al. 2018); off.
    #[serde(skip_serializing_if = "is_false")]
    pub amsgrad: bool,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for Adam {
    fn default() -> Self {
        let lr = 1e-3.into();
        Adam { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, l1: 0.0, amsgrad: false, groups: vec![] }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { lr: 1e-3.into(), betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01, amsgrad: false, groups: vec![] }
    }
}

shared_settings!(Adam, "Sets the L2 penalty.", l1);
shared_settings!(AdamW, "Sets the weight decay.");

macro_rules! moments {
    ($name:ident) => {
        impl $name {
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
            /// Divides by the root of the largest second moment so far.
            pub fn amsgrad(mut self, amsgrad: bool) -> Self {
                self.amsgrad = amsgrad;
                self
            }
        }
    };
}
moments!(Adam);
moments!(AdamW);

// PyTorch's `lr / c1 * m / (sqrt(v) / root + eps)`, times `root` above and below: one division in place of two
const EPS: usize = 1;

impl OptimizerKind for Adam {
    fn formulas(&self) -> Formulas {
        let penalties = self.penalties();
        Formulas::new(direction(self.betas, self.amsgrad, Some(penalties)), |p, u| p - Scalar::rate(LR) * u)
    }

    fn rates(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = corrected(self.betas, self.eps, t, lr);
        decay.coupled(&mut r);
        r
    }

    fn check(&self, f: &mut Faults) {
        check_betas(f, self.betas);
        check_number(f, "eps", self.eps);
    }
}

impl OptimizerKind for AdamW {
    fn formulas(&self) -> Formulas {
        let direction = direction(self.betas, self.amsgrad, None);
        Formulas::new(direction, |p, u| p * Scalar::rate(KEEP) - Scalar::rate(LR) * u)
    }

    fn rates(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        let mut r = corrected(self.betas, self.eps, t, lr);
        decay.decoupled(lr, &mut r);
        r
    }

    fn check(&self, f: &mut Faults) {
        check_betas(f, self.betas);
        check_number(f, "eps", self.eps);
    }
}

fn direction((b1, b2): (f64, f64), amsgrad: bool, penalties: Option<Penalties>) -> Expr {
    Expr::of(if amsgrad { 5 } else { 4 }, |x| {
        let g = penalties.map_or(x[1].clone(), |p| p.add(&x[0], &x[1]));
        let m = b1 * &x[2] + (1.0 - b1) * &g;
        let v = b2 * &x[3] + (1.0 - b2) * (&g * &g);
        let largest = amsgrad.then(|| x[4].maximum(&v));
        let u = &m / (largest.as_ref().unwrap_or(&v).sqrt() + Scalar::rate(EPS));
        [u, m, v].into_iter().chain(largest).collect()
    })
}

fn corrected((b1, b2): (f64, f64), eps: f64, t: f64, lr: f64) -> Rates {
    let (mut r, root) = (Rates::default(), libm::sqrt(correction(b2, t)));
    r[LR] = (lr * root / correction(b1, t)) as f32;
    r[EPS] = (eps * root) as f32;
    r
}
