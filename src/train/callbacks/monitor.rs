//! Which way a monitored value gets better.

use crate::error::{Error, Faults};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which way a monitored value gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// By its name: up where that speaks of accuracy, AUC, precision, recall, F1, R2 or top-k, else down.
    #[default]
    Auto,
    /// Down.
    Min,
    /// Up.
    Max,
}

impl FromStr for Mode {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        match s {
            "auto" => Ok(Mode::Auto),
            "min" => Ok(Mode::Min),
            "max" => Ok(Mode::Max),
            _ => Err(Error::unknown_choice("mode", s, &["auto", "min", "max"])),
        }
    }
}

/// What is in the names of values that shall grow.
const GROW: [&str; 8] = ["acc", "auc", "precision", "recall", "f1", "fmeasure", "r2", "top"];

impl Mode {
    /// Whether a value of this name gets better upwards.
    pub(super) fn up(self, monitor: &str) -> bool {
        match self {
            Mode::Auto => GROW.iter().any(|n| monitor.to_lowercase().contains(n)),
            Mode::Min => false,
            Mode::Max => true,
        }
    }

    /// Whether `value` is better than `than` by more than `delta`. NaN is never better, and nothing is better than NaN.
    pub(crate) fn better(self, monitor: &str, value: f64, than: f64, delta: f64) -> bool {
        if self.up(monitor) { value - delta > than } else { value + delta < than }
    }

    /// What any number is better than.
    pub(super) fn worst(self, monitor: &str) -> f64 {
        if self.up(monitor) { f64::NEG_INFINITY } else { f64::INFINITY }
    }
}

pub(super) fn check_monitor(f: &mut Faults, key: &str, monitor: &str) {
    f.check(!monitor.is_empty(), &format!("{key}.monitor"), "an empty name", "name a value of the logs, as `val_loss`");
}

pub(super) fn check_delta(f: &mut Faults, key: &str, min_delta: f64) {
    let ok = min_delta.is_finite() && min_delta >= 0.0;
    f.check(ok, &format!("{key}.min_delta"), min_delta, "give a finite number, 0 or above");
}
