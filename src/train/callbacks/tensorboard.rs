//! Event files for TensorBoard.

use super::callback::Callback;
use super::events::{Event, record};
use super::kind::CallbackSettings;
use super::log_file::{self, LogFile};
use super::logs::Logs;
use crate::error::Result;
use crate::train::Trainer;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Event files that TensorBoard opens (`tensorboard --logdir DIR`): Keras' `TensorBoard`, its scalars. Runs and tags are Keras':
/// `epoch_loss`, `epoch_accuracy`, .., `epoch_learning_rate` and `epoch_grad_norm` over the epochs in `DIR/train`, those of the validation set in
/// `DIR/validation`; and, where it is asked for, `batch_loss` and so on over the steps, in `DIR/steps`. What
/// [`Fit::diagnostics`](crate::train::Fit::diagnostics) tells of the layers goes to `DIR/layers`, as `0/activation_std` and so on.
///
/// A run that goes on from a checkpoint writes further files, and tells TensorBoard to forget what came after that point.
///
/// ```
/// use gradus::train::callbacks::TensorBoard;
/// let board = TensorBoard::new("runs/first").every_steps(100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct TensorBoard {
    /// The folder; it is made where it is not there.
    pub log_dir: PathBuf,
    /// Steps between two values of the open epoch, Keras' `update_freq`; 0, none.
    #[serde(default)]
    pub every_steps: usize,
}

impl TensorBoard {
    /// To this folder.
    pub fn new(log_dir: impl Into<PathBuf>) -> Self {
        TensorBoard { log_dir: log_dir.into(), every_steps: 0 }
    }
    /// Values of the open epoch every so many steps, too.
    pub fn every_steps(mut self, steps: usize) -> Self {
        self.every_steps = steps;
        self
    }
}

impl CallbackSettings for TensorBoard {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(Running::new(self.clone()))
    }

    fn path(&self) -> Option<(&'static str, &Path)> {
        Some(("log_dir", &self.log_dir))
    }

    fn path_mut(&mut self) -> Option<&mut PathBuf> {
        Some(&mut self.log_dir)
    }

    fn try_files(&self) -> Result<()> {
        log_file::try_open(&self.log_dir.join("train").join("events"))
    }
}

pub(super) struct Running {
    set: TensorBoard,
    /// By the run's name; each made when its first value comes.
    files: Vec<(&'static str, LogFile)>,
    /// Where a run that goes on starts again: the epoch and the step after those that are done.
    start: Option<(i64, i64)>,
    /// Looks at the layers that were written.
    looks: usize,
}

impl Running {
    pub fn new(set: TensorBoard) -> Self {
        Running { set, files: vec![], start: None, looks: 0 }
    }

    fn write(&mut self, run: &'static str, step: i64, values: &[(String, f64)]) -> Result<()> {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        let mut bytes: Vec<u8> = values.iter().flat_map(|(tag, v)| record(now, &Event::Scalar { tag, step, value: *v as f32 })).collect();
        if let Some((_, file)) = self.files.iter_mut().find(|(n, _)| *n == run) {
            return file.write(&bytes);
        }
        let mut head = record(now, &Event::Version);
        if let Some((epoch, step)) = self.start {
            head.extend(record(now, &Event::Start(if matches!(run, "steps" | "layers") { step } else { epoch })));
        }
        head.append(&mut bytes);
        // TensorBoard reads a folder's files by their names: the time comes first
        let name = format!("events.out.tfevents.{:010}.gradus.{}.{}", now as u64, std::process::id(), FILES.fetch_add(1, Relaxed));
        let mut file = LogFile::open(&self.set.log_dir.join(run).join(name), true)?;
        file.write(&head)?;
        self.files.push((run, file));
        Ok(())
    }

    /// What was seen of the layers since.
    fn write_layers(&mut self, run: &Trainer<'_>) -> Result<()> {
        let all = run.history().diagnostics();
        for report in &all[self.looks.min(all.len())..] {
            let mut values = Values::new();
            for l in &report.layers {
                let tensors = [("activation", Some(l.activation)), ("gradient", l.gradient)];
                for (what, s) in tensors.into_iter().filter_map(|(what, s)| Some((what, s?))) {
                    let numbers = [("mean", s.mean), ("std", s.std), ("norm", s.norm)];
                    values.extend(numbers.map(|(n, v)| (format!("{}/{what}_{n}", l.layer), v)));
                }
            }
            self.write("layers", report.step as i64, &values)?;
        }
        self.looks = all.len();
        Ok(())
    }
}

/// By their tags.
type Values = Vec<(String, f64)>;

/// The values of the one kind and of the other, with what goes before their names.
fn split(logs: &Logs, before: &str) -> (Values, Values) {
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (name, v) in logs.iter().filter(|(n, _)| *n != "learning_rate") {
        match name.strip_prefix("val_") {
            Some(n) => validation.push((format!("{before}_{n}"), v)),
            None => train.push((format!("{before}_{name}"), v)),
        }
    }
    train.push((format!("{before}_learning_rate"), logs.learning_rate));
    train.push((format!("{before}_grad_norm"), logs.grad_norm.into()));
    (train, validation)
}

impl Callback for Running {
    fn on_train_begin(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        let (epoch, step) = (run.epochs_done() as i64 + 1, run.model().core().progress.updates as i64 + 1);
        self.start = run.is_resumed().then_some((epoch, step));
        self.looks = run.history().diagnostics().len();
        Ok(())
    }

    fn on_steps_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.write_layers(run)?;
        self.write("steps", logs.step as i64, &split(logs, "batch").0)
    }

    fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.write_layers(run)?;
        let (train, validation) = split(logs, "epoch");
        self.write("train", logs.epoch as i64, &train)?;
        if validation.is_empty() { Ok(()) } else { self.write("validation", logs.epoch as i64, &validation) }
    }

    fn every_steps(&self) -> usize {
        self.set.every_steps
    }
}
