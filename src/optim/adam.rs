use super::{Formulas, Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

macro_rules! adam_settings {
    ($(#[$doc:meta])* $name:ident, $decay:expr, $decay_doc:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $name {
            /// Learning rate; 1e-3.
            pub lr: Schedule,
            /// Decay of the two moments; (0.9, 0.999).
            pub betas: (f64, f64),
            /// Added to the denominator; 1e-8.
            pub eps: f64,
            #[doc = $decay_doc]
            pub weight_decay: f64,
            /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            pub groups: Vec<Group>,
        }

        impl Default for $name {
            fn default() -> Self {
                $name { lr: Schedule::Constant(1e-3), betas: (0.9, 0.999), eps: 1e-8, weight_decay: $decay, groups: vec![] }
            }
        }

        impl $name {
            /// At this learning rate.
            pub fn new(lr: impl Into<Schedule>) -> Self {
                $name { lr: lr.into(), ..Self::default() }
            }
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
            /// Sets the weight decay.
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.weight_decay = weight_decay;
                self
            }
            /// Treats the parameters of this pattern otherwise: a glob over full names. The first group that covers a name holds.
            pub fn group(mut self, pattern: impl Into<String>, group: Group) -> Self {
                self.groups.push(group.over(pattern));
                self
            }
        }
    };
}

adam_settings! {
    /// Adam (Kingma & Ba 2015): PyTorch's `torch.optim.Adam`, with its names, defaults and formula.
    ///
    /// ```text
    /// g = g + weight_decay * p
    /// m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g
    /// p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
    /// ```
    Adam, 0.0, "L2 penalty, added to the gradient; 0."
}
adam_settings! {
    /// AdamW (Loshchilov & Hutter 2019): PyTorch's `torch.optim.AdamW`. As [`Adam`], but the weights decay apart from the
    /// gradient: `p = p * (1 - lr * weight_decay)` first.
    AdamW, 0.01, "Decoupled weight decay; 0.01."
}

// rates: learning rate over the first correction, root of the second correction, what weight decay leaves
const STEP: usize = 0;
const ROOT: usize = 1;
const KEEP: usize = 2;

impl Adam {
    pub(super) fn formulas(&self) -> Formulas {
        Formulas {
            direction: direction(self.betas, self.eps, self.weight_decay),
            apply: Expr::of(2, |x| vec![&x[0] - Scalar::rate(STEP) * &x[1]]),
        }
    }
}

impl AdamW {
    pub(super) fn formulas(&self) -> Formulas {
        let apply = Expr::of(2, |x| vec![&x[0] * Scalar::rate(KEEP) - Scalar::rate(STEP) * &x[1]]);
        Formulas { direction: direction(self.betas, self.eps, 0.0), apply }
    }
}

fn direction((b1, b2): (f64, f64), eps: f64, l2: f64) -> Expr {
    Expr::of(4, |x| {
        let g = if l2 == 0.0 { x[1].clone() } else { &x[1] + l2 * &x[0] };
        let m = b1 * &x[2] + (1.0 - b1) * &g;
        let v = b2 * &x[3] + (1.0 - b2) * (&g * &g);
        let u = &m / (v.sqrt() / Scalar::rate(ROOT) + eps);
        vec![u, m, v]
    })
}

pub(super) fn rates((b1, b2): (f64, f64), decay: f64, t: f64, lr: f64) -> Rates {
    let correction = |b: f64| 1.0 - libm::pow(b, t);
    let mut r = Rates::default();
    r[STEP] = (lr / correction(b1)) as f32;
    r[ROOT] = libm::sqrt(correction(b2)) as f32;
    r[KEEP] = (1.0 - lr * decay) as f32;
    r
}

pub(super) fn check(f: &mut Faults, betas: (f64, f64), eps: f64, decay: f64) {
    let beta = |b: f64| (0.0..1.0).contains(&b);
    f.check(beta(betas.0) && beta(betas.1), "optimizer.betas", format!("{betas:?}"), "give two numbers from 0 to below 1");
    f.check(eps.is_finite() && eps >= 0.0, "optimizer.eps", eps, "give a number of 0 or above");
    f.check(decay.is_finite() && decay >= 0.0, "optimizer.weight_decay", decay, "give a number of 0 or above");
}
