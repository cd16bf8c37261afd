//! What training tells of itself: the metrics.

mod custom;
pub(super) mod finish;
mod kind;
mod settings;

#[doc(hidden)]
pub use super::closure::Custom;
#[doc(hidden)]
pub use super::loss::{Mae, Mse};
pub use custom::custom;

use super::Loss;
use crate::error::Faults;
use crate::graph::Var;
use crate::named::{Named, named};
use finish::Finish;
use kind::MetricKind;
use std::borrow::Cow;
use std::panic::Location;

named! {
    /// Any of the metrics. Each is computed on the device: at every batch it logs one or more sums or means, which the host adds up over the rows
    /// of an epoch, in f64, and makes one value of. None looks at weights of rows.
    pub enum Metric: MetricKind, types of crate::nn::metric in kinds, read as "metric" {
        /// [`Accuracy`].
        Accuracy(Accuracy) = "accuracy" => Accuracy::new();
        /// [`BinaryAccuracy`].
        BinaryAccuracy(BinaryAccuracy) = "binary_accuracy" => BinaryAccuracy::new();
        /// [`TopKAccuracy`].
        TopKAccuracy(TopKAccuracy) = "top_k_accuracy" => TopKAccuracy::new(5);
        /// [`ConfusionMatrix`].
        ConfusionMatrix(ConfusionMatrix) = "confusion_matrix";
        /// [`PrecisionScore`].
        Precision(PrecisionScore) = "precision" => PrecisionScore::new();
        /// [`Recall`].
        Recall(Recall) = "recall" => Recall::new();
        /// [`F1`].
        F1(F1) = "f1" => F1::new();
        /// [`Auc`].
        Auc(Auc) = "auc" => Auc::new();
        /// [`Mae`].
        Mae(Mae) = "mae" => Mae::new();
        /// [`Mse`].
        Mse(Mse) = "mse" => Mse::new();
        /// [`Rmse`].
        Rmse(Rmse) = "rmse" => Rmse::new();
        /// [`R2`].
        R2(R2) = "r2" => R2::new();
        /// [`custom`]: files hold its name alone.
        Custom(Custom) = "custom";
    } // a new metric is a row above this line, and its file below it
}
mod regression;
pub use regression::{R2, Rmse};
mod auc;
pub use auc::Auc;
mod score;
// `Precision` is what a model computes in: see the prelude
pub use score::{F1, Precision as PrecisionScore, Recall};
mod confusion;
pub use confusion::ConfusionMatrix;
mod accuracy;
pub use accuracy::{Accuracy, BinaryAccuracy, TopKAccuracy};

impl Metric {
    /// Its name in histories.
    pub fn name(&self) -> Cow<'_, str> {
        self.kind().name().unwrap_or(self.word().into())
    }

    /// The metric as it is beside this loss: one of classes that was not told which label does not count follows it.
    pub(crate) fn beside(mut self, loss: Option<&Loss>) -> Self {
        let ignored = match &mut self {
            Metric::Accuracy(m) => &mut m.ignore_index,
            Metric::TopKAccuracy(m) => &mut m.ignore_index,
            Metric::ConfusionMatrix(m) => &mut m.ignore_index,
            Metric::Precision(m) => &mut m.ignore_index,
            Metric::Recall(m) => &mut m.ignore_index,
            Metric::F1(m) => &mut m.ignore_index,
            // labels 0 and 1 and reals have none to ignore; a closure sees all
            Metric::BinaryAccuracy(_) | Metric::Auc(_) | Metric::Mae(_) | Metric::Mse(_) | Metric::Rmse(_) | Metric::R2(_) => return self,
            Metric::Custom(_) => return self,
        };
        *ignored = ignored.or(loss.and_then(Loss::ignored));
        self
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        self.kind().check(faults);
    }

    /// How the host makes one value of its columns, for this output.
    pub(crate) fn finish(&self, output: &Var) -> Finish {
        self.kind().finish(output)
    }

    /// What it logs of a batch for a model's output and these labels: the metric itself, `[]`, or the counts and sums that it comes of (so for
    /// [`ConfusionMatrix`], [`PrecisionScore`], [`Recall`], [`F1`], [`Auc`], [`Rmse`] and [`R2`]).
    ///
    /// Metrics of two classes take the output for probabilities unless they were told: no loss stands beside.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        self.build_beside(None, output, labels)
    }

    /// As [`Metric::build`]. A metric that was not told whether the output is logits takes it as the loss does.
    #[track_caller]
    pub(crate) fn build_beside(&self, loss: Option<&Loss>, output: &Var, labels: &Var) -> Var {
        if labels.value().is_none() {
            return labels.clone(); // a step in `predict`, which has no labels
        }
        if !self.is_sound(output) {
            return output.builder().poisoned();
        }
        let logits = loss.is_some_and(|l| l.takes_logits(output));
        // messages about nodes that the metric builds name the line that asked for the metric
        let before = output.builder().on_line(Some(Location::caller()));
        let columns = self.kind().build(logits, output, labels);
        output.builder().back_on_line(before);
        columns
    }

    /// Whether its settings are right; a fault is noted.
    fn is_sound(&self, output: &Var) -> bool {
        let mut faults = Faults::default();
        self.check(&mut faults);
        faults.finish().map_err(|e| output.builder().fail(e)).is_ok()
    }
}
