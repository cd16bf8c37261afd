//! A model with another optimizer, and all else as it was.

use super::compile::Compile;
use super::core::Core;
use super::parameter_words::ParameterWords;
use super::shared::Model;
use crate::error::Result;
use crate::optim::Optimizer;

impl Model {
    /// Takes another optimizer from here on: another rule or rate, other groups, so as to unfreeze what was frozen. Parameters and buffers keep
    /// their values. The optimizer begins anew, as after `compile`: its moments, the start of its schedule (and of a warmup), the loss
    /// scale, and the average of the weights ([`Compile::ema`](crate::train::Compile::ema)), which begins at the weights as they are. Epochs and
    /// batches are counted on, so that order and dropout do not repeat.
    ///
    /// All else of the settings stays. Programs are planned anew, and data sets go to the device again. The old and the new arenas are on the
    /// device together for a moment. When it fails nothing was changed: it does on settings that `compile` would refuse, on a device without the
    /// memory, and while the average stands in the weights' place ([`Model::swap_ema`]).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// let net = Sequential::new().add(Linear::new(4)).add(Tanh).add(Linear::new(1));
    /// // the head first: the first group that covers a name holds
    /// let head = Adam::new(1e-2).group("2.*", Group::new()).group("*", Group::new().frozen());
    /// let mut model = net.compile(Compile::new(head, Mse::new()).input([2]).device(Device::cpu()))?;
    /// model.fit(&data, Fit::new().epochs(2).verbose(0))?;
    /// // then all of it, slowly
    /// model.recompile(Adam::new(1e-3))?;
    /// assert_eq!(model.frozen_count(), 0);
    /// model.fit(&data, Fit::new().epochs(2).verbose(0))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "requires_grad")]
    #[doc(alias = "trainable")]
    pub fn recompile(&mut self, optimizer: impl Into<Optimizer>) -> Result<()> {
        let new = self.core().with_optimizer(optimizer.into())?;
        self.replace(new);
        Ok(())
    }
}

impl Core {
    /// The same model with another optimizer.
    fn with_optimizer(&mut self, optimizer: Optimizer) -> Result<Core> {
        let mut settings = self.description.settings.clone();
        settings.optimizer = optimizer;
        self.anew(settings, &|_| true)
    }

    /// The same parameters and buffers under these settings. None trains but these.
    pub(super) fn anew(&mut self, mut settings: Compile, trains: &dyn Fn(&str) -> bool) -> Result<Core> {
        self.check_trains()?;
        self.settle_now()?;
        settings.device = Some(self.engine.device.clone());
        let mut new = Core::training(self.description.module.clone(), settings, trains)?;
        let old = self.read_parameters()?;
        let mut words = ParameterWords::zeros(&new.engine.arena);
        let values = |w: &[u32]| w.iter().map(|w| f32::from_bits(*w)).collect::<Vec<_>>();
        for (to, from) in new.engine.arena.entries.iter().filter_map(|e| Some((e, self.engine.arena.find(&e.name)?))) {
            words.set(to, &values(&from.restore(old.stored(from))));
        }
        for (to, from) in new.engine.arena.buffers.iter().filter_map(|e| Some((e, self.engine.arena.find_buffer(&e.name)?))) {
            words.set_buffer(to, values(old.buffer(from)));
        }
        new.write_parameters(&words)?;
        // the device that the user asked for, not the one that was chosen: a file may be read on another machine
        new.description.settings.device = self.description.settings.device.clone();
        (new.progress.batches, new.progress.epochs, new.progress.evaluated) =
            (self.progress.batches, self.progress.epochs, self.progress.evaluated);
        Ok(new)
    }
}
