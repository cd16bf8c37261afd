//! What training makes small.

use super::closure::{Custom, alike};
use super::labels::integers;
use super::losses::{
    BinaryCrossEntropy, FocalLoss, Huber, KlDivergence, LogCosh, Mae, Nll, binary, check_weights, counted, focal, huber, kl_divergence,
    likelihood, log_cosh, mae, mean,
};
use crate::error::{Error, Faults, Result, place};
use crate::graph::Var;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};
use std::panic::Location;

/// Softmax cross-entropy, the mean over the batch (PyTorch's `CrossEntropyLoss`, Keras' `CategoricalCrossentropy`).
///
/// On a model that ends in softmax it uses what went into that, else the model's outputs are logits; both ways are one kernel with
/// the same bits. Labels are classes or rows of probabilities, as the data set has them. A logit of -inf (a masked class) adds nothing where its
/// target is 0 (no smoothing), with and without weights.
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
    /// A weight for each class; none is 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
}

pub(super) fn none(smoothing: &f64) -> bool {
    *smoothing == 0.0
}

impl CrossEntropy {
    /// On logits, or on a softmax.
    pub fn new() -> Self {
        Self::default()
    }

    /// On probabilities that the model made in its own way: `-sum t * log(p + 1e-7)`. Needs one-hot labels.
    pub fn from_probabilities() -> Self {
        CrossEntropy { from_probabilities: true, ..Self::default() }
    }

    /// Targets `(1 - s) * target + s / classes`, of classes as of probabilities (Szegedy et al. 2015; PyTorch's `label_smoothing`).
    pub fn label_smoothing(mut self, s: f64) -> Self {
        self.label_smoothing = s;
        self
    }

    /// A weight `w` for each class (PyTorch's `weight`): rows of class labels count by that of their label, and the mean is over the sum of these,
    /// `sum w_y l / sum w_y`, 0 with gradient 0 in a batch where that sum is 0 (PyTorch: NaN); of rows of probabilities each part counts by its class,
    /// and the mean is over the rows.
    #[doc(alias = "weight")]
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.class_weights = weights.into_iter().collect();
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
    /// [`Mae`].
    Mae(Mae),
    /// [`Huber`].
    Huber(Huber),
    /// [`LogCosh`].
    LogCosh(LogCosh),
    /// [`BinaryCrossEntropy`].
    BinaryCrossEntropy(BinaryCrossEntropy),
    /// [`Nll`].
    Nll(Nll),
    /// [`FocalLoss`].
    FocalLoss(FocalLoss),
    /// [`KlDivergence`].
    KlDivergence(KlDivergence),
    /// [`custom`]: files hold its name alone.
    Custom(Custom),
}

/// A loss of one's own: `f(output, labels)` gives one element, from what [`Var`] has. Its gradient, its kernels and its name in errors
/// follow. Labels that are reals come in the output's shape where they have as many elements. In an update of several batches
/// ([`Fit::accumulate`](crate::train::Fit::accumulate)) it is weighed by their rows, whatever weights the closure uses.
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

macro_rules! from {
    ($($name:ident)*) => {$(
        impl From<$name> for Loss {
            fn from(l: $name) -> Self {
                Loss::$name(l)
            }
        }
    )*};
}
from! { CrossEntropy Mse Mae Huber LogCosh BinaryCrossEntropy Nll FocalLoss KlDivergence }

/// The names that flags and files use.
const NAMES: &[&str] = &["cross_entropy", "mse", "mae", "huber", "log_cosh", "binary_cross_entropy", "nll", "focal_loss", "kl_divergence"];

/// A loss with its defaults, by the name that files use: `cross_entropy`, `mse`, `mae`, `huber`, `log_cosh`, `binary_cross_entropy`, `nll`,
/// `focal_loss`, `kl_divergence`.
///
/// ```
/// use gradus::nn::{Huber, Loss};
/// assert_eq!("huber".parse::<Loss>()?, Huber::new().into());
/// # Ok::<(), gradus::Error>(())
/// ```
impl std::str::FromStr for Loss {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Ok(match s {
            "cross_entropy" => CrossEntropy::new().into(),
            "mse" => Mse::new().into(),
            "mae" => Mae::new().into(),
            "huber" => Huber::new().into(),
            "log_cosh" => LogCosh::new().into(),
            "binary_cross_entropy" => BinaryCrossEntropy::new().into(),
            "nll" => Nll::new().into(),
            "focal_loss" => FocalLoss::new().into(),
            "kl_divergence" => KlDivergence::new().into(),
            _ => return Err(Error::unknown_choice("loss", s, NAMES)),
        })
    }
}

impl Loss {
    /// The loss `[]` of a model's output for these labels.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        self.build_weighted(output, labels, None)
    }

    /// As [`Loss::build`] with a weight for each row, `[rows]` or `[rows, 1]`: `sum w_i l_i / rows`, as Keras' `sample_weight` has it, where `l_i` is
    /// the mean over row `i`. So a row of weight 2 counts as the row twice, and weights of 0 leave the others' gradients as they were: NaN or infinity
    /// in the outputs or labels of such a row reaches neither the loss nor the outputs' gradient, which is 0 there. (NaN among the row's *inputs* still
    /// reaches the weights that it is multiplied by: 0 times NaN. Fill inputs in.) Where all weights are 0 so is the loss.
    /// (With class weights on class labels the mean stays over the sum of those.)
    #[track_caller]
    pub fn build_weighted(&self, output: &Var, labels: &Var, weight: Option<&Var>) -> Var {
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
            Loss::CrossEntropy(c) if weight.is_some() || !c.class_weights.is_empty() => {
                let x = match c.from_probabilities {
                    true => (counted(output, weight) + 1e-7).log(),
                    false => output.softmax_input().unwrap_or_else(|| output.clone()).log_softmax(),
                };
                likelihood("cross_entropy", &x, labels, c.label_smoothing, &c.class_weights, weight)
            }
            Loss::CrossEntropy(CrossEntropy { from_probabilities: true, label_smoothing: s, .. }) => {
                let targets = if *s == 0.0 { labels.clone() } else { labels * (1.0 - s) + s / output.shape().last() as f64 };
                ((output + 1e-7).log() * targets).sum_axes(&[output.shape().rank().saturating_sub(1)]).mean() * -1.0
            }
            Loss::CrossEntropy(c) => output.softmax_input().as_ref().unwrap_or(output).cross_entropy_smoothed(labels, c.label_smoothing),
            Loss::Mse(_) => mse(output, labels, weight),
            Loss::Mae(_) => mae(output, labels, weight),
            Loss::Huber(h) => huber(*h, output, labels, weight),
            Loss::LogCosh(_) => log_cosh(output, labels, weight),
            Loss::BinaryCrossEntropy(c) => binary(c, output, labels, weight),
            Loss::Nll(n) => match output.softmax_input() {
                // one kernel
                Some(x) if weight.is_none() && n.class_weights.is_empty() && output.is_log_softmax() => x.cross_entropy(labels),
                _ => likelihood("nll", output, labels, 0.0, &n.class_weights, weight),
            },
            Loss::FocalLoss(c) => focal(c, output, labels, weight),
            Loss::KlDivergence(_) => kl_divergence(output, labels, weight),
            Loss::Custom(c) if weight.is_some() => {
                output.builder().fail(Error::Unsupported {
                    what: "sample weights with a loss of one's own, which gives one number for all rows".into(),
                    at: format!("the loss `{}`", c.name()),
                    help: "weigh the rows in a general step (`gradus::train::step`), where the field is `batch[\"weight\"]`".into(),
                });
                output.builder().poisoned()
            }
            Loss::Custom(c) => c.build("loss", output, labels),
        }
    }

    /// Its name, as files and messages have it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Loss::CrossEntropy(_) => "cross_entropy",
            Loss::Mse(_) => "mse",
            Loss::Mae(_) => "mae",
            Loss::Huber(_) => "huber",
            Loss::LogCosh(_) => "log_cosh",
            Loss::BinaryCrossEntropy(_) => "binary_cross_entropy",
            Loss::Nll(_) => "nll",
            Loss::FocalLoss(_) => "focal_loss",
            Loss::KlDivergence(_) => "kl_divergence",
            Loss::Custom(c) => c.name(),
        }
    }

    /// Whether it takes this output for logits of two classes.
    pub(super) fn takes_logits(&self, output: &Var) -> bool {
        let takes = matches!(self, Loss::BinaryCrossEntropy(c) if !c.from_probabilities) || matches!(self, Loss::FocalLoss(c) if c.binary);
        takes && output.sigmoid_input().is_none()
    }

    /// Whether its labels are parts of 1, each on its own.
    pub(crate) fn takes_parts(&self) -> bool {
        matches!(self, Loss::BinaryCrossEntropy(_)) || matches!(self, Loss::FocalLoss(c) if c.binary)
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        match self {
            Loss::CrossEntropy(CrossEntropy { label_smoothing: s, class_weights, .. }) => {
                f.check((0.0..1.0).contains(s), "loss.label_smoothing", s, "give a part of 1, as 0.1");
                check_weights(f, "loss.class_weights", class_weights);
            }
            Loss::BinaryCrossEntropy(c) => c.check(f),
            Loss::FocalLoss(c) => c.check(f),
            Loss::Nll(n) => check_weights(f, "loss.class_weights", &n.class_weights),
            Loss::Huber(h) => f.check(h.delta.is_finite() && h.delta > 0.0, "loss.delta", h.delta, "give a finite number above 0"),
            _ => {}
        }
    }
}

#[track_caller]
fn mse(output: &Var, labels: &Var, weight: Option<&Var>) -> Var {
    let (o, l) = (output.shape(), labels.shape());
    if integers("mse", output, labels) {
        return output.builder().poisoned();
    }
    if labels.dtype() == DType::F32 && o != l && o.size() != l.size() {
        output.builder().fail(Error::ShapeMismatch {
            op: "mse".into(),
            problem: format!("the model gives {o} and the labels are {l}"),
            at: place(Location::caller()),
            help: "the last layer must have as many outputs as a row of labels has values".into(),
        });
        return output.builder().poisoned();
    }
    mean(&(counted(output, weight) - alike(output, labels)).square(), weight)
}
