//! How to train: the settings of `fit` and of loops that the user writes.

use super::budget::{Budget, Limit};
use super::callbacks::CallbackKind;
use super::loop_settings::LoopSettings;
use crate::data::Dataset;
use crate::error::{Faults, Result};
use crate::inspect::diagnose::Diagnostics;
use crate::model::accumulation::Accumulation;
use crate::model::inputs::fault_of_batch_size;
use crate::model::journal::SNAPSHOT_EVERY;
use crate::store::atomic;
use crate::store::checkpoint::{Checkpoint, Resume};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

fn is_true(b: &bool) -> bool {
    *b
}

/// How to train: Keras' `fit`.
///
/// ```
/// use gradus::prelude::*;
/// let fit = Fit::new().epochs(10).batch_size(32);
/// assert!(fit.shuffle);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Fit {
    /// Passes over the data; 1.
    pub epochs: usize,
    /// In the place of `epochs`: how long the run may be in epochs, updates, rows or seconds; nothing. See [`Fit::budget`].
    #[serde(skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// Rows of a batch; 32. The last batch of an epoch may be smaller and is trained too.
    pub batch_size: usize,
    /// Batches whose gradients make one update; 1. See [`Fit::accumulate`].
    pub accumulate: usize,
    /// Whether each epoch has an order of its own; it has.
    pub shuffle: bool,
    /// Evaluated after every epoch, as `val_loss` and so on.
    #[serde(skip)]
    pub validation: Option<Dataset>,
    /// 0 prints nothing, 1 a line for each epoch on stderr; 1. See [`Fit::verbose`].
    pub verbose: u8,
    /// Whether Ctrl-C and SIGTERM end the run in good order; they do. See [`Fit::ctrl_c`].
    #[serde(skip_serializing_if = "is_true")]
    pub ctrl_c: bool,
    /// Steps that one submit to the device carries; 0 lets gradus choose, by the time that they take. Changes speed and nothing else.
    pub steps_per_submit: usize,
    /// Seconds between two copies of the parameters and moments to the host; 10. See [`Fit::snapshot_every`].
    pub snapshot_every: f64,
    /// Whether a loss that is not finite is traced to the operation that it comes from; it is not. See [`Fit::detect_anomaly`].
    pub detect_anomaly: bool,
    /// Whether the layers are looked at while training; they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Diagnostics>,
    /// A loss so many times the running mean of the losses before it is warned of; 10, and 0 for never.
    pub loss_spike: f64,
    /// What is done beside the training; nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<CallbackKind>,
    /// Where the run is written to, and how often; nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// Whether the run goes on from that file; never.
    pub resume: Resume,
}

impl Default for Fit {
    fn default() -> Self {
        Fit {
            epochs: 1,
            budget: Budget::default(),
            batch_size: 32,
            accumulate: 1,
            shuffle: true,
            validation: None,
            verbose: 1,
            ctrl_c: true,
            steps_per_submit: 0,
            snapshot_every: SNAPSHOT_EVERY,
            detect_anomaly: false,
            diagnostics: None,
            loss_spike: 10.0,
            callbacks: vec![],
            checkpoint: None,
            resume: Resume::Never,
        }
    }
}

impl Fit {
    /// One epoch of batches of 32.
    pub fn new() -> Self {
        Self::default()
    }
    /// Passes over the data.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }
    /// How long the run may be, in the place of [`Fit::epochs`]: `Budget::updates(5000)`, or `Budget::epochs(10).or(Budget::seconds(60))`. It may end in
    /// mid-epoch. Then `fit` validates once more and gives the history a row for the part that was trained; callbacks are told of whole epochs alone,
    /// and in a checkpoint that epoch is open: with a larger budget the run goes on in it.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }
    /// Rows of a batch.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }
    /// One update for `batches` batches: their gradients are accumulated, for the memory of one.
    ///
    /// The update's gradient is the mean over all of their rows, each batch's gradient weighted by its rows: where the loss is a mean over rows,
    /// that of one batch of all of them. A step, as reports and schedules count them, is an update. The last update of an epoch has the
    /// batches that are left, and is made too. Losses and metrics are means over rows as ever; what a layer computes over a batch
    /// (batch normalisation) it computes over each small one. One launch more for each batch, and an arena more of memory.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }
    /// Whether each epoch has an order of its own.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }
    /// Evaluated after every epoch.
    pub fn validation(mut self, data: &Dataset) -> Self {
        self.validation = Some(data.clone());
        self
    }
    /// 0 prints nothing. 1 and above, on stderr: a line for each epoch, which moves on a terminal; the device, once for a process; how the
    /// run ended, if before its last epoch; and warnings that no `tracing` subscriber takes.
    pub fn verbose(mut self, verbose: u8) -> Self {
        self.verbose = verbose;
        self
    }
    /// Whether `fit` listens to Ctrl-C (and SIGTERM, on Unix) while it runs: the first ends it in good order, see
    /// [`Model::fit`](crate::train::Model::fit). `false` leaves both to the program. So does a handler that the program has set before, and
    /// a build without the feature `ctrl-c`.
    pub fn ctrl_c(mut self, listen: bool) -> Self {
        self.ctrl_c = listen;
        self
    }
    /// Steps that one submit carries; 0 lets gradus choose.
    pub fn steps_per_submit(mut self, steps: usize) -> Self {
        self.steps_per_submit = steps;
        self
    }

    /// Seconds between two copies of the parameters and moments to the host, from which training goes on when a GPU is lost: the steps since
    /// the last copy are done again, to the same bits. A copy waits for the device and is as large as parameters and moments together; it
    /// comes late rather than take more than a fiftieth of the time. 0 keeps none: a lost device ends the run, and the model with it. The
    /// CPU is never lost, and no copy is made there.
    pub fn snapshot_every(mut self, seconds: f64) -> Self {
        self.snapshot_every = seconds;
        self
    }

    /// When the loss is not finite, runs the bad step again on the [reference](crate::reference) and names in the error the first operation
    /// that made NaN or infinity, its layer, and what its operands lay between (PyTorch's `set_detect_anomaly`). Costs nothing until then; the
    /// reference is slow, so a large network takes seconds.
    pub fn detect_anomaly(mut self, detect: bool) -> Self {
        self.detect_anomaly = detect;
        self
    }
    /// Looks at the layers every so many steps: mean, deviation and norm of what each gives and of its gradient, taken on the device, in
    /// [`StepReport::diagnostics`](crate::train::StepReport::diagnostics) and [`History::diagnostics`](crate::train::History::diagnostics).
    pub fn diagnostics(mut self, diagnostics: Diagnostics) -> Self {
        self.diagnostics = Some(diagnostics);
        self
    }
    /// Warns (as a `tracing` event, and in [`StepReport::spikes`](crate::train::StepReport::spikes)) of a step whose loss is so many times
    /// the running mean of the losses before it; 0 for never. `fit` prints one only if the loss is above the mean of the run's first 50,
    /// too.
    pub fn loss_spike(mut self, factor: f64) -> Self {
        self.loss_spike = factor;
        self
    }
    /// Adds what shall be done beside the training: see [`callbacks`](crate::train::callbacks). They have their turn in this order.
    pub fn callback(mut self, callback: impl Into<CallbackKind>) -> Self {
        self.callbacks.push(callback.into());
        self
    }
    /// Writes the run to a file every so often, and at its end. Whether it can be written is tried before the first step.
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }
    /// Whether the run goes on from the checkpoint's file.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        self.faults(&mut f);
        f.finish()
    }

    /// Fails on settings that a [`Trainer`](super::Trainer) would not heed.
    pub(super) fn check_for_loop(&self) -> Result<()> {
        let mut f = Faults::default();
        let help = "`Trainer::evaluate` looks at a data set whenever the loop likes; `fit` does it by itself";
        f.check(self.validation.is_none(), "fit.validation", "a loop of one's own does not validate", help);
        let help = "do in the loop what they would do, by the steps' reports; `fit` calls them";
        f.check(self.callbacks.is_empty(), "fit.callbacks", "a loop of one's own calls no callbacks", help);
        f.finish()
    }

    /// The part of the settings that every loop heeds, over so many rows.
    pub(super) fn for_loop(&self, rows: usize) -> LoopSettings {
        let Limit { epochs, updates, seconds } = self.limit(rows);
        LoopSettings {
            epochs,
            updates,
            seconds,
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            shuffle: self.shuffle,
            steps_per_submit: self.steps_per_submit,
            snapshot_every: self.snapshot_every,
            detect_anomaly: self.detect_anomaly,
            diagnostics: self.diagnostics.clone(),
            loss_spike: self.loss_spike,
            json: serde_json::to_string(&self.readable()).unwrap_or_else(|_| "null".into()),
        }
    }

    /// The bounds of a run over so many rows.
    pub(super) fn limit(&self, rows: usize) -> Limit {
        self.budget.limit(self.epochs, Accumulation { rows, batch: self.batch_size, accumulate: self.accumulate })
    }

    /// With paths that are text, as the metadata of a file can hold them.
    pub(super) fn readable(&self) -> Self {
        let mut fit = self.clone();
        fit.checkpoint.iter_mut().for_each(|c| c.path = c.path.to_string_lossy().into_owned().into());
        fit.callbacks = fit.callbacks.into_iter().map(CallbackKind::readable).collect();
        fit
    }

    /// Fails where a file of the run could not be written, before anything is done. Makes folders that are not there.
    pub(super) fn try_files(&self) -> Result<()> {
        self.checkpoint.iter().try_for_each(|c| atomic::try_replace(&c.path))?;
        self.callbacks.iter().try_for_each(CallbackKind::try_files)
    }

    /// Its paths that lead out of the folder that it runs in, with their keys.
    pub(super) fn outside(&self) -> Vec<(String, String)> {
        let checkpoint = self.checkpoint.iter().map(|c| ("fit.checkpoint.path".to_string(), c.path.as_path()));
        let callbacks = self.callbacks.iter().enumerate().filter_map(|(i, c)| {
            let (key, path) = c.path()?;
            Some((format!("fit.callbacks[{i}].{key}"), path))
        });
        let within = |p: &Path| p.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        checkpoint.chain(callbacks).filter(|(_, p)| !within(p)).map(|(key, p)| (key, p.display().to_string())).collect()
    }

    pub(super) fn faults(&self, f: &mut Faults) {
        self.diagnostics.iter().for_each(|d| d.check(f));
        let spike = self.loss_spike;
        f.check(spike == 0.0 || spike > 1.0 && spike.is_finite(), "fit.loss_spike", spike, "give a factor above 1, or 0 for no warning");
        let resumes = self.resume == Resume::Never || self.checkpoint.is_some();
        f.check(resumes, "fit.resume", format!("`{}`, and no checkpoint is named", self.resume), "name it: `Fit::checkpoint`");
        self.checkpoint.iter().for_each(|c| c.check(f));
        self.callbacks.iter().enumerate().for_each(|(i, c)| c.check(f, &format!("fit.callbacks[{i}]")));
        f.check(self.epochs > 0, "fit.epochs", self.epochs, "give at least 1");
        self.budget.check(f);
        f.check(self.accumulate > 0, "fit.accumulate", self.accumulate, "give at least 1: an update after each batch");
        fault_of_batch_size(f, self.batch_size);
        let seconds = self.snapshot_every;
        f.check(seconds.is_finite() && seconds >= 0.0, "fit.snapshot_every", seconds, "give seconds, or 0 for no copies");
    }
}
