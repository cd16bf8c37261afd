//! What an optimizer says of itself: its formulas, the rates of an update, and what is wrong with its settings.

use super::decay::{Decay, Penalties};
use super::{Group, Rates, Rule, Schedule};
use crate::error::Faults;
use crate::expr::{Expr, Scalar, Tape};

/// One of the optimizers.
pub(crate) trait OptimizerKind: Settings {
    /// Its formulas. What changes from update to update they read as rates.
    fn formulas(&self) -> Formulas;

    /// The rates of update `t`, counted from 1, for parameters of this learning rate and decay.
    fn rates(&self, t: f64, lr: f64, decay: Decay) -> Rates;

    /// Notes what is wrong with its own settings.
    fn check(&self, faults: &mut Faults);

    /// What its moments begin with.
    fn initial_moment(&self) -> f32 {
        0.0
    }
}

/// The settings that every optimizer has: [`shared_settings`] makes it of the fields `lr`, `weight_decay`, `groups` and, for some, `l1`.
pub(crate) trait Settings {
    /// The learning rate.
    fn lr(&self) -> &Schedule;
    /// Sets the learning rate.
    fn set_lr(&mut self, lr: Schedule);
    /// Sets the weight decay.
    fn set_weight_decay(&mut self, weight_decay: f64);
    /// How parameters without a group decay.
    fn decay(&self) -> Decay;
    /// Whether it has an L1 penalty.
    fn has_l1(&self) -> bool;
    /// Parameters that are treated otherwise.
    fn groups(&self) -> &[Group];
    /// The type's name.
    fn type_name(&self) -> &'static str;

    /// The penalties that its formula must add to the gradient.
    fn penalties(&self) -> Penalties {
        Penalties::of(self.decay(), self.groups())
    }
}

/// `new`, the setters of what every optimizer has, and its [`Settings`]: `shared_settings!(Sgd, "Sets the L2 penalty.", l1)`, without `l1` where there is
/// no L1 penalty.
macro_rules! shared_settings {
    ($name:ident, $decay:literal $(, $l1:ident)?) => {
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
            $(
                /// Sets the L1 penalty.
                pub fn $l1(mut self, l1: f64) -> Self {
                    self.$l1 = l1;
                    self
                }
            )?
            /// Treats the parameters of this pattern otherwise: a glob over full names. The first group that covers a name holds.
            pub fn group(mut self, pattern: impl Into<String>, group: Group) -> Self {
                self.groups.push(group.over(pattern));
                self
            }
        }

        impl super::kind::Settings for $name {
            fn lr(&self) -> &Schedule {
                &self.lr
            }
            fn set_lr(&mut self, lr: Schedule) {
                self.lr = lr;
            }
            fn set_weight_decay(&mut self, weight_decay: f64) {
                self.weight_decay = weight_decay;
            }
            fn decay(&self) -> Decay {
                Decay { weight_decay: self.weight_decay, $($l1: self.$l1,)? ..Decay::default() }
            }
            fn has_l1(&self) -> bool {
                [$(stringify!($l1))?].contains(&"l1")
            }
            fn groups(&self) -> &[Group] {
                &self.groups
            }
            fn type_name(&self) -> &'static str {
                stringify!($name)
            }
        }
    };
}
pub(super) use shared_settings;

/// An optimizer's formulas.
pub(crate) struct Formulas {
    /// (parameter, gradient, moments..) to (direction, moments..).
    direction: Expr,
    /// (parameter, direction) to parameter.
    apply: Expr,
    /// What is applied depends on norms of each tensor's parameters and direction.
    by_tensor: bool,
}

impl Formulas {
    pub fn new(direction: Expr, apply: impl FnOnce(&Scalar, &Scalar) -> Scalar) -> Self {
        Formulas { direction, apply: Expr::of(2, |x| vec![apply(&x[0], &x[1])]), by_tensor: false }
    }

    pub fn by_tensor(direction: Expr, apply: impl FnOnce(&Scalar, &Scalar) -> Scalar) -> Self {
        Formulas { by_tensor: true, ..Self::new(direction, apply) }
    }

    /// Both in one formula, for one launch; apart where norms stand between them.
    pub fn rule(self) -> Rule {
        let moments = self.direction.arity() - 2;
        if self.by_tensor {
            return Rule::by_tensor(self.direction, moments, self.apply);
        }
        let mut t = Tape::default();
        let args: Vec<usize> = (0..self.direction.arity()).map(|i| t.input(i)).collect();
        let mut out = t.inline(&self.direction, &args);
        out[0] = t.inline(&self.apply, &[args[0], out[0]])[0];
        Rule::new(t.finish(2 + moments, &out), moments)
    }
}

/// `f64` of 0 is left out of files.
pub(super) fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

pub(super) fn is_false(x: &bool) -> bool {
    !*x
}
