//! The settings that a model is compiled with.

use super::inputs::Input;
use crate::device::Device;
use crate::error::{Faults, Result};
use crate::graph::Precision;
use crate::nn::{Loss, Metric, Penalized, Penalty};
use crate::optim::{LossScale, Optimizer};
use crate::tensor::{DType, Shape};
use serde::{Deserialize, Serialize};

/// What a model is made for: optimizer, loss, input, metrics, device, seed.
///
/// ```
/// use gradus::prelude::*;
/// let c = Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(7);
/// assert_eq!(c.seed, 7);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Compile {
    /// The optimizer with its rates.
    pub optimizer: Optimizer,
    /// The loss; none for a [`step`](crate::train::step), which makes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// The shape of one row of `x`; `[]` if the model takes none.
    pub input: Shape,
    /// What `x` is: f32, or u32 for indices; f32.
    #[serde(default = "f32_input")]
    pub input_dtype: DType,
    /// Inputs besides `x`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Computed on the device at every step.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The largest norm of all gradients together; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The largest size of a gradient's element; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// The decay of an average of the weights; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// What the loss is multiplied by before its gradients are made; nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// What the size of parameters adds to the loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub penalties: Vec<Penalized>,
    /// In which precision it computes; f32.
    #[serde(default, skip_serializing_if = "is_f32")]
    pub precision: Precision,
    /// Where to train; [`Device::best`] by default.
    #[serde(default)]
    pub device: Option<Device>,
    /// Of initial weights and order; 0.
    #[serde(default)]
    pub seed: u64,
}

impl Compile {
    /// With this optimizer and loss.
    pub fn new(optimizer: impl Into<Optimizer>, loss: impl Into<Loss>) -> Self {
        Compile { loss: Some(loss.into()), ..Self::step(optimizer) }
    }
    /// With this optimizer, for a [`step`](crate::train::step): that makes loss and metrics itself.
    pub fn step(optimizer: impl Into<Optimizer>) -> Self {
        Compile {
            optimizer: optimizer.into(),
            loss: None,
            input: Shape::default(),
            input_dtype: DType::F32,
            inputs: vec![],
            metrics: vec![],
            clip_norm: None,
            clip_value: None,
            ema: None,
            loss_scale: None,
            penalties: vec![],
            precision: Precision::F32,
            device: None,
            seed: 0,
        }
    }
    /// The shape of one row of `x`, without the batch.
    pub fn input(mut self, shape: impl Into<Shape>) -> Self {
        self.input = shape.into();
        self
    }
    /// What the input is: f32, or `DType::U32` for a model that begins with [`Embedding`](crate::nn::Embedding).
    pub fn input_dtype(mut self, dtype: DType) -> Self {
        self.input_dtype = dtype;
        self
    }
    /// Adds a metric.
    pub fn metric(mut self, metric: impl Into<Metric>) -> Self {
        self.metrics.push(metric.into());
        self
    }
    /// Adds `l1 * sum |w|` and `l2 * sum w^2` of the parameters that a glob covers to the loss, in training and evaluation: Keras'
    /// regularizers. The loss that is reported includes it. Frozen parameters cost nothing; one that several patterns cover costs what
    /// each says. A pattern that covers no parameter is an `Err` of `compile`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::nn::Penalty;
    /// let settings = Compile::new(Adam::default(), Mse::new()).input([4]).penalty("*.weight", Penalty::l2(1e-4)).device(Device::cpu());
    /// Sequential::new().add(Linear::new(1)).compile(settings)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn penalty(mut self, pattern: impl Into<String>, penalty: Penalty) -> Self {
        self.penalties.push(Penalized::new(pattern, penalty));
        self
    }
    /// In which precision to compute: [`Precision::mixed`] stores activations, their gradients and a copy of the weights as f16.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }
    /// Where to train.
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }
    /// Of initial weights and order.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// All faults; `more` is one of what is to be compiled with them.
    pub(crate) fn check(&self, more: Option<(&str, &str, &str)>) -> Result<()> {
        let mut f = Faults::default();
        self.faults(&mut f, more);
        f.finish()
    }

    pub(crate) fn faults(&self, f: &mut Faults, more: Option<(&str, &str, &str)>) {
        more.into_iter().for_each(|(key, problem, help)| f.check(false, key, problem, help));
        self.check_inputs(f);
        self.optimizer.check(f);
        self.check_update(f);
        self.loss_scale.iter().for_each(|s| s.check(f));
        self.loss.iter().for_each(|l| l.check(f));
        self.metrics.iter().for_each(|m| m.check(f));
        Penalized::check(&self.penalties, f);
        let names: Vec<_> = self.metrics.iter().map(Metric::name).collect();
        for (i, name) in names.iter().enumerate() {
            let free = *name != "loss" && !names[..i].contains(name);
            f.check(!name.is_empty(), "compile.metrics", "a metric has no name", "give each metric a name");
            f.check(free, "compile.metrics", format!("the name `{name}` is taken"), "give each metric a name of its own");
        }
    }
}

/// What files of before mixed precision mean.
pub(crate) fn is_f32(p: &Precision) -> bool {
    *p == Precision::F32
}

pub(crate) fn f32_input() -> DType {
    DType::F32
}
