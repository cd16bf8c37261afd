use super::{Formulas, Group, Rates, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, Nesterov's too: PyTorch's `torch.optim.SGD`, with its names, defaults and formula.
///
/// ```text
/// g = g + weight_decay * p
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
    /// Nesterov's momentum; off.
    pub nesterov: bool,
    /// Parameters that are treated otherwise; none. The first whose pattern covers a name holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { lr: Schedule::Constant(1e-3), momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, groups: vec![] }
    }
}

impl Sgd {
    /// At this learning rate.
    pub fn new(lr: impl Into<Schedule>) -> Self {
        Sgd { lr: lr.into(), ..Self::default() }
    }
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
    /// Sets the L2 penalty.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
    /// Uses Nesterov's momentum.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }
    /// Treats the parameters of this pattern otherwise: a glob over full names. The first group that covers a name holds.
    pub fn group(mut self, pattern: impl Into<String>, group: Group) -> Self {
        self.groups.push(group.over(pattern));
        self
    }

    pub(super) fn formulas(&self) -> Formulas {
        let (mu, decay, nesterov) = (self.momentum, self.weight_decay, self.nesterov);
        let apply = Expr::of(2, |x| vec![&x[0] - Scalar::rate(0) * &x[1]]);
        let gradient = move |x: &[Scalar]| if decay == 0.0 { x[1].clone() } else { &x[1] + decay * &x[0] };
        let direction = if mu == 0.0 {
            Expr::of(2, |x| vec![gradient(x)])
        } else {
            Expr::of(3, |x| {
                let g = gradient(x);
                let b = mu * &x[2] + Scalar::rate(1) * &g;
                vec![if nesterov { &g + mu * &b } else { b.clone() }, b]
            })
        };
        Formulas { direction, apply }
    }

    pub(super) fn rates(&self, t: f64, lr: f64) -> Rates {
        let keep = if t == 1.0 { 1.0 } else { 1.0 - self.dampening };
        let mut r = Rates::default();
        (r[0], r[1]) = (lr as f32, keep as f32);
        r
    }

    pub(super) fn check(&self, f: &mut Faults) {
        let good = |x: f64| x.is_finite() && x >= 0.0;
        f.check(good(self.momentum), "optimizer.momentum", self.momentum, "give a number of 0 or above");
        f.check(self.dampening.is_finite(), "optimizer.dampening", self.dampening, "give a finite number; 0 is usual");
        f.check(good(self.weight_decay), "optimizer.weight_decay", self.weight_decay, "give a number of 0 or above");
        let plain = self.momentum > 0.0 && self.dampening == 0.0;
        f.check(
            !self.nesterov || plain,
            "optimizer.nesterov",
            "needs a momentum and no dampening",
            "set a momentum, or leave nesterov off",
        );
    }
}
