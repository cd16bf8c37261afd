//! Optimizers and schedules. An optimizer is two formulas: a *direction* from the gradient, and how it is *applied*.
//!
//! Rates that change from step to step (learning rate, bias corrections) are computed by the host in f64 and read by the formulas
//! as numbered rates, so that a schedule never recompiles anything.

mod adam;
mod group;
pub mod schedule;
mod sgd;

pub use adam::{Adam, AdamW};
pub use group::Group;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::error::{Error, Faults, Result};
use crate::expr::{Expr, Tape};
use crate::kernels::words::RATE_WIDTH;
use crate::plan::Rule;
use serde::{Deserialize, Serialize};

/// The rates of one update, in the order that the formulas number them.
pub type Rates = [f32; RATE_WIDTH];

/// An optimizer's formulas.
pub(crate) struct Formulas {
    /// (parameter, gradient, moments..) to (direction, moments..).
    pub direction: Expr,
    /// (parameter, direction) to parameter.
    pub apply: Expr,
}

impl Formulas {
    /// Both in one formula, for one launch.
    fn rule(&self) -> Rule {
        let moments = self.direction.arity() - 2;
        let mut t = Tape::default();
        let args: Vec<usize> = (0..self.direction.arity()).map(|i| t.input(i)).collect();
        let mut out = t.inline(&self.direction, &args);
        out[0] = t.inline(&self.apply, &[args[0], out[0]])[0];
        Rule { f: t.finish(2 + moments, &out), moments }
    }
}

/// Any of the optimizers, as settings and recipes hold it.
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
}

impl From<Sgd> for Optimizer {
    fn from(o: Sgd) -> Self {
        Optimizer::Sgd(o)
    }
}
impl From<Adam> for Optimizer {
    fn from(o: Adam) -> Self {
        Optimizer::Adam(o)
    }
}
impl From<AdamW> for Optimizer {
    fn from(o: AdamW) -> Self {
        Optimizer::AdamW(o)
    }
}

/// An optimizer with its defaults, by the name that `--optimizer` takes: `sgd`, `momentum` (SGD with 0.9), `adam`, `adamw`.
impl std::str::FromStr for Optimizer {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "sgd" => Ok(Sgd::default().into()),
            "momentum" => Ok(Sgd::default().momentum(0.9).into()),
            "adam" => Ok(Adam::default().into()),
            "adamw" => Ok(AdamW::default().into()),
            _ => Err(Error::unknown_choice("optimizer", s, &["sgd", "momentum", "adam", "adamw"])),
        }
    }
}

impl Optimizer {
    /// The learning rate.
    pub fn schedule(&self) -> &Schedule {
        match self {
            Optimizer::Sgd(o) => &o.lr,
            Optimizer::Adam(o) => &o.lr,
            Optimizer::AdamW(o) => &o.lr,
        }
    }

    /// The same optimizer at another learning rate.
    #[must_use]
    pub fn with_schedule(mut self, lr: impl Into<Schedule>) -> Self {
        let lr = lr.into();
        match &mut self {
            Optimizer::Sgd(o) => o.lr = lr,
            Optimizer::Adam(o) => o.lr = lr,
            Optimizer::AdamW(o) => o.lr = lr,
        }
        self
    }

    /// Parameters that are treated otherwise; the first whose pattern covers a name holds.
    pub fn groups(&self) -> &[Group] {
        match self {
            Optimizer::Sgd(o) => &o.groups,
            Optimizer::Adam(o) => &o.groups,
            Optimizer::AdamW(o) => &o.groups,
        }
    }

    /// Whether a parameter of this name keeps its values.
    pub fn freezes(&self, name: &str) -> bool {
        Group::of(self.groups(), name).is_some_and(|g| g.frozen)
    }

    /// Its formula, over (parameter, gradient, moments..).
    pub fn rule(&self) -> Rule {
        match self {
            Optimizer::Sgd(o) => o.formulas().rule(),
            Optimizer::Adam(o) => o.formulas().rule(),
            Optimizer::AdamW(o) => o.formulas().rule(),
        }
    }

    /// The rates of update `update` (from 0) at this learning rate.
    pub fn rates(&self, update: u64, lr: f64) -> Rates {
        let t = update as f64 + 1.0;
        match self {
            Optimizer::Sgd(o) => o.rates(t, lr),
            Optimizer::Adam(o) => adam::rates(o.betas, 0.0, t, lr),
            Optimizer::AdamW(o) => adam::rates(o.betas, o.weight_decay, t, lr),
        }
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        self.schedule().check(faults);
        match self {
            Optimizer::Sgd(o) => o.check(faults),
            Optimizer::Adam(o) => adam::check(faults, o.betas, o.eps, o.weight_decay),
            Optimizer::AdamW(o) => adam::check(faults, o.betas, o.eps, o.weight_decay),
        }
    }
}
