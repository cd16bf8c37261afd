//! What stands around the optimizer: clipping, and an average of the weights.

use crate::error::{Error, Faults, Result};
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::model::shared::Model;
use crate::plan::{BufferId, LogLine, Rule};
use crate::tensor::HostTensor;

impl Compile {
    /// Scales all gradients down together where their L2 norm is above `max`: `torch.nn.utils.clip_grad_norm_`, whose `1e-6` stands in the
    /// same place. The norm that is logged is the one before. No launch.
    ///
    /// A norm that is not finite stops training, clipped or not, as a loss does that is not: the parameters stay as they were, and the error
    /// (`non-finite-gradient`) names whose gradient it is. With a [`Compile::loss_scale`] it skips the update.
    pub fn clip_norm(mut self, max: f64) -> Self {
        self.clip_norm = Some(max);
        self
    }

    /// Brings each element of the gradients between `-max` and `max`: `torch.nn.utils.clip_grad_value_`. NaN stays NaN. No launch. The norm
    /// that is logged is the one before.
    pub fn clip_value(mut self, max: f64) -> Self {
        self.clip_value = Some(max);
        self
    }

    /// Keeps an exponential moving average of the weights: a copy of them after the first update, and after each other
    /// `decay * average + (1 - decay) * weights`: Keras' `ema_momentum`, PyTorch's `AveragedModel` with `get_ema_multi_avg_fn`. 0.99 to 0.9999
    /// are usual. Before the first update it is the initial weights.
    /// [`Model::swap_ema`] puts it in the weights' place.
    ///
    /// No launch. Who sets a weight ([`Model::set_parameter`], [`Model::load_weights`]) sets its average.
    pub fn ema(mut self, decay: f64) -> Self {
        self.ema = Some(decay);
        self
    }

    pub(crate) fn check_update(&self, f: &mut Faults) {
        let mut above = |key: &str, x: Option<f64>| {
            let good = x.is_none_or(|x| (x as f32).is_finite() && x as f32 > 0.0);
            f.check(good, &format!("compile.{key}"), x.unwrap_or_default(), "give a number above 0 that f32 holds, or leave it out");
        };
        above("clip_norm", self.clip_norm);
        above("clip_value", self.clip_value);
        let both = self.clip_norm.is_some() && self.clip_value.is_some();
        f.check(!both, "compile.clip_value", "gradients are clipped by their norm, too", "choose one, as in Keras");
        let decay = self.ema.unwrap_or(0.5);
        f.check((0.0..1.0).contains(&decay), "compile.ema", decay, "give a number from 0 to below 1, as 0.999");
    }

    /// The optimizer with what stands around it.
    pub(crate) fn rule(&self) -> Rule {
        let mut rule = self.optimizer.rule();
        if let Some(max) = self.clip_value {
            rule = rule.clip_value(max);
        }
        if let Some(max) = self.clip_norm {
            rule = rule.clip_norm(max as f32);
        }
        if let Some((scaling, _)) = self.scaling() {
            rule = rule.scaled(scaling);
        }
        if let Some(decay) = self.ema {
            rule = rule.average(decay);
        }
        rule
    }
}

impl Model {
    /// Exchanges the weights and their average ([`Compile::ema`]): `evaluate`, `predict` and `save_weights` use the average then. Called again
    /// it puts the weights back. In between, training is an `Err`; [`Model::save`] keeps both and which of them is where.
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

    /// The average of a parameter's values ([`Compile::ema`]); a frozen one's values. Fails without an average and for unknown names.
    pub fn ema_parameter(&self, name: &str) -> Result<HostTensor> {
        self.lock().ema_parameter(name)
    }
}

impl Core {
    /// Which rates each part of the arena reads, behind the rates on the device.
    pub(crate) fn write_rate_table(&mut self) -> Result<()> {
        let table = self.rule.table(&self.arena, |name| self.settings.optimizer.rate_group(name));
        if table.is_empty() {
            return Ok(());
        }
        self.session.write(BufferId::Rates, self.rule.rates(&self.arena).table(), &table)
    }

    /// The arenas of a new model's optimizer, where they begin with something else than zeros.
    pub(crate) fn begin_moments(&mut self) -> Result<()> {
        let value = self.settings.optimizer.initial_moment();
        if value == 0.0 {
            return Ok(());
        }
        let words = vec![value.to_bits(); self.arena.size];
        (0..self.rule.own_moments()).try_for_each(|m| self.write_words(BufferId::Moment(m), 0, &words))
    }

    /// Words of one update's rates: of all groups.
    pub(crate) fn rate_words(&self, update: u64, lr: f64) -> impl Iterator<Item = u32> {
        self.settings.optimizer.group_rates(update, lr).flat_map(|r| r.map(f32::to_bits))
    }

    /// The arena of the average, if there is one.
    pub(crate) fn average(&self) -> Option<BufferId> {
        self.rule.average.then(|| BufferId::Moment(self.rule.own_moments()))
    }

    pub(crate) fn swap_ema(&mut self) -> Result<()> {
        let average = self.average_or_none("Model::swap_ema")?;
        let weights = self.read_words(BufferId::Parameters, 0, self.arena.size)?;
        let other = self.read_words(average, 0, self.arena.size)?;
        self.write_words(BufferId::Parameters, 0, &other)?;
        self.write_words(average, 0, &weights)?;
        self.swapped = !self.swapped;
        Ok(())
    }

    pub(crate) fn ema_is_swapped(&self) -> bool {
        self.swapped
    }

    pub(crate) fn ema_parameter(&mut self, name: &str) -> Result<HostTensor> {
        let average = self.average_or_none("Model::ema_parameter")?;
        let e = self.entry(name)?;
        let from = if e.frozen || self.swapped { e.buffer() } else { average };
        let words = self.read_words(from, e.offset, e.shape.size())?;
        HostTensor::f32(e.shape, words.into_iter().map(f32::from_bits).collect())
    }

    fn average_or_none(&self, at: &str) -> Result<BufferId> {
        self.average().ok_or_else(|| Error::Unsupported {
            what: "the average of the weights".into(),
            at: at.into(),
            help: "compile the model with `.ema(0.999)`: an average is kept from the first step on or not at all".into(),
        })
    }

    /// Fails while the average stands in the weights' place.
    pub(crate) fn check_trains(&self) -> Result<()> {
        if !self.swapped {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "training on the average of the weights".into(),
            at: "after `Model::swap_ema`".into(),
            help: "call `swap_ema` again first: it puts the weights back".into(),
        })
    }

    /// The error of a step that halted: a loss that is not finite, or a gradient. Where the loss is scaled no scale has cured that. Nothing
    /// may be under way.
    pub(crate) fn halt_error(&mut self, line: Option<&LogLine>, step: u64, epoch: u64) -> Error {
        // the gradients that are there have this step's scale
        if let (Some(s), Some(scale)) = (&mut self.scaler, line.and_then(|l| l.scale)) {
            s.last = scale;
        }
        let (loss, norm) = (line.map(|l| l.loss), line.map_or(f32::NAN, |l| l.grad_norm));
        let scale = self.scaler.map(|s| s.scale);
        match loss {
            Some(loss) if loss.is_finite() => {
                let (parameters, largest) = self.bad_gradients();
                Error::NonFiniteGradient { step, epoch, norm, parameters, largest, scale, cause: None }
            }
            loss => {
                let parameter = self.non_finite_in(BufferId::Parameters).into_iter().next();
                Error::NonFiniteLoss { step, epoch, loss: loss.unwrap_or(f32::NAN), parameter, scale, cause: None }
            }
        }
    }

    /// The parameters whose gradients are not finite; where all are, the one that has the largest element, and that.
    fn bad_gradients(&mut self) -> (Vec<String>, Option<f32>) {
        // where gradients are accumulated the bad one may lie in the sum alone
        for id in [BufferId::Gradients, BufferId::Sums] {
            let bad = self.non_finite_in(id);
            if !bad.is_empty() {
                return (bad, None);
            }
        }
        let words = self.session.read(BufferId::Gradients, 0, self.arena.size).unwrap_or_default();
        let sizes = self.trained_in(&words).map(|(name, w)| (name, w.iter().map(|w| f32::from_bits(*w).abs()).fold(0.0, f32::max)));
        let largest = sizes.max_by(|a, b| a.1.total_cmp(&b.1));
        let unscale = self.scaler.map_or(1.0, |s| s.last);
        largest.map_or((vec![], None), |(name, g)| (vec![name.into()], Some(g / unscale)))
    }

    /// The parameters of which this arena holds something that is not finite. None where it cannot be read: this is for errors.
    fn non_finite_in(&mut self, id: BufferId) -> Vec<String> {
        let words = self.session.read(id, 0, self.arena.size).unwrap_or_default();
        let bad = |w: &u32| !f32::from_bits(*w).is_finite();
        self.trained_in(&words).filter(|(_, w)| w.iter().any(bad)).map(|(name, _)| name.into()).collect()
    }

    /// The words of each parameter that trains, of an arena that is laid out as they are.
    pub(crate) fn trained_in<'a>(&'a self, words: &'a [u32]) -> impl Iterator<Item = (&'a str, &'a [u32])> {
        let of = |e: &'a crate::plan::ArenaEntry| Some((e.name.as_str(), words.get(e.offset..e.offset + e.shape.size())?));
        self.arena.entries.iter().filter(|e| !e.frozen).filter_map(of)
    }
}
