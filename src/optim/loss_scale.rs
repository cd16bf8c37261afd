//! What the loss is multiplied by before its gradients are made, so that small ones are not lost in f16.

use super::Scaling;
use crate::error::Faults;
use serde::{Deserialize, Serialize};

const POWER: &str = "give a power of two, as 65536: it is divided out again without a rounding";

/// What the loss is multiplied by before its gradients are made, so that small ones are not lost in f16: they are divided by it again before
/// anything else is done with them. Powers of two, so that neither rounds.
///
/// An update with a gradient that is not finite is skipped: parameters, moments, averages and running statistics stay as they are, and the
/// update is not counted; the next batch goes on. (Micikevicius et al., *Mixed Precision Training*, 2018; the rules and names are those of
/// PyTorch's `torch.amp.GradScaler`.)
///
/// ```
/// use gradus::optim::LossScale;
/// use gradus::prelude::*;
/// let settings = Compile::new(Adam::default(), Mse::new()).input([4]).loss_scale(LossScale::dynamic().growth_interval(500)).device(Device::cpu());
/// let model = Sequential::new().add(Linear::new(1)).compile(settings)?;
/// assert_eq!(model.loss_scale().unwrap().scale, 65536.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[must_use]
pub enum LossScale {
    /// None: what is not finite halts training.
    None,
    /// Always this one.
    Fixed(f64),
    /// One that finds its own size.
    Dynamic(DynamicLossScale),
}

impl LossScale {
    /// No scale: what is not finite halts training.
    pub fn none() -> Self {
        LossScale::None
    }
    /// Always this one, a power of two from 2^-24 to 2^126. 41 skipped updates in a row halt training.
    pub fn fixed(scale: f64) -> Self {
        LossScale::Fixed(scale)
    }
    /// One that finds its own size: from 2^16 on it is halved at each skipped update, and doubled after 2,000 good ones in a row. Skipped below
    /// 2^-24, training halts: what is not finite then is so without any scale.
    pub fn dynamic() -> DynamicLossScale {
        DynamicLossScale::default()
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        match self {
            LossScale::None => {}
            LossScale::Fixed(scale) => f.check(Scaling::takes(*scale), "compile.loss_scale.fixed", scale, POWER),
            LossScale::Dynamic(d) => d.check(f),
        }
    }

    /// How it moves, and where it begins.
    pub(crate) fn scaling(&self) -> Option<(Scaling, f32)> {
        match self {
            LossScale::None => None,
            LossScale::Fixed(scale) => Some((Scaling::Fixed, *scale as f32)),
            LossScale::Dynamic(d) => {
                let (growth, backoff) = (d.growth_factor as f32, d.backoff_factor as f32);
                Some((Scaling::Dynamic { growth, backoff, interval: d.growth_interval }, d.init_scale as f32))
            }
        }
    }
}

/// A loss scale that finds its own size, with the arguments of PyTorch's `GradScaler`: see [`LossScale::dynamic`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct DynamicLossScale {
    /// Where it begins; 2^16.
    pub init_scale: f64,
    /// Multiplies it after `growth_interval` good updates in a row; 2.
    pub growth_factor: f64,
    /// Multiplies it at an update that is skipped; 0.5.
    pub backoff_factor: f64,
    /// Good updates in a row after which it grows; 2,000.
    pub growth_interval: u32,
}

impl Default for DynamicLossScale {
    fn default() -> Self {
        DynamicLossScale { init_scale: 65536.0, growth_factor: 2.0, backoff_factor: 0.5, growth_interval: 2000 }
    }
}

impl DynamicLossScale {
    /// Where it begins: a power of two.
    pub fn init_scale(mut self, scale: f64) -> Self {
        self.init_scale = scale;
        self
    }
    /// Multiplies it after good updates: a power of two above 1.
    pub fn growth_factor(mut self, factor: f64) -> Self {
        self.growth_factor = factor;
        self
    }
    /// Multiplies it at an update that is skipped: a power of two below 1.
    pub fn backoff_factor(mut self, factor: f64) -> Self {
        self.backoff_factor = factor;
        self
    }
    /// Good updates in a row after which it grows.
    pub fn growth_interval(mut self, updates: u32) -> Self {
        self.growth_interval = updates;
        self
    }

    fn check(&self, f: &mut Faults) {
        let mut check = |name: &str, ok: bool, x: f64, help: &str| f.check(ok, &format!("compile.loss_scale.{name}"), x, help);
        let (up, down) = (self.growth_factor, self.backoff_factor);
        check("init_scale", Scaling::takes(self.init_scale), self.init_scale, POWER);
        check("growth_factor", Scaling::takes(up) && up > 1.0, up, "give a power of two above 1, as 2");
        check("backoff_factor", Scaling::takes(down) && down < 1.0, down, "give a power of two below 1, as 0.5");
        check("growth_interval", self.growth_interval > 0, self.growth_interval.into(), "give at least 1");
    }
}

impl From<DynamicLossScale> for LossScale {
    fn from(d: DynamicLossScale) -> Self {
        LossScale::Dynamic(d)
    }
}
