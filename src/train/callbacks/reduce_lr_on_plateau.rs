//! Lowers the learning rate when a value gets no better.

use super::callback::Callback;
use super::kind::{CallbackSettings, parsed};
use super::logs::Logs;
use super::monitor::{Mode, check_delta, check_monitor};
use crate::error::{Faults, Result};
use crate::store::json_floats;
use crate::train::Trainer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Multiplies the learning rate by a factor when a value has not got better for `patience` epochs: Keras' `ReduceLROnPlateau`, with its
/// defaults. The history has a column `learning_rate` then.
///
/// Where the optimizer has a schedule that moves, which Keras refuses, the factor multiplies what is left of it, and does not take it
/// below `min_lr`.
///
/// ```
/// use gradus::train::callbacks::ReduceLROnPlateau;
/// let reduce = ReduceLROnPlateau::new("val_loss").factor(0.2).patience(5).min_lr(1e-5);
/// assert_eq!((reduce.min_delta, reduce.cooldown), (1e-4, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ReduceLROnPlateau {
    /// The value's name in the logs.
    pub monitor: String,
    /// What the rate is multiplied by; 0.1.
    #[serde(default = "tenth")]
    pub factor: f64,
    /// Epochs without an improvement after which that is done; 10.
    #[serde(default = "ten")]
    pub patience: usize,
    /// Which way the value gets better; by its name.
    #[serde(default)]
    pub mode: Mode,
    /// A change of less is no improvement; 1e-4.
    #[serde(default = "little")]
    pub min_delta: f64,
    /// Epochs after a reduction that are not counted; 0.
    #[serde(default)]
    pub cooldown: usize,
    /// The rate does not go below; 0.
    #[serde(default)]
    pub min_lr: f64,
}

fn tenth() -> f64 {
    0.1
}
fn ten() -> usize {
    10
}
fn little() -> f64 {
    1e-4
}

impl ReduceLROnPlateau {
    /// On this value: `val_loss`, ..
    pub fn new(monitor: &str) -> Self {
        ReduceLROnPlateau {
            monitor: monitor.into(),
            factor: tenth(),
            patience: ten(),
            mode: Mode::Auto,
            min_delta: little(),
            cooldown: 0,
            min_lr: 0.0,
        }
    }
    /// What the rate is multiplied by.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }
    /// Epochs without an improvement after which that is done.
    pub fn patience(mut self, patience: usize) -> Self {
        self.patience = patience;
        self
    }
    /// Which way the value gets better.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    /// The least change that counts.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.min_delta = min_delta;
        self
    }
    /// Epochs after a reduction that are not counted.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }
    /// The rate does not go below.
    pub fn min_lr(mut self, min_lr: f64) -> Self {
        self.min_lr = min_lr;
        self
    }
}

impl CallbackSettings for ReduceLROnPlateau {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(Running::new(self.clone()))
    }

    fn check(&self, f: &mut Faults, key: &str) {
        check_monitor(f, key, &self.monitor);
        check_delta(f, key, self.min_delta);
        let factor = self.factor > 0.0 && self.factor < 1.0;
        f.check(factor, &format!("{key}.factor"), self.factor, "give a number above 0 and below 1");
        let least = self.min_lr.is_finite() && self.min_lr >= 0.0;
        f.check(least, &format!("{key}.min_lr"), self.min_lr, "give a finite number, 0 or above");
    }

    fn check_state(&self, state: &Value) -> Result<()> {
        parsed::<State>("reduce_lr_on_plateau", state).map(drop)
    }

    fn asks_for(&self) -> Vec<String> {
        vec![self.monitor.clone()]
    }

    fn moves_rate(&self) -> bool {
        true
    }
}

pub(super) struct Running {
    set: ReduceLROnPlateau,
    now: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    wait: usize,
    cooldown: usize,
    #[serde(with = "json_floats::one")]
    best: f64,
}

impl Running {
    pub fn new(set: ReduceLROnPlateau) -> Self {
        let best = set.mode.worst(&set.monitor);
        Running { now: State { wait: 0, cooldown: 0, best }, set }
    }
}

impl Callback for Running {
    fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        let Some(value) = logs.get(&self.set.monitor) else { return Ok(()) };
        let (set, now) = (&self.set, &mut self.now);
        if now.cooldown > 0 {
            now.cooldown -= 1;
            now.wait = 0;
        }
        if set.mode.better(&set.monitor, value, now.best, set.min_delta) {
            (now.best, now.wait) = (value, 0);
        } else if now.cooldown == 0 {
            now.wait += 1;
            if now.wait >= set.patience && run.learning_rate() > set.min_lr {
                run.reduce_learning_rate(set.factor, set.min_lr)?;
                tracing::info!(epoch = logs.epoch, rate = run.learning_rate(), "a plateau: the learning rate is reduced");
                (now.cooldown, now.wait) = (set.cooldown, 0);
            }
        }
        Ok(())
    }

    fn state(&self) -> Value {
        serde_json::to_value(&self.now).unwrap_or_default()
    }

    fn restore(&mut self, _: &mut Trainer<'_>, state: &Value) -> Result<()> {
        self.now = parsed("reduce_lr_on_plateau", state)?;
        Ok(())
    }
}
