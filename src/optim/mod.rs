//! Optimizers and schedules. An optimizer is two formulas: a *direction* from the gradient, and how it is *applied*.
//!
//! Rates that change from step to step (learning rate, bias corrections) are computed by the host in f64 and read by the formulas
//! as numbered rates, so that a schedule never recompiles anything. Each group of parameters has a row of its own.

mod adagrad;
mod adam;
mod common;
mod group;
mod lamb;
mod lion;
mod loss_scale;
pub(crate) mod rates;
mod rmsprop;
mod rule;
mod scaling;
pub mod schedule;
mod sgd;

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use group::Group;
pub use lamb::Lamb;
pub use lion::Lion;
pub use loss_scale::{DynamicLossScale, LossScale};
pub use rates::Rates;
pub use rmsprop::RmsProp;
pub use rule::Rule;
pub use scaling::Scaling;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::error::{Error, Faults, Result};
use crate::expr::{Expr, Scalar, Tape};
use common::Decay;
use rates::RATE_FIRST;
use serde::{Deserialize, Serialize};

/// An optimizer's formulas.
pub(crate) struct Formulas {
    /// (parameter, gradient, moments..) to (direction, moments..).
    pub direction: Expr,
    /// (parameter, direction) to parameter.
    pub apply: Expr,
    /// What is applied depends on norms of each tensor's parameters and direction.
    pub by_tensor: bool,
}

impl Formulas {
    fn new(direction: Expr, apply: impl FnOnce(&Scalar, &Scalar) -> Scalar) -> Self {
        Formulas { direction, apply: Expr::of(2, |x| vec![apply(&x[0], &x[1])]), by_tensor: false }
    }

    fn by_tensor(direction: Expr, apply: impl FnOnce(&Scalar, &Scalar) -> Scalar) -> Self {
        Formulas { by_tensor: true, ..Self::new(direction, apply) }
    }

    /// Both in one formula, for one launch; apart where norms stand between them.
    fn rule(self) -> Rule {
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

/// Any of the optimizers, as settings and recipes hold it. The list is closed: files and recipes name an optimizer, and its formulas are compiled
/// into the step. What a loop of one's own can do is to set rates ([`Trainer::set_learning_rate`](crate::train::Trainer::set_learning_rate)) and weights
/// ([`Model::set_parameter`](crate::train::Model::set_parameter)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// RMSprop.
    RmsProp(RmsProp),
    /// Adagrad.
    Adagrad(Adagrad),
    /// Lion.
    Lion(Lion),
    /// LAMB.
    Lamb(Lamb),
}

macro_rules! each {
    ($self:expr, $o:ident => $e:expr) => {
        match $self {
            Optimizer::Sgd($o) => $e,
            Optimizer::Adam($o) => $e,
            Optimizer::AdamW($o) => $e,
            Optimizer::RmsProp($o) => $e,
            Optimizer::Adagrad($o) => $e,
            Optimizer::Lion($o) => $e,
            Optimizer::Lamb($o) => $e,
        }
    };
}

macro_rules! from {
    ($($name:ident)*) => {$(
        impl From<$name> for Optimizer {
            fn from(o: $name) -> Self {
                Optimizer::$name(o)
            }
        }
    )*};
}
from! { Sgd Adam AdamW RmsProp Adagrad Lion Lamb }

/// An optimizer with its defaults, by the name that `--optimizer` takes: `sgd`, `momentum` (SGD with 0.9), `adam`, `adamw`, `rmsprop`,
/// `adagrad`, `lion`, `lamb`.
impl std::str::FromStr for Optimizer {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "sgd" => Ok(Sgd::default().into()),
            "momentum" => Ok(Sgd::default().momentum(0.9).into()),
            "adam" => Ok(Adam::default().into()),
            "adamw" => Ok(AdamW::default().into()),
            "rmsprop" => Ok(RmsProp::default().into()),
            "adagrad" => Ok(Adagrad::default().into()),
            "lion" => Ok(Lion::default().into()),
            "lamb" => Ok(Lamb::default().into()),
            _ => {
                let names = ["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "lion", "lamb"];
                Err(Error::unknown_choice("optimizer", s, &names))
            }
        }
    }
}

impl Optimizer {
    /// The learning rate.
    pub fn schedule(&self) -> &Schedule {
        each!(self, o => &o.lr)
    }

    /// The same optimizer at another learning rate.
    #[must_use]
    pub fn with_schedule(mut self, lr: impl Into<Schedule>) -> Self {
        let lr = lr.into();
        each!(&mut self, o => o.lr = lr);
        self
    }

    /// The same optimizer with this weight decay: an L2 penalty where its `weight_decay` is one, else decoupled.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        each!(&mut self, o => o.weight_decay = weight_decay);
        self
    }

    /// Parameters that are treated otherwise; the first whose pattern covers a name holds.
    pub fn groups(&self) -> &[Group] {
        each!(self, o => &o.groups)
    }

    /// Whether a parameter of this name keeps its values.
    pub fn freezes(&self, name: &str) -> bool {
        Group::of(self.groups(), name).is_some_and(|g| g.frozen)
    }

    /// Its formula, over (parameter, gradient, moments..), with a row of rates for each group that trains.
    pub fn rule(&self) -> Rule {
        let rule = each!(self, o => o.formulas().rule());
        rule.groups(1 + self.groups().iter().filter(|g| !g.frozen).count())
    }

    /// Which row of the rates a parameter of this name reads: 0, or that of its group among those that train.
    pub fn rate_group(&self, name: &str) -> usize {
        let groups = self.groups();
        Group::place(groups, name).map_or(0, |i| 1 + groups[..i].iter().filter(|g| !g.frozen).count())
    }

    /// What the moments begin with: zeros, but for Adagrad's sums.
    pub fn initial_moment(&self) -> f32 {
        match self {
            Optimizer::Adagrad(o) => o.initial_accumulator_value as f32,
            _ => 0.0,
        }
    }

    fn decay(&self) -> Decay {
        each!(self, o => o.decay())
    }

    fn rates_of(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        let mut rates = self.own_rates(t, lr, decay);
        rates[RATE_FIRST] = if t == 1.0 { 1.0 } else { 0.0 };
        rates
    }

    fn own_rates(&self, t: f64, lr: f64, decay: Decay) -> Rates {
        match self {
            Optimizer::Sgd(o) => o.rates(t, lr, decay),
            Optimizer::Adam(o) => o.rates(t, lr, decay),
            Optimizer::AdamW(o) => o.rates(t, lr, decay),
            Optimizer::RmsProp(o) => o.rates(lr, decay),
            Optimizer::Adagrad(o) => o.rates(t, lr, decay),
            Optimizer::Lion(o) => o.rates(lr, decay),
            Optimizer::Lamb(o) => o.rates(t, lr, decay),
        }
    }

    /// The rates of update `update` (from 0) at this learning rate, for parameters that no group covers.
    pub fn rates(&self, update: u64, lr: f64) -> Rates {
        self.rates_of(update as f64 + 1.0, lr, self.decay())
    }

    /// The rates of update `update` (from 0) at this learning rate: of parameters without a group, then of each group that trains.
    pub fn group_rates(&self, update: u64, lr: f64) -> impl Iterator<Item = Rates> {
        let of = move |g: &Group| self.rates_of(update as f64 + 1.0, lr * g.lr_multiplier, self.decay().of(g));
        std::iter::once(self.rates(update, lr)).chain(self.groups().iter().filter(|g| !g.frozen).map(of))
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        self.schedule().check(faults);
        let Decay { weight_decay, l1 } = self.decay();
        common::check_number(faults, "weight_decay", weight_decay);
        common::check_number(faults, "l1", l1);
        let coupled = matches!(self, Optimizer::Sgd(_) | Optimizer::Adam(_) | Optimizer::RmsProp(_) | Optimizer::Adagrad(_));
        let many = self.groups().len();
        faults.check(many < 256, "optimizer.groups", format!("{many} groups"), "at most 255 groups: name more parameters by one pattern");
        Group::check_numbers(self.groups(), coupled, faults);
        each!(self, o => o.check(faults));
    }
}
