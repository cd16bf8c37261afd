//! The settings that a model is compiled with.

use crate::device::Device;
use crate::error::{Error, Faults, Result};
use crate::graph::{Field, Precision};
use crate::nn::{Loss, Metric, Penalized, Penalty};
use crate::optim::{LossScale, Optimizer, Rule, Scaling};
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Of initial weights, order and dropout; 0.
    #[serde(default, skip_serializing_if = "is_0")]
    pub seed: u64,
    /// Of order and dropout; `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_seed: Option<u64>,
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
            order_seed: None,
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
    /// Of initial weights, order and dropout.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
    /// Of the order of rows and of what dropout drops, apart from the initial weights: with one `seed` and several of these, runs differ in what they see
    /// and not in where they begin.
    pub fn order_seed(mut self, seed: u64) -> Self {
        self.order_seed = Some(seed);
        self
    }

    /// Declares an input by its name: the field `batch[name]`, f32, with one row of this shape. `x` is [`Compile::input`].
    pub fn input_named(self, name: impl Into<String>, shape: impl Into<Shape>) -> Self {
        self.declare(name.into(), shape.into(), DType::F32)
    }

    /// As [`Compile::input_named`], for u32: indices into a table.
    pub fn indices_named(self, name: impl Into<String>, shape: impl Into<Shape>) -> Self {
        self.declare(name.into(), shape.into(), DType::U32)
    }

    fn declare(mut self, name: String, shape: Shape, dtype: DType) -> Self {
        if name == "x" {
            (self.input, self.input_dtype) = (shape, dtype);
        } else {
            self.inputs.push(Input { name, shape, dtype });
        }
        self
    }

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
    /// [`Model::swap_ema`](crate::train::Model::swap_ema) puts it in the weights' place.
    ///
    /// No launch. Who sets a weight ([`Model::set_parameter`](crate::train::Model::set_parameter),
    /// [`Model::load_weights`](crate::train::Model::load_weights)) sets its average.
    pub fn ema(mut self, decay: f64) -> Self {
        self.ema = Some(decay);
        self
    }

    /// Multiplies the loss before its gradients are made, and divides them before they are used: for gradients that would be lost in f16.
    /// None by default in f32, and [`LossScale::dynamic`] in mixed precision. See [`LossScale`];
    /// [`Model::loss_scale`](crate::train::Model::loss_scale) tells where it stands, [`StepReport`](crate::train::StepReport) and
    /// [`History`](crate::train::History) what was skipped.
    ///
    /// No launch. In f32 the gradients have the bits that they have without it, as long as nothing overflows or underflows. A parameter's
    /// [`gradient`](crate::train::Model::gradient), the norm that is logged and what [`Fit::diagnostics`](crate::train::Fit::diagnostics)
    /// shows are those without the scale.
    ///
    /// A loss that is not finite skips its update as a gradient does, and is left out of the means over the epoch, with the metrics of its
    /// batch. Where several batches make an update ([`Fit::accumulate`](crate::train::Fit::accumulate)) a bad one takes all of it along.
    pub fn loss_scale(mut self, scale: impl Into<LossScale>) -> Self {
        self.loss_scale = Some(scale.into());
        self
    }
}

impl Compile {
    /// Fails with all faults of the settings. `more` is a fault that the module or the step has found: key, problem, help.
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

    /// Name, row and dtype of every input, `x` first if there is one.
    pub(crate) fn all_inputs(&self) -> Vec<(&str, &Shape, DType)> {
        let x = (self.input.rank() > 0).then_some(("x", &self.input, self.input_dtype));
        x.into_iter().chain(self.inputs.iter().map(|i| (i.name.as_str(), &i.shape, i.dtype))).collect()
    }

    pub(crate) fn check_inputs(&self, f: &mut Faults) {
        let x = self.input.rank() > 0 || !self.inputs.is_empty();
        f.check(x && self.input.size() > 0, "compile.input", &self.input, "give the shape of one row: `.input([784])`");
        let known = |d: DType| matches!(d, DType::F32 | DType::U32);
        f.check(known(self.input_dtype), "compile.input_dtype", self.input_dtype, "a model takes f32 numbers or u32 indices");
        for (i, input) in self.inputs.iter().enumerate() {
            let key = format!("compile.inputs.{}", input.name);
            let taken = input.name == "x" || self.inputs[..i].iter().any(|o| o.name == input.name);
            f.check(!input.name.is_empty(), "compile.inputs", "an input has no name", "name it as the data set does");
            f.check(!taken, &key, "two inputs have this name", "declare each once");
            f.check(input.shape.size() > 0, &key, &input.shape, "every size of a row must be at least 1");
            f.check(known(input.dtype), &key, input.dtype, "a model takes f32 numbers or u32 indices");
        }
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

    /// The seed of the order of rows, and of all that is drawn while training.
    pub(crate) fn seed_of_order(&self) -> u64 {
        self.order_seed.unwrap_or(self.seed)
    }

    /// The optimizer together with clipping, loss scaling and the average of the weights.
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

    /// Fails on a device that cannot store f16, where the precision asks for it.
    pub(crate) fn check_precision(&self, device: &Device) -> Result<()> {
        if !self.precision.is_mixed() || device.has_f16() {
            return Ok(());
        }
        let help =
            "take `Precision::F32`, update the driver, or train on `cpu`, which has f16 everywhere (`--device list` shows who has it)";
        Err(Error::NoF16 { device: device.name(), help: help.into() })
    }

    /// How the loss is scaled, if it is.
    pub(crate) fn scaling(&self) -> Option<(Scaling, f32)> {
        match self.loss_scale {
            None if self.precision.is_mixed() => LossScale::from(LossScale::dynamic()).scaling(),
            given => given.and_then(|s| s.scaling()),
        }
    }

    /// Keeps fields integers that are stored as integers and that the model takes as integers: the data set need not say so.
    pub(super) fn take_integers(&self, fields: &mut [Field]) {
        for f in fields {
            let taken = self.all_inputs().iter().any(|(n, _, dtype)| *n == f.name && *dtype == DType::U32);
            f.keep_integer |= taken && f.stored != DType::F32 && as_stored(f);
        }
    }
}

/// An input besides `x`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Input {
    /// The name of the field.
    pub name: String,
    /// The shape of one row.
    pub shape: Shape,
    /// f32, or u32 for indices; f32.
    #[serde(default = "f32_input")]
    pub dtype: DType,
}

/// Whether the model gets the values of a field as they are stored.
fn as_stored(f: &Field) -> bool {
    f.one_hot.is_none() && f.scale == 1.0 && f.shift == 0.0 && f.channels.is_none() && f.augmented.is_none()
}

/// Whether this is what files mean that were written before there was mixed precision.
fn is_f32(p: &Precision) -> bool {
    *p == Precision::F32
}

fn is_0(seed: &u64) -> bool {
    *seed == 0
}

fn f32_input() -> DType {
    DType::F32
}
