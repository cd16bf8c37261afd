//! What a callback does while a run goes on.

use super::logs::Logs;
use crate::error::{Error, Result};
use crate::train::Trainer;
use serde_json::Value;

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
