//! What training makes small.

use super::closure::{Custom, alike};
use crate::error::{Error, Faults, place};
use crate::graph::Var;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};
use std::panic::Location;

/// Softmax cross-entropy, the mean over the batch (PyTorch's `CrossEntropyLoss`, Keras' `CategoricalCrossentropy`).
///
/// On a model that ends in softmax it uses what went into that, else the model's outputs are logits; both ways are one kernel with
/// the same bits. Labels are classes or rows of probabilities, as the data set has them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct CrossEntropy {
    /// The model's outputs are probabilities, and not by softmax.
    pub from_probabilities: bool,
    /// The part `s` of each target that all classes share, `(1 - s) * target + s / classes`; 0, and below 1.
    #[serde(skip_serializing_if = "none")]
    pub label_smoothing: f64,
}

fn none(smoothing: &f64) -> bool {
    *smoothing == 0.0
}

impl CrossEntropy {
    /// On logits, or on a softmax.
    pub fn new() -> Self {
        Self::default()
    }

    /// On probabilities that the model made in its own way: `-sum t * log(p + 1e-7)`. Needs one-hot labels.
    pub fn from_probabilities() -> Self {
        CrossEntropy { from_probabilities: true, label_smoothing: 0.0 }
    }

    /// Targets `(1 - s) * target + s / classes`, of classes as of probabilities (Szegedy et al. 2015; PyTorch's `label_smoothing`).
    pub fn label_smoothing(mut self, s: f64) -> Self {
        self.label_smoothing = s;
        self
    }
}

/// The mean of squared differences over all elements (PyTorch's `MSELoss`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Mse {}

impl Mse {
    /// The mean of squared differences.
    pub fn new() -> Self {
        Mse {}
    }
}

/// Any of the losses, as settings and recipes hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// [`CrossEntropy`].
    CrossEntropy(CrossEntropy),
    /// [`Mse`].
    Mse(Mse),
    /// [`custom`]: files hold its name alone.
    Custom(Custom),
}

/// A loss of one's own: `f(output, labels)` gives one element, from what [`Var`] has. Its gradient, its kernels and its name in errors
/// follow. Labels that are reals come in the output's shape where they have as many elements.
///
/// A recipe or model file holds the name and not the closure: reading one is an error that asks for it.
///
/// ```
/// use gradus::prelude::*;
/// let charbonnier = loss::custom("charbonnier", |y, t| ((y - t).square() + 1e-6).sqrt().mean());
/// let settings = Compile::new(Adam::default(), charbonnier).input([7]).device(Device::cpu());
/// Sequential::new().add(Linear::new(1)).compile(settings)?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[track_caller]
pub fn custom<F>(name: impl Into<String>, f: F) -> Loss
where
    F: Fn(&Var, &Var) -> Var + Send + Sync + 'static,
{
    Loss::Custom(Custom::new(name, f))
}

impl From<CrossEntropy> for Loss {
    fn from(l: CrossEntropy) -> Self {
        Loss::CrossEntropy(l)
    }
}
impl From<Mse> for Loss {
    fn from(l: Mse) -> Self {
        Loss::Mse(l)
    }
}

impl Loss {
    /// The loss `[]` of a model's output for these labels.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        if labels.value().is_none() {
            return labels.clone(); // a step in `predict`, which has no labels
        }
        let mut faults = Faults::default();
        self.check(&mut faults);
        if let Err(e) = faults.finish() {
            output.builder().fail(e);
            return output.builder().poisoned();
        }
        match self {
            Loss::CrossEntropy(CrossEntropy { from_probabilities: true, label_smoothing: s }) => {
                let targets = if *s == 0.0 { labels.clone() } else { labels * (1.0 - s) + s / output.shape().last() as f64 };
                ((output + 1e-7).log() * targets).sum_axes(&[output.shape().rank().saturating_sub(1)]).mean() * -1.0
            }
            Loss::CrossEntropy(c) => output.softmax_input().as_ref().unwrap_or(output).cross_entropy_smoothed(labels, c.label_smoothing),
            Loss::Mse(_) => mse(output, labels),
            Loss::Custom(c) => c.build("loss", output, labels),
        }
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        if let Loss::CrossEntropy(CrossEntropy { label_smoothing: s, .. }) = self {
            f.check((0.0..1.0).contains(s), "loss.label_smoothing", s, "give a part of 1, as 0.1");
        }
    }
}

#[track_caller]
fn mse(output: &Var, labels: &Var) -> Var {
    let (o, l) = (output.shape(), labels.shape());
    if labels.dtype() == DType::F32 && o != l && o.size() != l.size() {
        output.builder().fail(Error::ShapeMismatch {
            op: "mse".into(),
            problem: format!("the model gives {o} and the labels are {l}"),
            at: place(Location::caller()),
            help: "the last layer must have as many outputs as a row of labels has values".into(),
        });
        return output.builder().poisoned();
    }
    (output - alike(output, labels)).square().mean()
}
