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
        parsed::<Patience>("early_stopping", state).map(drop)
    }

    fn asks_for(&self) -> Vec<String> {
        vec![self.monitor.clone()]
    }
}

pub(super) struct Running {
    set: EarlyStopping,
    /// The name of the weights that it keeps.
    kept: String,
    now: Patience,
}

/// What a value has come to, and for how long it has got no better.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patience {
    wait: usize,
    #[serde(with = "json_floats::one")]
    best: f64,
    /// From 1; 0 for none.
    pub best_epoch: usize,
    stopped_epoch: usize,
}

/// What is to be done after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The weights are the best so far.
    pub keep: bool,
    pub stop: bool,
}

impl Patience {
    pub fn new(set: &EarlyStopping) -> Self {
        Patience { wait: 0, best: set.mode.worst(&set.monitor), best_epoch: 0, stopped_epoch: 0 }
    }

    /// Looks at the value of an epoch, and says a line where it is the last.
    pub fn look(&mut self, set: &EarlyStopping, epoch: usize, value: f64) -> Verdict {
        if epoch <= set.start_from_epoch {
            return Verdict { keep: false, stop: false };
        }
        // even where no value is ever better than the first: NaN
        let first = self.best_epoch == 0;
        if first {
            self.best_epoch = epoch;
        }
        self.wait += 1;
        if set.better(value, self.best) {
            (self.best, self.best_epoch) = (value, epoch);
            if set.baseline.is_none_or(|b| set.better(value, b)) {
                self.wait = 0;
            }
            return Verdict { keep: true, stop: false };
        }
        let stop = self.wait >= set.patience && epoch > 1;
        if stop {
            self.stopped_epoch = epoch;
            tracing::info!(epoch, monitor = set.monitor, best = self.best, "early stopping");
            let best = number(self.best);
            say(format!("early stopping after epoch {epoch}: {} was best in epoch {}, {best}", set.monitor, self.best_epoch));
        }
        Verdict { keep: first, stop }
    }
}

impl Running {
    pub fn new(set: EarlyStopping, number: usize) -> Self {
        Running { kept: format!("best{number}"), now: Patience::new(&set), set }
    }
}

impl Callback for Running {
    fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        let Some(value) = logs.get(&self.set.monitor) else { return Ok(()) };
        let seen = self.now.look(&self.set, logs.epoch, value);
        if seen.keep && self.set.restore_best_weights {
            run.keep_weights(&self.kept)?;
        }
        if seen.stop {
            run.record.history.stopped_epoch = Some(logs.epoch);
            run.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        if self.set.restore_best_weights && run.has_weights(&self.kept) {
            run.restore_weights(&self.kept)?;
            run.record.history.restored_epoch = Some(restored(self.now.best_epoch));
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

/// Says that the weights of this epoch are restored.
pub(crate) fn restored(epoch: usize) -> usize {
    tracing::info!(epoch, "the weights of the best epoch are restored");
    say(format!("the model has the weights of epoch {epoch}, its best"));
    epoch
}
