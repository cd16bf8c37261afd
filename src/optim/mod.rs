//! Optimizers and schedules. An optimizer is two formulas: a *direction* from the gradient, and how it is *applied*.
//!
//! Rates that change from step to step (learning rate, bias corrections) are computed by the host in f64 and read by the formulas
//! as numbered rates, so that a schedule never recompiles anything. Each group of parameters has a row of its own.

mod check;
mod decay;
mod group;
mod kind;
mod loss_scale;
mod optimizer;
pub(crate) mod rates;
mod rule;
mod scaling;
pub mod schedule;

pub(crate) use check::is_rate;
pub use group::Group;
pub use loss_scale::{DynamicLossScale, LossScale};
pub use rates::Rates;
pub use rule::Rule;
pub use scaling::Scaling;
pub use schedule::Schedule;

use crate::named::named;
use kind::OptimizerKind;

named! {
    /// Any of the optimizers, as settings and recipes hold it. The list is closed: files and recipes name an optimizer, and its formulas are compiled
    /// into the step. What a loop of one's own can do is to set rates ([`Trainer::set_learning_rate`](crate::train::Trainer::set_learning_rate)) and weights
    /// ([`Model::set_parameter`](crate::train::Model::set_parameter)).
    pub enum Optimizer: OptimizerKind, types in kinds, read as "optimizer" {
        /// Stochastic gradient descent.
        Sgd(Sgd) = "sgd" => Sgd::default(), "momentum" => Sgd::default().momentum(0.9);
        /// Adam.
        Adam(Adam) = "adam" => Adam::default();
        /// Adam with decoupled weight decay.
        AdamW(AdamW) = "adamw" => AdamW::default();
        /// RMSprop.
        RmsProp(RmsProp) = "rmsprop" => RmsProp::default();
        /// Adagrad.
        Adagrad(Adagrad) = "adagrad" => Adagrad::default();
        /// Lion.
        Lion(Lion) = "lion" => Lion::default();
        /// LAMB.
        Lamb(Lamb) = "lamb" => Lamb::default();
    } // a new optimizer is a row above this line, and its file below it
}
mod lamb;
pub use lamb::Lamb;
mod lion;
pub use lion::Lion;
mod adagrad;
pub use adagrad::Adagrad;
mod rmsprop;
pub use rmsprop::RmsProp;
mod adam;
pub use adam::{Adam, AdamW};
mod sgd;
pub use sgd::Sgd;
