//! What is done beside the training: Keras' callbacks, under Keras' names, and one's own.

mod csv_logger;
mod custom;
mod early_stopping;
mod events;
mod json_lines;
mod learning_rate_scheduler;
mod list;
mod log_file;
mod model_checkpoint;
mod monitor;
mod placeholders;
mod reduce_lr_on_plateau;
mod tensorboard;
mod terminate_on_nan;

pub use csv_logger::CsvLogger;
pub use custom::{CustomCallback, custom, on_epoch_end, on_steps_end};
pub use early_stopping::EarlyStopping;
pub use json_lines::JsonLines;
pub use learning_rate_scheduler::LearningRateScheduler;
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::Mode;
pub use reduce_lr_on_plateau::ReduceLROnPlateau;
pub use tensorboard::TensorBoard;
pub use terminate_on_nan::TerminateOnNaN;

/// What [`Callback::state`] is made of.
#[doc(no_inline)]
pub use serde_json;

pub(crate) use list::{Callbacks, check_states};

use crate::error::{Error, Faults, Result};
use crate::train::Trainer;
use crate::train::evaluate::no_value;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Index;
use std::path::Path;

/// What a callback is told.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Logs {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Updates applied so far, since the weights were drawn.
    pub step: u64,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// The L2 norm of all gradients at the last step.
    pub grad_norm: f32,
    values: Vec<(String, f64)>,
}

impl Logs {
    /// Of this epoch, with these values: for tests of one's own callbacks.
    ///
    /// ```
    /// use gradus::train::callbacks::Logs;
    /// let logs = Logs::new(3, [("loss", 0.5), ("val_loss", 0.75)]);
    /// assert_eq!((logs["val_loss"], logs.get("accuracy")), (0.75, None));
    /// ```
    pub fn new<N: Into<String>>(epoch: usize, values: impl IntoIterator<Item = (N, f64)>) -> Self {
        Logs { epoch, values: values.into_iter().map(|(n, v)| (n.into(), v)).collect(), ..Self::default() }
    }

    /// A value by name: `loss`, a metric's, and both with `val_` where there is a validation set.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(n, v)| (n.as_str(), *v))
    }

    pub(super) fn push(&mut self, name: impl Into<String>, value: f64) {
        self.values.push((name.into(), value));
    }
}

/// Panics on a name that is not there, as the standard library's maps do: [`Logs::get`] gives an `Option`.
impl Index<&str> for Logs {
    type Output = f64;
    #[track_caller]
    fn index(&self, name: &str) -> &f64 {
        let found = self.values.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        found.unwrap_or_else(|| no_value(name, self.values.iter().map(|(n, _)| n.as_str())))
    }
}

/// Something that `fit` does beside the training. Each call gets the [`Trainer`]: its `set_learning_rate`, `stop`, `evaluate`, `checkpoint`, and
/// the model itself by [`Trainer::model`]; but not its `steps`. They are called in the order in which [`Fit::callback`](crate::train::Fit::callback) got them, each
/// after the validation.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::callbacks::{self, Callback, Logs, serde_json};
/// # use gradus::tensor::HostTensor;
/// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
///
/// /// Halves the rate every so many epochs, whatever else sets it.
/// struct Halve {
///     every: usize,
///     left: usize,
/// }
/// impl Callback for Halve {
///     fn on_epoch_end(&mut self, run: &mut Trainer<'_>, _: &Logs) -> gradus::Result<()> {
///         self.left -= 1;
///         if self.left == 0 {
///             self.left = self.every;
///             run.set_learning_rate(run.learning_rate() as f32 / 2.0)?;
///         }
///         Ok(())
///     }
///     // so that a run that goes on from a checkpoint halves when it would have
///     fn state(&self) -> serde_json::Value {
///         self.left.into()
///     }
///     fn restore(&mut self, _: &mut Trainer<'_>, state: &serde_json::Value) -> gradus::Result<()> {
///         self.left = state.as_u64().unwrap_or(1) as usize;
///         Ok(())
///     }
/// }
/// let net = Sequential::new().add(Linear::new(1));
/// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()))?;
/// model.fit(&data, Fit::new().epochs(4).verbose(0)
///     .callback(callbacks::custom("halve", Halve { every: 2, left: 2 }))
///     .callback(callbacks::on_epoch_end("print", |_, logs| {
///         println!("epoch {}: {:.4}", logs.epoch, logs["loss"]);
///         Ok(())
///     })))?;
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Callback: Send {
    /// Before the first step of this call of `fit`, on a run that goes on too ([`Trainer::is_resumed`]): what an earlier run left in `self`
    /// is to be forgotten here.
    fn on_train_begin(&mut self, _run: &mut Trainer<'_>) -> Result<()> {
        Ok(())
    }
    /// Before the first step of an epoch, counted from 1.
    fn on_epoch_begin(&mut self, _run: &mut Trainer<'_>, _epoch: usize) -> Result<()> {
        Ok(())
    }
    /// After each [`every_steps`](Callback::every_steps) steps, with the means of the open epoch so far. Keras' `on_batch_end`.
    fn on_steps_end(&mut self, _run: &mut Trainer<'_>, _logs: &Logs) -> Result<()> {
        Ok(())
    }
    /// After an epoch and its validation.
    fn on_epoch_end(&mut self, _run: &mut Trainer<'_>, _logs: &Logs) -> Result<()> {
        Ok(())
    }
    /// After all, when the last checkpoint is written: what is done here to the model is not in it.
    fn on_train_end(&mut self, _run: &mut Trainer<'_>) -> Result<()> {
        Ok(())
    }
    /// When a step has failed. `true` makes it an end in good order: `fit` returns what it has.
    fn on_error(&mut self, _run: &mut Trainer<'_>, _error: &Error) -> Result<bool> {
        Ok(false)
    }
    /// How many steps, counted from the start of the run, lie between two calls of [`on_steps_end`](Callback::on_steps_end). The device is waited for each time. 0,
    /// the default: it is never called.
    fn every_steps(&self) -> usize {
        0
    }
    /// What a checkpoint shall hold of it.
    fn state(&self) -> Value {
        Value::Null
    }
    /// Takes that back, after `on_train_begin`.
    fn restore(&mut self, _run: &mut Trainer<'_>, _state: &Value) -> Result<()> {
        Ok(())
    }
}

/// Any callback, as [`Fit`](crate::train::Fit) and recipes hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallbackKind {
    /// Stops when a value gets no better.
    EarlyStopping(EarlyStopping),
    /// Writes the model every so often.
    ModelCheckpoint(ModelCheckpoint),
    /// Lowers the rate when a value gets no better.
    #[serde(rename = "reduce_lr_on_plateau")]
    ReduceLROnPlateau(ReduceLROnPlateau),
    /// Sets the rate of each epoch.
    LearningRateScheduler(LearningRateScheduler),
    /// A table of the epochs.
    CsvLogger(CsvLogger),
    /// A JSON object a line.
    JsonLines(JsonLines),
    /// Event files for TensorBoard.
    #[serde(rename = "tensorboard")]
    TensorBoard(TensorBoard),
    /// A loss that is not finite ends the run in good order.
    #[serde(rename = "terminate_on_nan")]
    TerminateOnNaN(TerminateOnNaN),
    /// One's own.
    Custom(CustomCallback),
}

macro_rules! kinds {
    ($($kind:ident $text:literal,)*) => {
        $(impl From<$kind> for CallbackKind {
            fn from(c: $kind) -> Self {
                CallbackKind::$kind(c)
            }
        })*
        impl CallbackKind {
            /// As files name it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(CallbackKind::$kind(_) => $text,)*
                    CallbackKind::Custom(_) => "custom",
                }
            }
        }
    };
}

kinds! {
    EarlyStopping "early_stopping",
    ModelCheckpoint "model_checkpoint",
    ReduceLROnPlateau "reduce_lr_on_plateau",
    LearningRateScheduler "learning_rate_scheduler",
    CsvLogger "csv_logger",
    JsonLines "json_lines",
    TensorBoard "tensorboard",
    TerminateOnNaN "terminate_on_nan",
}

impl From<CustomCallback> for CallbackKind {
    fn from(c: CustomCallback) -> Self {
        CallbackKind::Custom(c)
    }
}

impl CallbackKind {
    /// Faults of its settings; `key` is where it stands.
    pub(super) fn check(&self, f: &mut Faults, key: &str) {
        match self {
            CallbackKind::EarlyStopping(c) => c.check(f, key),
            CallbackKind::ModelCheckpoint(c) => c.check(f, key),
            CallbackKind::ReduceLROnPlateau(c) => c.check(f, key),
            CallbackKind::CsvLogger(c) => c.check(f, key),
            CallbackKind::JsonLines(c) => c.check(f, key),
            CallbackKind::Custom(c) => c.check(f, key),
            _ => {}
        }
    }

    /// Fails on a state out of a checkpoint that it cannot take back. What one's own callback makes of it only that knows.
    fn check_state(&self, state: &Value) -> Result<()> {
        match self {
            CallbackKind::EarlyStopping(_) => early_stopping::check_state(state),
            CallbackKind::ModelCheckpoint(_) => model_checkpoint::check_state(state),
            CallbackKind::ReduceLROnPlateau(_) => reduce_lr_on_plateau::check_state(state),
            CallbackKind::CsvLogger(_) => parsed::<u64>("csv_logger", state).map(drop),
            CallbackKind::JsonLines(_) => parsed::<u64>("json_lines", state).map(drop),
            CallbackKind::LearningRateScheduler(_)
            | CallbackKind::TensorBoard(_)
            | CallbackKind::TerminateOnNaN(_)
            | CallbackKind::Custom(_) => Ok(()),
        }
    }

    /// The file or folder that it writes: a pattern, for `ModelCheckpoint`.
    pub(super) fn path(&self) -> Option<(&'static str, &Path)> {
        match self {
            CallbackKind::ModelCheckpoint(c) => Some(("path", Path::new(&c.path))),
            CallbackKind::CsvLogger(c) => Some(("path", &c.path)),
            CallbackKind::JsonLines(c) => Some(("path", &c.path)),
            CallbackKind::TensorBoard(c) => Some(("log_dir", &c.log_dir)),
            _ => None,
        }
    }

    /// With a path that is text, for people: one that is not (legal on Linux) no JSON holds.
    pub(super) fn readable(mut self) -> Self {
        match &mut self {
            CallbackKind::CsvLogger(CsvLogger { path, .. })
            | CallbackKind::JsonLines(JsonLines { path, .. })
            | CallbackKind::TensorBoard(TensorBoard { log_dir: path, .. }) => *path = path.to_string_lossy().into_owned().into(),
            _ => {}
        }
        self
    }

    /// Fails where it could not write, before anything is changed. Makes folders that are not there.
    pub(super) fn try_files(&self) -> Result<()> {
        match self {
            CallbackKind::ModelCheckpoint(c) => c.try_files(),
            CallbackKind::CsvLogger(CsvLogger { path, .. }) | CallbackKind::JsonLines(JsonLines { path, .. }) => log_file::try_open(path),
            CallbackKind::TensorBoard(c) => log_file::try_open(&c.log_dir.join("train").join("events")),
            _ => Ok(()),
        }
    }

    /// The names of values that it asks for.
    fn asks_for(&self) -> Vec<String> {
        match self {
            CallbackKind::EarlyStopping(c) => vec![c.monitor.clone()],
            CallbackKind::ReduceLROnPlateau(c) => vec![c.monitor.clone()],
            CallbackKind::ModelCheckpoint(c) => c.asks_for(),
            _ => vec![],
        }
    }

    /// It moves the rate: the rate is a column of the history then, as in Keras.
    fn moves_rate(&self) -> bool {
        matches!(self, CallbackKind::ReduceLROnPlateau(_) | CallbackKind::LearningRateScheduler(_))
    }

    /// Ready to run, the `number`th of its list.
    fn start(&self, number: usize) -> Box<dyn Callback> {
        match self.clone() {
            CallbackKind::EarlyStopping(c) => Box::new(early_stopping::Running::new(c, number)),
            CallbackKind::ModelCheckpoint(c) => Box::new(model_checkpoint::Running::new(c)),
            CallbackKind::ReduceLROnPlateau(c) => Box::new(reduce_lr_on_plateau::Running::new(c)),
            CallbackKind::LearningRateScheduler(c) => Box::new(c),
            CallbackKind::CsvLogger(c) => Box::new(csv_logger::Running::new(c)),
            CallbackKind::JsonLines(c) => Box::new(json_lines::Running::new(c)),
            CallbackKind::TensorBoard(c) => Box::new(tensorboard::Running::new(c)),
            CallbackKind::TerminateOnNaN(c) => Box::new(c),
            CallbackKind::Custom(c) => Box::new(c),
        }
    }
}

/// A callback's state out of a checkpoint.
fn parsed<T: serde::de::DeserializeOwned>(who: &str, state: &Value) -> Result<T> {
    T::deserialize(state).map_err(|e| Error::BadFile {
        path: "the checkpoint".into(),
        problem: format!("the state of the callback `{who}` is damaged: {e}"),
        at: "its metadata".into(),
        help: "take an older checkpoint, or start anew with `Resume::Never`".into(),
    })
}

#[cfg(test)]
mod tests;
