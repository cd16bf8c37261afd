//! Stops a run that gets no better.

use super::callback::Callback;
use super::kind::{CallbackSettings, parsed};
use super::logs::Logs;
use super::monitor::{Mode, check_delta, check_monitor};
use crate::error::{Faults, Result};
use crate::store::json_floats;
use crate::terminal::say;
use crate::train::Trainer;
use crate::train::evaluation::number;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Stops the run when a value has not got better for `patience` epochs: Keras' `EarlyStopping`, with its defaults.
///
/// ```
/// use gradus::prelude::*;
/// let stop = EarlyStopping::new("val_loss").patience(3).restore_best_weights(true);
/// assert_eq!((stop.min_delta, stop.start_from_epoch), (0.0, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct EarlyStopping {
    /// The value's name in the logs.
    pub monitor: String,
    /// A change of less is no improvement; 0.
    #[serde(default)]
    pub min_delta: f64,
    /// Epochs without an improvement after which the run stops; 0. The first epoch never stops it.
    #[serde(default)]
    pub patience: usize,
    /// Which way it gets better; by its name.
    #[serde(default)]
    pub mode: Mode,
    /// The run stops too if the value does not get better than this within the patience; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Whether the model ends with the weights of its best epoch; it ends with the last. It does so whether the run was stopped or came to its end, and whatever
    /// the baseline. The optimizer's state stays the last.
    #[serde(default)]
    pub restore_best_weights: bool,
    /// Epochs that are not looked at; 0.
    #[serde(default)]
    pub start_from_epoch: usize,
}

impl EarlyStopping {
    /// On this value: `val_loss`, `accuracy`, ..
    pub fn new(monitor: &str) -> Self {
        EarlyStopping {
            monitor: monitor.into(),
            min_delta: 0.0,
            patience: 0,
            mode: Mode::Auto,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
        }
    }
    /// The least change that counts.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.min_delta = min_delta;
        self
    }
    /// Epochs without an improvement after which the run stops.
    pub fn patience(mut self, patience: usize) -> Self {
        self.patience = patience;
        self
    }
    /// Which way the value gets better.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    /// What the value must get better than.
    pub fn baseline(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }
    /// Whether the model ends with the weights of its best epoch.
    pub fn restore_best_weights(mut self, restore: bool) -> Self {
        self.restore_best_weights = restore;
        self
    }
    /// Epochs that are not looked at.
    pub fn start_from_epoch(mut self, epochs: usize) -> Self {
        self.start_from_epoch = epochs;
        self
    }

    fn better(&self, value: f64, than: f64) -> bool {
        self.mode.better(&self.monitor, value, than, self.min_delta)
    }
}

impl CallbackSettings for EarlyStopping {
    fn start(&self, number: usize) -> Box<dyn Callback> {
        Box::new(Running::new(self.clone(), number))
    }

    fn check(&self, f: &mut Faults, key: &str) {
        check_monitor(f, key, &self.monitor);
        check_delta(f, key, self.min_delta);
        let baseline = self.baseline.is_none_or(f64::is_finite);
        f.check(baseline, &format!("{key}.baseline"), self.baseline.unwrap_or_default(), "give a finite number");
    }

    fn check_state(&self, state: &Value) -> Result<()> {
        parsed::<State>("early_stopping", state).map(drop)
    }

    fn asks_for(&self) -> Vec<String> {
        vec![self.monitor.clone()]
    }
}

pub(super) struct Running {
    set: EarlyStopping,
    /// The name of the weights that it keeps.
    kept: String,
    now: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    wait: usize,
    #[serde(with = "json_floats::one")]
    best: f64,
    /// From 1; 0 for none.
    best_epoch: usize,
    stopped_epoch: usize,
}

impl Running {
    pub fn new(set: EarlyStopping, number: usize) -> Self {
        let best = set.mode.worst(&set.monitor);
        Running { kept: format!("best{number}"), now: State { wait: 0, best, best_epoch: 0, stopped_epoch: 0 }, set }
    }

    fn keep(&self, run: &mut Trainer<'_>) -> Result<()> {
        if self.set.restore_best_weights { run.keep_weights(&self.kept) } else { Ok(()) }
    }
}

impl Callback for Running {
    fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        let Some(value) = logs.get(&self.set.monitor).filter(|_| logs.epoch > self.set.start_from_epoch) else { return Ok(()) };
        if self.now.best_epoch == 0 {
            // even where no value is ever better than the first: NaN
            self.keep(run)?;
            self.now.best_epoch = logs.epoch;
        }
        self.now.wait += 1;
        if self.set.better(value, self.now.best) {
            (self.now.best, self.now.best_epoch) = (value, logs.epoch);
            self.keep(run)?;
            if self.set.baseline.is_none_or(|b| self.set.better(value, b)) {
                self.now.wait = 0;
            }
        } else if self.now.wait >= self.set.patience && logs.epoch > 1 {
            self.now.stopped_epoch = logs.epoch;
            tracing::info!(epoch = logs.epoch, monitor = self.set.monitor, best = self.now.best, "early stopping");
            let best = number(self.now.best);
            let State { best_epoch, .. } = self.now;
            say(format!("early stopping after epoch {}: {} was best in epoch {best_epoch}, {best}", logs.epoch, self.set.monitor));
            run.record.history.stopped_epoch = Some(logs.epoch);
            run.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        if self.set.restore_best_weights && run.has_weights(&self.kept) {
            tracing::info!(epoch = self.now.best_epoch, "the weights of the best epoch are restored");
            run.restore_weights(&self.kept)?;
            say(format!("the model has the weights of epoch {}, its best", self.now.best_epoch));
            run.record.history.restored_epoch = Some(self.now.best_epoch);
        }
        Ok(())
    }

    fn state(&self) -> Value {
        serde_json::to_value(&self.now).unwrap_or_default()
    }

    fn restore(&mut self, run: &mut Trainer<'_>, state: &Value) -> Result<()> {
        self.now = parsed("early_stopping", state)?;
        if self.now.stopped_epoch > 0 {
            run.record.history.stopped_epoch = Some(self.now.stopped_epoch);
            run.stop();
        }
        Ok(())
    }
}
