//! Ends a run at a loss or gradient that is not finite.

use super::callback::Callback;
use super::kind::CallbackSettings;
use crate::error::{Error, Result};
use crate::train::Trainer;
use serde::{Deserialize, Serialize};

/// A loss that is not finite, or a gradient, ends the run in good order: `fit` returns the epochs before as its history, where it is an `Err` otherwise.
/// Keras' `TerminateOnNaN`. The parameters are as they were before that step, and no checkpoint is written of it.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::callbacks::TerminateOnNaN;
/// let fit = Fit::new().callback(TerminateOnNaN::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct TerminateOnNaN {}

impl TerminateOnNaN {
    /// At the first such loss or gradient.
    pub fn new() -> Self {
        Self::default()
    }
}

impl CallbackSettings for TerminateOnNaN {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(*self)
    }
}

impl Callback for TerminateOnNaN {
    fn on_error(&mut self, _: &mut Trainer<'_>, error: &Error) -> Result<bool> {
        let nan = matches!(error, Error::NonFiniteLoss { .. } | Error::NonFiniteGradient { .. });
        if nan {
            crate::terminal::warn!("{error}; the run ends here");
        }
        Ok(nan)
    }
}
