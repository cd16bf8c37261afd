//! How parameters decay: penalties that are added to the gradient, and weight decay apart from it.

use super::Group;
use super::rates::{KEEP, L1, L2, Rates};
use crate::expr::Scalar;

/// How parameters decay: of an optimizer, or of a group of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Decay {
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
pub(crate) struct Penalties {
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
