use crate::error::Faults;
use serde::{Deserialize, Serialize};

/// The learning rate as a function of the update. An `f32` or `f64` is a constant schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Schedule {
    /// The same at every update.
    Constant(f64),
}

impl Schedule {
    /// The rate of update `update`, counted from 0.
    pub fn at(&self, _update: u64) -> f64 {
        match self {
            Schedule::Constant(lr) => *lr,
        }
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        let Schedule::Constant(lr) = self;
        faults.check(lr.is_finite() && *lr >= 0.0, "optimizer.lr", format!("a learning rate of {lr}"), "give a finite number, 0 or above");
    }
}

impl From<f64> for Schedule {
    fn from(lr: f64) -> Self {
        Schedule::Constant(lr)
    }
}

impl From<f32> for Schedule {
    /// Through the shortest decimal, so that `1e-3f32` means 0.001.
    fn from(lr: f32) -> Self {
        Schedule::Constant(lr.to_string().parse().unwrap_or(f64::from(lr)))
    }
}
