use super::{Device, Input};
use crate::data::Dataset;
use crate::error::{Faults, Result};
use crate::nn::{Loss, Metric, Penalized, Penalty};
use crate::optim::Optimizer;
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
    /// The loss; none for a [`step`](super::step), which makes its own.
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
    /// What the size of parameters adds to the loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub penalties: Vec<Penalized>,
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
    /// With this optimizer, for a [`step`](super::step): that makes loss and metrics itself.
    pub fn step(optimizer: impl Into<Optimizer>) -> Self {
        Compile {
            optimizer: optimizer.into(),
            loss: None,
            input: Shape::default(),
            input_dtype: DType::F32,
            inputs: vec![],
            metrics: vec![],
            penalties: vec![],
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
    pub(super) fn check(&self, more: Option<(&str, &str, &str)>) -> Result<()> {
        let mut f = Faults::default();
        self.faults(&mut f, more);
        f.finish()
    }

    pub(super) fn faults(&self, f: &mut Faults, more: Option<(&str, &str, &str)>) {
        more.into_iter().for_each(|(key, problem, help)| f.check(false, key, problem, help));
        self.check_inputs(f);
        self.optimizer.check(f);
        self.loss.iter().for_each(|l| l.check(f));
        Penalized::check(&self.penalties, f);
        let names: Vec<&str> = self.metrics.iter().map(Metric::name).collect();
        for (i, name) in names.iter().enumerate() {
            let free = *name != "loss" && !names[..i].contains(name);
            f.check(!name.is_empty(), "compile.metrics", "a metric has no name", "give each metric a name");
            f.check(free, "compile.metrics", format!("the name `{name}` is taken"), "give each metric a name of its own");
        }
    }
}

pub(super) fn f32_input() -> DType {
    DType::F32
}

/// How to train: Keras' `fit`.
///
/// ```
/// use gradus::prelude::*;
/// let fit = Fit::new().epochs(10).batch_size(32);
/// assert!(fit.shuffle);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Fit {
    /// Passes over the data; 1.
    pub epochs: usize,
    /// Rows of a batch; 32. The last batch of an epoch may be smaller and is trained too.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own; it has.
    pub shuffle: bool,
    /// Evaluated after every epoch, as `val_loss` and so on.
    #[serde(skip)]
    pub validation: Option<Dataset>,
    /// 0 prints nothing, 1 a line for each epoch on stderr; 1.
    pub verbose: u8,
    /// Steps that one submit to the device carries; 0 lets gradus choose. Changes speed and nothing else.
    pub steps_per_submit: usize,
    /// Seconds between two copies of the parameters and moments to the host; 10. See [`Fit::snapshot_every`].
    pub snapshot_every: f64,
}

impl Default for Fit {
    fn default() -> Self {
        Fit { epochs: 1, batch_size: 32, shuffle: true, validation: None, verbose: 1, steps_per_submit: 0, snapshot_every: 10.0 }
    }
}

impl Fit {
    /// One epoch of batches of 32.
    pub fn new() -> Self {
        Self::default()
    }
    /// Passes over the data.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }
    /// Rows of a batch.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }
    /// Whether each epoch has an order of its own.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }
    /// Evaluated after every epoch.
    pub fn validation(mut self, data: &Dataset) -> Self {
        self.validation = Some(data.clone());
        self
    }
    /// 0 prints nothing.
    pub fn verbose(mut self, verbose: u8) -> Self {
        self.verbose = verbose;
        self
    }
    /// Steps that one submit carries; 0 lets gradus choose.
    pub fn steps_per_submit(mut self, steps: usize) -> Self {
        self.steps_per_submit = steps;
        self
    }

    /// Seconds between two copies of the parameters and moments to the host, from which training goes on when a GPU is lost: the steps since
    /// the last copy are done again, to the same bits. A copy waits for the device and is as large as parameters and moments together; it
    /// comes late rather than take more than a fiftieth of the time. 0 keeps none: a lost device ends the run, and the model with it. The
    /// CPU is never lost, and no copy is made there.
    pub fn snapshot_every(mut self, seconds: f64) -> Self {
        self.snapshot_every = seconds;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        self.faults(&mut f);
        f.finish()
    }

    pub(super) fn faults(&self, f: &mut Faults) {
        f.check(self.epochs > 0, "fit.epochs", self.epochs, "give at least 1");
        f.check(self.batch_size > 0, "fit.batch_size", self.batch_size, "give at least 1");
        let seconds = self.snapshot_every;
        f.check(seconds.is_finite() && seconds >= 0.0, "fit.snapshot_every", seconds, "give seconds, or 0 for no copies");
    }
}
