//! The average of the weights, and the weights exchanged with it.

use super::core::Core;
use super::shared::Model;
use super::values::own_values;
use crate::error::{Error, Result};
use crate::plan::BufferId;
use crate::tensor::HostTensor;

impl Model {
    /// Exchanges the weights and their average ([`Compile::ema`](crate::train::Compile::ema)): `evaluate`, `predict` and `save_weights` use
    /// the average then. Called again it puts the weights back. In between, training is an `Err`; [`Model::save`] keeps both and which of
    /// them is where.
    ///
    /// Fails without an average, and as the device does.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// let net = Sequential::new().add(Linear::new(1));
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).ema(0.9).device(Device::cpu()))?;
    /// model.fit(&data, Fit::new().epochs(3).verbose(0))?;
    /// model.swap_ema()?;
    /// let smooth = model.evaluate(&data, 8)?;
    /// model.swap_ema()?;
    /// # assert!(smooth["loss"] > model.evaluate(&data, 8)?["loss"]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn swap_ema(&mut self) -> Result<()> {
        self.core().swap_ema()
    }

    /// Whether the average of the weights stands in their place.
    pub fn ema_is_swapped(&self) -> bool {
        self.lock().ema_is_swapped()
    }

    /// The average of a parameter's values ([`Compile::ema`](crate::train::Compile::ema)); a frozen one's values. Fails without an average
    /// and for unknown names.
    pub fn ema_parameter(&self, name: &str) -> Result<HostTensor> {
        self.lock().ema_parameter(name)
    }
}

impl Core {
    pub(crate) fn swap_ema(&mut self) -> Result<()> {
        let average = self.average_or_none("Model::swap_ema")?;
        let weights = self.read_words(BufferId::Parameters, 0, self.engine.arena.size)?;
        let other = self.read_words(average, 0, self.engine.arena.size)?;
        self.write_words(BufferId::Parameters, 0, &other)?;
        self.write_words(average, 0, &weights)?;
        self.progress.swapped = !self.progress.swapped;
        Ok(())
    }

    pub(crate) fn ema_is_swapped(&self) -> bool {
        self.progress.swapped
    }

    pub(crate) fn ema_parameter(&mut self, name: &str) -> Result<HostTensor> {
        let average = self.average_or_none("Model::ema_parameter")?;
        let e = self.entry(name)?;
        let from = if e.frozen || self.progress.swapped { e.buffer() } else { average };
        let words = self.read_words(from, e.offset, e.shape.size())?;
        own_values(&e, &words)
    }

    fn average_or_none(&self, at: &str) -> Result<BufferId> {
        self.engine.average().ok_or_else(|| Error::Unsupported {
            what: "the average of the weights".into(),
            at: at.into(),
            help: "compile the model with `.ema(0.999)`: an average is kept from the first step on or not at all".into(),
        })
    }

    /// Fails while the average stands in the weights' place.
    pub(crate) fn check_trains(&self) -> Result<()> {
        if !self.progress.swapped {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "training on the average of the weights".into(),
            at: "after `Model::swap_ema`".into(),
            help: "call `swap_ema` again first: it puts the weights back".into(),
        })
    }
}
