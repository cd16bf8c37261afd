//! What training tells of itself.

use super::closure::Custom;
use super::finish::{Finish, Score};
use super::labels::fault;
use super::metrics::{
    Auc, BinaryAccuracy, ConfusionMatrix, F1, Precision, R2, Recall, Rmse, TopKAccuracy, absolutes, binary_accuracy, check_threshold,
    confusion, counts, curve, score, spreads, squares, top_k,
};
use super::{Loss, Mae, Mse};
use crate::error::{Error, Faults, Result};
use crate::graph::Var;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The fraction of rows whose largest output is the label's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Accuracy {}

impl Accuracy {
    /// The fraction of rows whose largest output is the label's.
    pub fn new() -> Self {
        Accuracy {}
    }
}

/// Any of the metrics. Each is computed on the device: at every batch it logs one or more sums or means, which the host adds up over the rows
/// of an epoch, in f64, and makes one value of. None looks at weights of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// [`Accuracy`].
    Accuracy(Accuracy),
    /// [`BinaryAccuracy`].
    BinaryAccuracy(BinaryAccuracy),
    /// [`TopKAccuracy`].
    TopKAccuracy(TopKAccuracy),
    /// [`ConfusionMatrix`].
    ConfusionMatrix(ConfusionMatrix),
    /// [`PrecisionScore`](super::PrecisionScore).
    Precision(Precision),
    /// [`Recall`].
    Recall(Recall),
    /// [`F1`].
    F1(F1),
    /// [`Auc`].
    Auc(Auc),
    /// [`Mae`].
    Mae(Mae),
    /// [`Mse`].
    Mse(Mse),
    /// [`Rmse`].
    Rmse(Rmse),
    /// [`R2`].
    R2(R2),
    /// [`custom`]: files hold its name alone.
    Custom(Custom),
}

/// A metric of one's own: `f(output, labels)` gives one element, which is averaged over the rows of an epoch. Labels that are reals come
/// in the output's shape where they have as many elements. Files hold the name and not the closure.
///
/// ```
/// use gradus::prelude::*;
/// let mae = metric::custom("mae", |y, t| (y - t).abs().mean());
/// assert_eq!(mae.name(), "mae");
/// ```
#[track_caller]
pub fn custom<F>(name: impl Into<String>, f: F) -> Metric
where
    F: Fn(&Var, &Var) -> Var + Send + Sync + 'static,
{
    Metric::Custom(Custom::new(name, f))
}

macro_rules! from {
    ($($name:ident)*) => {$(
        impl From<$name> for Metric {
            fn from(m: $name) -> Self {
                Metric::$name(m)
            }
        }
    )*};
}
from! { Accuracy BinaryAccuracy TopKAccuracy ConfusionMatrix Precision Recall F1 Auc Mae Mse Rmse R2 }

/// A metric with its defaults, by the name that files use: `accuracy`, `binary_accuracy`, `top_k_accuracy` (5), `precision`, `recall`, `f1`, `auc`,
/// `mae`, `mse`, `rmse`, `r2`.
impl std::str::FromStr for Metric {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Ok(match s {
            "accuracy" => Accuracy::new().into(),
            "binary_accuracy" => BinaryAccuracy::new().into(),
            "top_k_accuracy" => TopKAccuracy::new(5).into(),
            "precision" => Precision::new().into(),
            "recall" => Recall::new().into(),
            "f1" => F1::new().into(),
            "auc" => Auc::new().into(),
            "mae" => Mae::new().into(),
            "mse" => Mse::new().into(),
            "rmse" => Rmse::new().into(),
            "r2" => R2::new().into(),
            _ => return Err(Error::unknown_choice("metric", s, NAMES)),
        })
    }
}

/// The names that flags and files use.
const NAMES: &[&str] = &["accuracy", "binary_accuracy", "top_k_accuracy", "precision", "recall", "f1", "auc", "mae", "mse", "rmse", "r2"];

#[track_caller]
fn accuracy(output: &Var, labels: &Var) -> Var {
    let (o, l) = (output.shape(), labels.shape());
    if output.value().is_some() && o.rank() > 0 && o.size() == o[0] && o.size() == l.size() {
        let problem = format!("one output a row, {o}, for the labels {l}");
        return fault(
            output,
            "accuracy",
            problem,
            "`Accuracy` looks for the largest of several outputs: of one output use `BinaryAccuracy`",
        );
    }
    output.accuracy(labels)
}

impl Metric {
    /// Its name in histories.
    pub fn name(&self) -> Cow<'_, str> {
        let (own, default) = match self {
            Metric::Accuracy(_) => (&None, "accuracy"),
            Metric::BinaryAccuracy(m) => (&m.label, "binary_accuracy"),
            Metric::TopKAccuracy(m) if m.label.is_none() => return format!("top_{}_accuracy", m.k).into(),
            Metric::TopKAccuracy(m) => (&m.label, "top_k_accuracy"),
            Metric::ConfusionMatrix(m) => (&m.label, "confusion"),
            Metric::Precision(m) => (&m.label, "precision"),
            Metric::Recall(m) => (&m.label, "recall"),
            Metric::F1(m) => (&m.label, "f1"),
            Metric::Auc(m) => (&m.label, "auc"),
            Metric::Mae(_) => (&None, "mae"),
            Metric::Mse(_) => (&None, "mse"),
            Metric::Rmse(_) => (&None, "rmse"),
            Metric::R2(_) => (&None, "r2"),
            Metric::Custom(c) => return c.name().into(),
        };
        own.as_deref().unwrap_or(default).into()
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        match self {
            Metric::BinaryAccuracy(m) => check_threshold(f, m.threshold),
            Metric::Precision(m) => check_threshold(f, m.threshold),
            Metric::Recall(m) => check_threshold(f, m.threshold),
            Metric::F1(m) => check_threshold(f, m.threshold),
            Metric::TopKAccuracy(m) => m.check(f),
            Metric::ConfusionMatrix(m) => m.check(f),
            Metric::Auc(m) => m.check(f),
            _ => {}
        }
    }

    /// What becomes of its columns for this output.
    pub(crate) fn finish(&self, output: &Var) -> Finish {
        match self {
            Metric::Accuracy(_) | Metric::TopKAccuracy(_) => Finish::Share(1),
            Metric::BinaryAccuracy(_) => Finish::Share(output.shape().dims().iter().skip(1).product()),
            Metric::Precision(m) => score(Score::Precision, m.average),
            Metric::Recall(m) => score(Score::Recall, m.average),
            Metric::F1(m) => score(Score::F1, m.average),
            Metric::ConfusionMatrix(_) => Finish::Matrix,
            Metric::Auc(_) => Finish::Area,
            Metric::Rmse(_) => Finish::RootMean,
            Metric::R2(_) => Finish::Determination,
            _ => Finish::Mean,
        }
    }

    /// What it logs of a batch for a model's output and these labels: the metric itself, `[]`, or the counts and sums that it comes of (so for
    /// [`ConfusionMatrix`], [`PrecisionScore`](super::PrecisionScore), [`Recall`], [`F1`], [`Auc`], [`Rmse`] and [`R2`]).
    ///
    /// Metrics of two classes take the output for probabilities unless they were told: no loss stands beside.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        self.build_beside(None, output, labels)
    }

    /// As [`Metric::build`]; what was not told takes the output for what the loss takes it for.
    #[track_caller]
    pub(crate) fn build_beside(&self, loss: Option<&Loss>, output: &Var, labels: &Var) -> Var {
        let logits = |told: Option<bool>| told.unwrap_or_else(|| loss.is_some_and(|l| l.takes_logits(output)));
        if labels.value().is_none() {
            return labels.clone(); // a step in `predict`, which has no labels
        }
        match self {
            _ if !self.is_sound(output) => output.builder().poisoned(),
            Metric::Accuracy(_) => accuracy(output, labels),
            Metric::BinaryAccuracy(m) => binary_accuracy(m, logits(m.from_logits), output, labels),
            Metric::TopKAccuracy(m) => top_k(m, output, labels),
            Metric::ConfusionMatrix(m) => confusion(m, logits(None), output, labels),
            Metric::Precision(m) => counts("precision", m.average, m.threshold, logits(m.from_logits), output, labels),
            Metric::Recall(m) => counts("recall", m.average, m.threshold, logits(m.from_logits), output, labels),
            Metric::F1(m) => counts("f1", m.average, m.threshold, logits(m.from_logits), output, labels),
            Metric::Auc(m) => curve(m, logits(m.from_logits), output, labels),
            Metric::Mae(_) => absolutes(output, labels),
            Metric::Mse(_) => squares("mse", output, labels),
            Metric::Rmse(_) => squares("rmse", output, labels),
            Metric::R2(_) => spreads(output, labels),
            Metric::Custom(c) => c.build("metric", output, labels),
        }
    }

    /// Whether its settings are; a fault is noted.
    fn is_sound(&self, output: &Var) -> bool {
        let mut faults = Faults::default();
        self.check(&mut faults);
        faults.finish().map_err(|e| output.builder().fail(e)).is_ok()
    }
}
