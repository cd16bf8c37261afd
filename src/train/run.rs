//! What a loop knows beside where it stands.

use crate::error::{Error, Faults, Result};
use crate::optim::schedule::is_rate;
use crate::store::checkpoint::{Arenas, Before, CallbackState, Circumstances, is_weight};
use crate::train::evaluate::{Mean, Measure};
use crate::train::{Evaluation, History, Trainer, interrupt};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Goes into checkpoints, but for the flags.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Over the open epoch, in the order of its steps: the same bits however it is cut.
    pub sums: Mean,
    pub rows: usize,
    /// Updates of the open epoch that were skipped.
    pub skipped: usize,
    /// Seconds that the steps of the open epoch took.
    pub seconds: f64,
    /// Of the epoch that ended last.
    pub ended: Evaluation,
    pub ended_rows: usize,
    /// The loss scale at its end, where there is one, and its updates that were skipped.
    pub ended_scale: Option<(f32, usize)>,
    pub history: History,
    /// Weights that were kept, by name.
    pub kept: BTreeMap<String, Arenas>,
    /// What callbacks want to know again.
    pub callbacks: Vec<CallbackState>,
    /// What its checkpoints say beside: asked once.
    pub circumstances: Option<Circumstances>,
    /// What the model was before it went on from a checkpoint, until its callbacks have gone on too.
    pub before: Option<Before>,
    /// It goes on from a checkpoint.
    pub resumed: bool,
    /// An error has ended it in mid-step.
    pub failed: bool,
    /// Callbacks are having their turn; what they ask for waits until all have had it.
    pub in_callback: bool,
    pub due: Vec<Due>,
    /// Seconds from the call of `fit` or `trainer` to the end of the first submit.
    pub first_submit: Option<f64>,
    /// Ctrl-C ends it.
    pub interruptible: bool,
}

/// Work that waits for all callbacks to have had their turn.
#[derive(Debug)]
pub(crate) enum Due {
    Write(PathBuf),
    Remove(PathBuf),
}

impl Run {
    pub fn interrupted(&self) -> bool {
        self.interruptible && interrupt::asked()
    }

    /// So many seconds of the open epoch more; its last ones close it.
    pub fn took(&mut self, seconds: f64, ended: bool) {
        self.seconds += seconds;
        if ended {
            let seconds = std::mem::take(&mut self.seconds);
            self.history.push_times(seconds, self.first_submit);
        }
    }

    /// Closes the sums of an epoch, which ends with this loss scale.
    pub fn end_epoch(&mut self, metrics: &[Measure], scale: Option<f32>) {
        self.ended = std::mem::take(&mut self.sums).evaluation(metrics);
        self.ended_rows = std::mem::take(&mut self.rows);
        self.ended.iter().for_each(|(n, v)| self.history.push(n, v));
        let skipped = std::mem::take(&mut self.skipped);
        self.ended_scale = scale.map(|s| (s, skipped));
        if let Some((scale, skipped)) = self.ended_scale {
            self.history.push("loss_scale", scale.into());
            self.history.push("skipped", skipped as f64);
        }
    }
}

impl Trainer<'_> {
    /// An error ends the run: what was queued may be half done.
    pub(crate) fn fail(&mut self) {
        self.stopped = true;
        self.run.failed = true;
    }

    /// Whether there is nothing more to do: all epochs are over, or the run was stopped.
    pub fn is_over(&self) -> bool {
        self.stopped || self.epoch >= self.fit.epochs
    }

    /// Steps done in this run, those before a resume too.
    pub fn steps_done(&self) -> usize {
        self.epoch * self.steps_per_epoch() + self.done
    }

    /// Loss and metrics of each epoch that has ended, those before a resume too.
    pub fn history(&self) -> &History {
        &self.run.history
    }

    /// Loss and metrics over the rows of the open epoch so far; NaN at its start.
    pub fn so_far(&self) -> Evaluation {
        self.run.sums.evaluation(self.measures())
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate.at(self.model.settings().optimizer.schedule(), self.model.lock().updates)
    }

    /// As `set_learning_rate`, of all digits.
    pub(crate) fn set_rate(&mut self, lr: f64) -> Result<()> {
        let mut f = Faults::default();
        f.check(is_rate(lr), "learning_rate", lr, "give a number that f32 holds, 0 or above");
        f.finish()?;
        self.learning_rate.set(lr);
        Ok(())
    }

    /// Multiplies the learning rate of all further steps by a factor, not below `min_lr`. Of a schedule that moves it is the whole curve that is
    /// left.
    pub fn reduce_learning_rate(&mut self, factor: f64, min_lr: f64) -> Result<()> {
        let mut f = Faults::default();
        f.check(factor.is_finite() && factor > 0.0, "factor", factor, "give a finite number above 0");
        f.check(is_rate(min_lr), "min_lr", min_lr, "give a number that f32 holds, 0 or above");
        f.finish()?;
        let updates = self.model.core().updates;
        self.learning_rate.reduce(factor, min_lr, self.model.settings().optimizer.schedule(), updates);
        Ok(())
    }

    /// Whether it goes on from a checkpoint.
    pub fn is_resumed(&self) -> bool {
        self.run.resumed
    }

    /// Keeps a copy of the weights on the host under a name, in the place of one that is there; it goes into checkpoints. The optimizer's
    /// state is not in it.
    pub fn keep_weights(&mut self, name: &str) -> Result<()> {
        let copy = self.model.core().read_arenas(is_weight)?;
        self.run.kept.insert(name.into(), copy);
        Ok(())
    }

    /// Sets the weights to a copy that [`Trainer::keep_weights`] made.
    pub fn restore_weights(&mut self, name: &str) -> Result<()> {
        let known = || self.run.kept.keys().cloned().collect();
        let Some(copy) = self.run.kept.get(name) else {
            return Err(Error::NotFound {
                what: "copy of the weights".into(),
                name: name.into(),
                at: "the trainer".into(),
                known: known(),
            });
        };
        self.model.core().write_arenas(copy)
    }

    /// Whether there is such a copy.
    pub fn has_weights(&self, name: &str) -> bool {
        self.run.kept.contains_key(name)
    }
}
