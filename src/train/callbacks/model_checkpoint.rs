//! Writes the model every so often.

use super::callback::Callback;
use super::kind::{CallbackSettings, parsed};
use super::logs::Logs;
use super::monitor::{Mode, check_monitor};
use super::placeholders::{Piece, fill, matches, names, pieces};
use crate::disk;
use crate::error::{Error, Faults, Result};
use crate::store::{atomic, json_floats};
use crate::train::Trainer;
use crate::train::record::Due;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Writes the model every so often, or when it is the best so far: Keras' `ModelCheckpoint`. What it writes is a checkpoint of the whole
/// run, which [`Model::load`](crate::train::Model::load) reads as a model and [`Fit::resume`](crate::train::Fit::resume) goes on from; or the weights alone.
///
/// The path takes `{epoch}` (from 1), `{step}` and the names of the logs, in Python's manner: `weights.{epoch:02d}-{val_loss:.2f}.safetensors`. Its
/// folder is made where it is not there. A file that is there is replaced, whole.
///
/// ```
/// use gradus::train::callbacks::ModelCheckpoint;
/// let best = ModelCheckpoint::new("best.safetensors").monitor("val_accuracy").save_best_only(true).save_weights_only(true);
/// let latest = ModelCheckpoint::new("runs/{step:06d}.gradus").every_steps(500).keep_last(3);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ModelCheckpoint {
    /// The file, with placeholders.
    pub path: String,
    /// The value that tells what is best; `val_loss`.
    #[serde(default = "val_loss")]
    pub monitor: String,
    /// Which way it gets better; by its name.
    #[serde(default)]
    pub mode: Mode,
    /// Whether it writes only what is better than all before; it does not.
    #[serde(default)]
    pub save_best_only: bool,
    /// Whether it writes the weights alone; the whole run.
    #[serde(default)]
    pub save_weights_only: bool,
    /// Epochs between two writes; 1.
    #[serde(default = "one")]
    pub every_epochs: usize,
    /// Steps between two writes, in place of epochs; 0. What is monitored then is the open epoch so far, and there is no `val_loss`.
    #[serde(default)]
    pub every_steps: usize,
    /// How many of its files it leaves; 0, all.
    #[serde(default)]
    pub keep_last: usize,
    /// What the first to be written must be better than; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_value_threshold: Option<f64>,
}

fn val_loss() -> String {
    "val_loss".into()
}
fn one() -> usize {
    1
}

impl ModelCheckpoint {
    /// To this path, after each epoch.
    pub fn new(path: impl Into<String>) -> Self {
        ModelCheckpoint {
            path: path.into(),
            monitor: val_loss(),
            mode: Mode::Auto,
            save_best_only: false,
            save_weights_only: false,
            every_epochs: 1,
            every_steps: 0,
            keep_last: 0,
            initial_value_threshold: None,
        }
    }
    /// The value that tells what is best.
    pub fn monitor(mut self, monitor: &str) -> Self {
        self.monitor = monitor.into();
        self
    }
    /// Which way it gets better.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
    /// Whether it writes only what is better than all before.
    pub fn save_best_only(mut self, best: bool) -> Self {
        self.save_best_only = best;
        self
    }
    /// Whether it writes the weights alone.
    pub fn save_weights_only(mut self, weights: bool) -> Self {
        self.save_weights_only = weights;
        self
    }
    /// Epochs between two writes.
    pub fn every_epochs(mut self, epochs: usize) -> Self {
        self.every_epochs = epochs;
        self
    }
    /// Steps between two writes, in place of epochs: Keras' `save_freq`.
    pub fn every_steps(mut self, steps: usize) -> Self {
        self.every_steps = steps;
        self
    }
    /// How many of its files it leaves; 0, all.
    pub fn keep_last(mut self, files: usize) -> Self {
        self.keep_last = files;
        self
    }
    /// What the first to be written must be better than.
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.initial_value_threshold = Some(value);
        self
    }

    fn pieces(&self) -> Result<Vec<Piece>, String> {
        pieces(&self.path)
    }

    /// The folder, as far as it is the same for all files.
    fn folder(&self) -> PathBuf {
        let folder = Path::new(&self.path).parent().unwrap_or(Path::new(""));
        folder.components().take_while(|c| !c.as_os_str().as_encoded_bytes().contains(&b'{')).collect()
    }

    /// Takes away what killed runs have left half written of its files.
    fn remove_leftovers(&self, pieces: &[Piece]) {
        let folder = self.folder();
        let ours = |name: &[u8]| {
            let path = std::str::from_utf8(name).ok().map(|n| folder.join(n));
            path.is_some_and(|p| p.to_str().is_some_and(|p| matches(pieces, p)))
        };
        disk::remove_leftovers_in(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder }, &ours);
    }
}

impl CallbackSettings for ModelCheckpoint {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(Running::new(self.clone()))
    }

    fn check(&self, f: &mut Faults, key: &str) {
        check_monitor(f, key, &self.monitor);
        let help = "write `{epoch}`, `{step}` or a name of the logs, as in `{epoch:02d}-{val_loss:.2f}`";
        f.check(self.pieces().is_ok(), &format!("{key}.path"), self.pieces().err().unwrap_or_default(), help);
        f.check(!self.path.is_empty(), &format!("{key}.path"), "an empty path", "name a file");
        let often = self.every_epochs > 0 || self.every_steps > 0;
        f.check(often, &format!("{key}.every_epochs"), 0, "give at least 1, or steps");
        let threshold = self.initial_value_threshold.is_none_or(f64::is_finite);
        f.check(threshold, &format!("{key}.initial_value_threshold"), "not finite", "give a finite number");
    }

    /// Fails where its files cannot be written; makes their folder where it is not there.
    fn try_files(&self) -> Result<()> {
        let name = Path::new(&self.path).file_name().unwrap_or_default();
        let first = fill(&pieces(&name.to_string_lossy()).unwrap_or_default(), |_| Some(1.0));
        atomic::try_replace(&self.folder().join(first))
    }

    fn asks_for(&self) -> Vec<String> {
        let pieces = self.pieces().unwrap_or_default();
        let path = names(&pieces).filter(|n| !["epoch", "step"].contains(n));
        path.map(String::from).chain(self.save_best_only.then(|| self.monitor.clone())).collect()
    }

    fn check_state(&self, state: &Value) -> Result<()> {
        parsed::<State>("model_checkpoint", state).map(drop)
    }

    fn path(&self) -> Option<(&'static str, &Path)> {
        Some(("path", Path::new(&self.path)))
    }

    fn asks_within_epochs(&self) -> bool {
        self.every_steps > 0
    }
}

pub(super) struct Running {
    set: ModelCheckpoint,
    pieces: Vec<Piece>,
    now: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    #[serde(with = "json_floats::one")]
    best: f64,
    /// The files that are left, the oldest first.
    files: Vec<PathBuf>,
}

impl Running {
    pub fn new(set: ModelCheckpoint) -> Self {
        let best = set.initial_value_threshold.unwrap_or_else(|| set.mode.worst(&set.monitor));
        Running { pieces: set.pieces().unwrap_or_default(), now: State { best, files: vec![] }, set }
    }

    fn save(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        if self.set.save_best_only {
            let value = logs.get(&self.set.monitor).unwrap_or(f64::NAN);
            if !self.set.mode.better(&self.set.monitor, value, self.now.best, 0.0) {
                return Ok(());
            }
            self.now.best = value;
        }
        let number = |name: &str| match name {
            "epoch" => Some(logs.epoch as f64),
            "step" => Some(logs.step as f64),
            name => logs.get(name),
        };
        let path = PathBuf::from(fill(&self.pieces, number));
        disk::make_folder(&path).map_err(|e| Error::io("make the folder of", &path, e))?;
        if self.set.save_weights_only {
            run.model().save_weights(&path)?
        } else {
            run.checkpoint(&path)?
        }
        self.now.files.retain(|f| *f != path);
        self.now.files.push(path);
        // a file goes when the one in its place is there
        while self.set.keep_last > 0 && self.now.files.len() > self.set.keep_last {
            let oldest = self.now.files.remove(0);
            run.record.due.push(Due::Remove(oldest));
        }
        Ok(())
    }
}

impl Callback for Running {
    fn on_train_begin(&mut self, _: &mut Trainer<'_>) -> Result<()> {
        self.set.remove_leftovers(&self.pieces);
        Ok(())
    }

    fn on_steps_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.save(run, logs)
    }

    fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        let due = self.set.every_steps == 0 && logs.epoch.is_multiple_of(self.set.every_epochs.max(1));
        if due { self.save(run, logs) } else { Ok(()) }
    }

    fn every_steps(&self) -> usize {
        self.set.every_steps
    }

    fn state(&self) -> Value {
        serde_json::to_value(&self.now).unwrap_or_default()
    }

    fn restore(&mut self, _: &mut Trainer<'_>, state: &Value) -> Result<()> {
        self.now = parsed("model_checkpoint", state)?;
        // whatever a file says, nothing is removed that this pattern does not give
        self.now.files.retain(|f| f.to_str().is_some_and(|f| matches(&self.pieces, f)));
        Ok(())
    }
}
