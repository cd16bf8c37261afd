//! What a run does beside the training: Keras' callbacks, under Keras' names, and the user's own.

mod callback;
mod events;
mod kind;
mod list;
mod log_file;
mod logs;
mod monitor;
mod placeholders;

pub use callback::Callback;
pub(crate) use list::{Callbacks, check_states};
pub use logs::Logs;
pub use monitor::Mode;

/// The crate whose `Value` [`Callback::state`] gives.
#[doc(no_inline)]
pub use serde_json;

use crate::error::{Faults, Result};
use crate::named::{Named, named};
use kind::CallbackSettings;
use std::path::Path;

named! {
    /// Any callback, as [`Fit`](super::Fit) and recipes hold it.
    pub enum CallbackKind: CallbackSettings, types of crate::train::callbacks in kinds {
        /// Stops when a value gets no better.
        EarlyStopping(EarlyStopping) = "early_stopping";
        /// Writes the model every so often.
        ModelCheckpoint(ModelCheckpoint) = "model_checkpoint";
        /// Lowers the rate when a value gets no better.
        ReduceLROnPlateau(ReduceLROnPlateau) = "reduce_lr_on_plateau";
        /// Sets the rate of each epoch.
        LearningRateScheduler(LearningRateScheduler) = "learning_rate_scheduler";
        /// A table of the epochs.
        CsvLogger(CsvLogger) = "csv_logger";
        /// A JSON object a line.
        JsonLines(JsonLines) = "json_lines";
        /// Event files for TensorBoard.
        TensorBoard(TensorBoard) = "tensorboard";
        /// A loss that is not finite ends the run in good order.
        TerminateOnNaN(TerminateOnNaN) = "terminate_on_nan";
        /// One's own.
        Custom(CustomCallback) = "custom";
    } // a new callback is a row above this line, and its file below it
}
mod custom;
pub use custom::{CustomCallback, custom, on_epoch_end, on_steps_end};
mod terminate_on_nan;
pub use terminate_on_nan::TerminateOnNaN;
mod tensorboard;
pub use tensorboard::TensorBoard;
mod json_lines;
pub use json_lines::JsonLines;
mod csv_logger;
pub use csv_logger::CsvLogger;
mod learning_rate_scheduler;
pub use learning_rate_scheduler::LearningRateScheduler;
mod reduce_lr_on_plateau;
pub use reduce_lr_on_plateau::ReduceLROnPlateau;
mod model_checkpoint;
pub use model_checkpoint::ModelCheckpoint;
mod early_stopping;
pub use early_stopping::EarlyStopping;
pub(crate) use early_stopping::{Patience, restored};

impl CallbackKind {
    /// As files name it.
    pub fn name(&self) -> &'static str {
        self.word()
    }

    /// Faults of its settings; `key` is where it stands.
    pub(crate) fn check(&self, f: &mut Faults, key: &str) {
        self.kind().check(f, key);
    }

    /// The file or folder that it writes: a pattern, for `ModelCheckpoint`.
    pub(super) fn path(&self) -> Option<(&'static str, &Path)> {
        self.kind().path()
    }

    /// With a path that is text, for people: one that is not (legal on Linux) no JSON holds.
    pub(super) fn readable(mut self) -> Self {
        if let Some(path) = self.kind_mut().path_mut() {
            *path = path.to_string_lossy().into_owned().into();
        }
        self
    }

    /// Fails where it could not write, before anything is changed. Makes folders that are not there.
    pub(super) fn try_files(&self) -> Result<()> {
        self.kind().try_files()
    }
}

#[cfg(test)]
mod tests;
