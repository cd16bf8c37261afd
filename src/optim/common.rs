//! What the optimizers share: the numbers of their rates, decay, and how the settings are checked.

use super::schedule::is_rate;
use super::{Group, Rates};
use crate::error::Faults;
use crate::expr::Scalar;

/// The learning rate, perhaps with a correction in it.
pub(super) const LR: usize = 0;
/// What decoupled weight decay leaves of a parameter.
pub(super) const KEEP: usize = 2;
/// The L2 penalty that is added to the gradient.
pub(super) const L2: usize = 3;
/// The L1 penalty that is added to the gradient.
pub(super) const L1: usize = 4;

/// How parameters decay: of an optimizer, or of a group of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Decay {
    pub weight_decay: f64,
    pub l1: f64,
}

impl Decay {
    /// As a group has it.
    pub fn of(self, group: &Group) -> Self {
        Decay { weight_decay: group.weight_decay.unwrap_or(self.weight_decay), l1: group.l1.unwrap_or(self.l1) }
    }

    /// The rates of penalties that are added to the gradient.
    pub fn coupled(self, r: &mut Rates) {
        (r[L2], r[L1]) = (self.weight_decay as f32, self.l1 as f32);
    }

    /// The rate of decay apart from the gradient.
    pub fn decoupled(self, lr: f64, r: &mut Rates) {
        r[KEEP] = (1.0 - lr * self.weight_decay) as f32;
    }
}

/// Which penalties the formula must hold: those that the optimizer or one of its groups has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Penalties {
    l2: bool,
    l1: bool,
}

impl Penalties {
    pub fn of(all: Decay, groups: &[Group]) -> Self {
        let any = |pick: fn(Decay) -> f64| pick(all) != 0.0 || groups.iter().any(|g| !g.frozen && pick(all.of(g)) != 0.0);
        Penalties { l2: any(|d| d.weight_decay), l1: any(|d| d.l1) }
    }

    /// The gradient `g` of the parameter `p` with its penalties.
    pub fn add(self, p: &Scalar, g: &Scalar) -> Scalar {
        let mut g = g.clone();
        if self.l2 {
            g = g + Scalar::rate(L2) * p;
        }
        if self.l1 {
            g = g + Scalar::rate(L1) * p.sign();
        }
        g
    }
}

/// `1 - b^t`, by which a mean that began at 0 is too small.
pub(super) fn correction(b: f64, t: f64) -> f64 {
    1.0 - libm::pow(b, t)
}

/// A number of 0 or above that f32 holds.
pub(super) fn check_number(f: &mut Faults, key: &str, x: f64) {
    f.check(is_rate(x), &format!("optimizer.{key}"), x, NUMBER);
}

pub(super) const NUMBER: &str = "give a number of 0 or above that f32 holds";

/// Decays of running means.
pub(super) fn check_betas(f: &mut Faults, betas: (f64, f64)) {
    let beta = |b: f64| (0.0..1.0).contains(&b);
    f.check(beta(betas.0) && beta(betas.1), "optimizer.betas", format!("{betas:?}"), "give two numbers from 0 to below 1");
}

/// `new`, and the setters of what every optimizer has.
macro_rules! shared_setters {
    ($name:ident, $decay:literal) => {
        impl $name {
            /// At this learning rate.
            pub fn new(lr: impl Into<Schedule>) -> Self {
                $name { lr: lr.into(), ..Self::default() }
            }
            #[doc = $decay]
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
pub(super) use shared_setters;

/// `f32` of 0 is left out of files.
pub(super) fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

pub(super) fn is_false(x: &bool) -> bool {
    !*x
}
