//! What a model computes, as its user describes it: a module with a loss and metrics, or a whole step as a closure over named inputs.

use super::compile::Compile;
use crate::error::{Error, place};
use crate::graph::{Builder, Field, Var};
use crate::nn::{Finish, Layer, Loss, Metric, Module, Scope};
use crate::plan::Purpose;
use std::cell::RefCell;
use std::fmt;
use std::ops::Index;
use std::panic::Location;
use std::sync::Arc;

/// The fields of a batch, by name, each `[batch, ..]`: `batch["x"]`, `batch["mask"]`.
///
/// For `fit` and `evaluate` these are all fields of the data set, for `predict` the inputs that [`Compile`] declares and no labels. There
/// `batch["y"]` stands for nothing, and so does all that is computed from it: a loss may be written down without asking whether there
/// are labels. What asks for their shape must use [`Batch::get`].
#[derive(Debug)]
pub struct Batch {
    builder: Builder,
    size: usize,
    purpose: Purpose,
    vars: Vec<(String, Var)>,
    /// Stands for a field that is not there.
    nothing: Var,
    /// The fields that were asked for in vain.
    pub(crate) missed: RefCell<Vec<String>>,
}

impl Batch {
    pub(crate) fn new(builder: &Builder, purpose: Purpose, size: usize, fields: &[Field]) -> Self {
        let vars = fields.iter().map(|f| (f.name.clone(), builder.batch(size, f.clone()))).collect();
        Batch { builder: builder.clone(), size, purpose, vars, nothing: builder.poisoned(), missed: RefCell::default() }
    }

    /// A field, if the batch has it: labels are absent in `predict`.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.vars.iter().map(|(n, _)| n.as_str())
    }

    /// How many rows it has.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.size
    }

    /// What the step is built for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
}

/// A field that is not there is an `Err` of `fit` that lists the fields; in `predict` it stands for nothing.
impl Index<&str> for Batch {
    type Output = Var;
    #[track_caller]
    fn index(&self, name: &str) -> &Var {
        if let Some(v) = self.get(name) {
            return v;
        }
        self.missed.borrow_mut().push(name.into());
        if self.purpose != Purpose::Predict {
            let known = self.names().map(String::from).collect();
            self.builder.fail(Error::NotFound { what: "field".into(), name: name.into(), at: place(Location::caller()), known });
        }
        &self.nothing
    }
}

/// A value with its name, and the line that gave both.
pub(crate) type Named = (String, Var, &'static Location<'static>);

/// What a step gives: the loss that training makes small, what `predict` returns, and the metrics that are logged beside the loss.
#[derive(Debug, Default)]
#[must_use]
pub struct StepOut {
    /// One element. None if the step is for `predict` alone.
    pub loss: Option<Var>,
    /// What the loss is a mean over, one element: none is the rows.
    pub(crate) weight: Option<Var>,
    pub(crate) outputs: Vec<Named>,
    pub(crate) metrics: Vec<Named>,
    /// What becomes of each metric's columns.
    pub(crate) finishes: Vec<Finish>,
}

impl StepOut {
    /// With this loss, of one element: `loss` or `&loss`.
    pub fn new(loss: impl Into<Option<Var>>) -> Self {
        StepOut { loss: loss.into(), ..Self::default() }
    }

    /// What the loss is a mean over, one element: the sum of the weights, or the number of words, that it counted in this batch. Without it
    /// that is the rows. Losses of an epoch and of an evaluation are means by it, and [`Fit::accumulate`](crate::train::Fit::accumulate) weighs the
    /// gradients of an update's batches by it, so that they make the large batch's.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::train::{StepOut, step};
    /// let net = step(|s, batch| {
    ///     let y = s.at("fc").call(&Linear::new(1), &batch["x"]);
    ///     let errors = (&y - &batch["y"]).square() * &batch["mask"]; // 1 where there is a label
    ///     let counted = batch["mask"].sum();
    ///     StepOut::new(errors.sum() / (&counted + 1e-6)).weight(&counted).output("y", &y)
    /// });
    /// # let _ = net;
    /// ```
    pub fn weight(mut self, total: &Var) -> Self {
        self.weight = Some(total.clone());
        self
    }

    /// Adds what `predict` returns, `[batch, ..]`; [`Model::predict`](crate::train::Model::predict) gives the first,
    /// [`Model::predict_named`](crate::train::Model::predict_named) all.
    #[track_caller]
    pub fn output(mut self, name: impl Into<String>, value: &Var) -> Self {
        self.outputs.push((name.into(), value.clone(), Location::caller()));
        self
    }

    /// Adds a metric of one element: averaged over the rows of an epoch, in histories under this name.
    #[track_caller]
    pub fn metric(self, name: impl Into<String>, value: &Var) -> Self {
        self.with(name.into(), value.clone(), Finish::Mean)
    }

    /// Adds one of gradus' metrics, of this output for these labels, under its own name. Those of two classes take the output for probabilities
    /// here, unless `.from_logits(true)` tells them: a step of one's own has no loss that they could follow.
    ///
    /// ```
    /// use gradus::nn::R2;
    /// use gradus::prelude::*;
    /// use gradus::train::{StepOut, step};
    /// let net = step(|s, batch| {
    ///     let y = s.at("fc").call(&Linear::new(1), &batch["x"]);
    ///     StepOut::new((&y - &batch["y"]).square().mean()).output("y", &y).measure(R2::new(), &y, &batch["y"])
    /// });
    /// # let _ = net;
    /// ```
    #[track_caller]
    pub fn measure(self, metric: impl Into<Metric>, output: &Var, labels: &Var) -> Self {
        self.measure_beside(metric.into(), None, output, labels)
    }

    #[track_caller]
    fn measure_beside(self, metric: Metric, loss: Option<&Loss>, output: &Var, labels: &Var) -> Self {
        let metric = metric.beside(loss);
        let columns = metric.build_beside(loss, output, labels);
        self.with(metric.name().into_owned(), columns, metric.finish(output))
    }

    /// Adds a metric that is made of sums: `sums` (f32, of any shape that does not depend on the batch's size) are added up over the rows of
    /// an epoch, in f64, and `finish` makes one number of them. For what is no mean of means, as the root of a mean.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::train::{StepOut, step};
    /// // the part of the labels above 1 that the model finds
    /// let net = step(|s, batch| {
    ///     let y = s.at("fc").call(&Linear::new(1), &batch["x"]);
    ///     let (found, wanted) = (y.greater(&y.number(1.0)), batch["y"].greater(&y.number(1.0)));
    ///     let sums = (&found * &wanted).sum().reshape([1]).concat(&[&wanted.sum().reshape([1])], 0);
    ///     StepOut::new((&y - &batch["y"]).square().mean()).output("y", &y).metric_sums("found", &sums, |s| s[0] / s[1])
    /// });
    /// # let _ = net;
    /// ```
    #[track_caller]
    pub fn metric_sums<F>(self, name: impl Into<String>, sums: &Var, finish: F) -> Self
    where
        F: Fn(&[f64]) -> f64 + Send + Sync + 'static,
    {
        self.with(name.into(), sums.clone(), Finish::Sums(Arc::new(finish)))
    }

    #[track_caller]
    fn with(mut self, name: String, value: Var, finish: Finish) -> Self {
        self.metrics.push((name, value, Location::caller()));
        self.finishes.push(finish);
        self
    }
}

/// A whole step as a closure. See [`step`].
#[derive(Debug, Clone, Copy)]
pub struct StepFn<F>(F, &'static Location<'static>);

/// A step of one's own: several inputs, several outputs, any loss. The closure is called once for each purpose and batch size, and must
/// give the same parameters, outputs and metrics each time.
///
/// The first call is `compile`'s, for `predict`: the batch has the inputs that [`Compile`] declares and nothing else. Labels and other
/// fields stand for nothing there, and **their shape is `[]`**: code that reads `batch["y"].shape()` asks [`Batch::get`] first.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::{StepOut, step};
/// # use gradus::tensor::HostTensor;
/// let net = step(|s, batch| {
///     let h = s.at("fc").call(&Linear::new(8), &(&batch["x"] * &batch["mask"])).relu();
///     let class = s.at("class").call(&Linear::new(3), &h);
///     let size = s.at("size").call(&Linear::new(1), &h);
///     let error = (&size - &batch["size"]).abs().mean();
///     StepOut::new(class.cross_entropy(&batch["y"]) + &error * 0.5)
///         .output("class", &class.softmax())
///         .output("size", &size)
///         .metric("accuracy", &class.accuracy(&batch["y"]))
///         .metric("mae", &error)
/// });
/// let settings = Compile::step(Adam::new(1e-3)).input([4]).input_named("mask", [4]).device(Device::cpu());
/// let mut model = net.compile(settings)?;
///
/// # let values = |n: usize| (0..n).map(|i| (i % 7) as f32 * 0.1).collect::<Vec<_>>();
/// let data = Dataset::from_fields([
///     ("x", HostTensor::f32([10, 4], values(40))?),
///     ("mask", HostTensor::f32([10, 4], vec![1.0; 40])?),
///     ("size", HostTensor::f32([10, 1], values(10))?),
///     ("y", HostTensor::u32([10], vec![0, 1, 2, 1, 0, 2, 1, 0, 2, 1])?),
/// ])?;
/// let history = model.fit(&data, Fit::new().epochs(2).batch_size(5).verbose(0))?;
/// assert!(history.last("mae").is_some());
/// let outputs = model.predict_named(&data, 5)?;
/// assert_eq!((outputs["class"].shape().dims(), outputs["size"].shape().dims()), (&[10, 3][..], &[10, 1][..]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[track_caller]
pub fn step<F>(f: F) -> StepFn<F>
where
    F: Fn(&Scope, &Batch) -> StepOut + Send + Sync + 'static,
{
    StepFn(f, Location::caller())
}

/// Where a model's step comes from.
pub(crate) trait Describe: Send + Sync {
    /// The step for this batch.
    fn step(&self, settings: &Compile, s: &Scope, batch: &Batch) -> StepOut;
    /// Faults of the settings that only this kind has.
    fn refuses(&self, settings: &Compile) -> Option<(&'static str, &'static str, &'static str)>;
    /// Its layers, if a file can hold them.
    fn config(&self) -> Option<Layer>;
    /// What listings call it.
    fn name(&self) -> &'static str;
    /// The user's line that made it, if it is known.
    fn line(&self) -> Option<&'static Location<'static>>;
}

impl<F: Fn(&Scope, &Batch) -> StepOut + Send + Sync> Describe for StepFn<F> {
    fn step(&self, _: &Compile, s: &Scope, batch: &Batch) -> StepOut {
        (self.0)(s, batch)
    }
    fn refuses(&self, settings: &Compile) -> Option<(&'static str, &'static str, &'static str)> {
        let two = settings.loss.is_some() || !settings.metrics.is_empty();
        two.then_some(("compile.loss", "the step makes its loss and its metrics itself", "use `Compile::step(optimizer)`, without metrics"))
    }
    fn config(&self) -> Option<Layer> {
        None
    }
    fn name(&self) -> &'static str {
        "step"
    }
    fn line(&self) -> Option<&'static Location<'static>> {
        Some(self.1)
    }
}

/// The usual step: a module from `x` to its output, and the loss and metrics of the settings on that and `y`. With the user's line that
/// compiled it.
pub(crate) struct Supervised(pub Arc<dyn Module>, pub Option<&'static Location<'static>>);

impl Describe for Supervised {
    fn step(&self, settings: &Compile, s: &Scope, batch: &Batch) -> StepOut {
        let output = self.0.forward(s, &batch["x"]);
        let out = StepOut::default().output("output", &output);
        // the loss comes first: the kernel of a cross-entropy counts the hits of an accuracy, too
        let labels = match (&settings.loss, batch.purpose) {
            (Some(loss), Purpose::Train | Purpose::Evaluate) => Some((loss, &batch["y"])),
            _ => None,
        };
        let Some((loss, y)) = labels else { return out };
        let ty = |v: &Var| format!("{} {}", v.dtype(), v.shape());
        let of = format!("of the output, {}, and the labels `y`, {}", ty(&output), ty(y));
        let b = s.builder();
        b.about(Some(format!("the loss `{}` {of}", loss.name())));
        b.take_weight(); // of a loss that the module has built for itself
        let loss_of = loss.build_weighted(&output, y, batch.get("weight"));
        // a closure may add a loss with class weights to losses without: then the sum is taken for a mean over the rows
        let weight = b.take_weight().filter(|_| !matches!(loss, Loss::Custom(_)));
        let out = StepOut { loss: Some(loss_of), weight, ..out };
        let out = settings.metrics.iter().fold(out, |out, m| {
            b.about(Some(format!("the metric `{}` {of}", m.name())));
            out.measure_beside(m.clone(), Some(loss), &output, y)
        });
        b.about(None);
        out
    }
    fn refuses(&self, settings: &Compile) -> Option<(&'static str, &'static str, &'static str)> {
        settings.loss.is_none().then_some(("compile.loss", "there is none", "use `Compile::new(optimizer, loss)`"))
    }
    fn config(&self) -> Option<Layer> {
        self.0.config()
    }
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn line(&self) -> Option<&'static Location<'static>> {
        self.1
    }
}

impl fmt::Debug for dyn Describe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
