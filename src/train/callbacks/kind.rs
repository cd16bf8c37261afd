//! What a callback's settings say before a run, and how a run starts it.

use super::callback::Callback;
use crate::error::{Error, Faults, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The settings of one of the callbacks.
pub(crate) trait CallbackSettings {
    /// Ready to run, the `number`th of its list.
    fn start(&self, number: usize) -> Box<dyn Callback>;

    /// Notes what is wrong with its settings; `key` is where they stand.
    fn check(&self, _faults: &mut Faults, _key: &str) {}

    /// Fails on a state out of a checkpoint that it cannot take back. What a user's own callback makes of its state only that callback knows.
    fn check_state(&self, _state: &Value) -> Result<()> {
        Ok(())
    }

    /// The file or folder that it writes, under the setting's name: a pattern, for `ModelCheckpoint`.
    fn path(&self) -> Option<(&'static str, &Path)> {
        None
    }

    /// That path, where it may be one that is no text.
    fn path_mut(&mut self) -> Option<&mut PathBuf> {
        None
    }

    /// Fails where it could not write, before anything is changed. Makes folders that are not there.
    fn try_files(&self) -> Result<()> {
        Ok(())
    }

    /// The names of values that it asks for.
    fn asks_for(&self) -> Vec<String> {
        vec![]
    }

    /// It asks for them within an epoch: there is no validation then.
    fn asks_within_epochs(&self) -> bool {
        false
    }

    /// It moves the rate: the rate is a column of the history then, as in Keras.
    fn moves_rate(&self) -> bool {
        false
    }

    /// The name that the user gave it; none for those of gradus.
    fn own_name(&self) -> Option<&str> {
        None
    }
}

/// A callback's state out of a checkpoint.
pub(super) fn parsed<T: serde::de::DeserializeOwned>(who: &str, state: &Value) -> Result<T> {
    T::deserialize(state).map_err(|e| Error::BadFile {
        path: "the checkpoint".into(),
        problem: format!("the state of the callback `{who}` is damaged: {e}"),
        at: "its metadata".into(),
        help: "take an older checkpoint, or start anew with `Resume::Never`".into(),
    })
}
