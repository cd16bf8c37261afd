//! How often each class is taken for each.

use super::finish::Finish;
use super::kind::MetricKind;
use super::settings::{ignoring, labelled, positive};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::{fault, one_hot, told, zeros_and_ones};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How often a row of each class was taken for each class: rows are labels, columns what the model says (as in sklearn and Keras). Read it by
/// [`Evaluation::matrix`](crate::train::Evaluation::matrix), under the name `confusion`; histories hold numbers and not this.
///
/// The model gives one score for each class, or for two classes one probability (above 0.5 is class 1; or one logit, if the loss takes it for that).
/// Rows whose class label is ignored do not count: unless it is told, that is the label that the loss of the model ignores.
///
/// ```
/// use gradus::nn::ConfusionMatrix;
/// use gradus::prelude::*;
/// use gradus::tensor::HostTensor;
/// let x = HostTensor::f32([4, 3], vec![1., 0., 0., 0., 1., 0., 0., 1., 0., 0., 0., 1.])?;
/// let data = Dataset::new(x, HostTensor::u32([4], vec![0, 1, 2, 2])?)?;
/// let same = module(|_, x| x * 1.0);
/// let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3]).metric(ConfusionMatrix::new(3)).device(Device::cpu());
/// let seen = same.compile(settings)?.evaluate(&data, 3)?;
/// let confusion = seen.matrix("confusion").unwrap();
/// assert_eq!(confusion.row(2), [0.0, 1.0, 1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ConfusionMatrix {
    /// How many classes; at most 127 fit in the device's log.
    pub classes: usize,
    /// The class label that does not count; `None`: what the loss beside ignores. Without effect on one probability for two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u32>,
    /// Its name in evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl ConfusionMatrix {
    /// Of so many classes.
    pub fn new(classes: usize) -> Self {
        ConfusionMatrix { classes, ignore_index: None, label: None }
    }
}

labelled! { ConfusionMatrix }
ignoring! { ConfusionMatrix }

impl MetricKind for ConfusionMatrix {
    /// `[classes, classes]`, labels down, predictions along.
    fn build(&self, logits: bool, output: &Var, labels: &Var) -> Var {
        const OP: &str = "confusion_matrix";
        let (n, last) = (self.classes, output.shape().last());
        let one = self.classes == 2 && output.shape().size() == labels.shape().size() && (last == 1 || output.shape().rank() == 1);
        if one {
            let said = (flat(&positive(output, 0.5, logits)) + 1.0).one_hot_rows(2);
            let told = (flat(&zeros_and_ones(OP, output, labels)) + 1.0).one_hot_rows(2);
            return told.matmul_with(&said, true, false);
        }
        if last != n && output.value().is_some() {
            let problem = format!("{n} classes and outputs {}", output.shape());
            return fault(output, OP, problem, "give `ConfusionMatrix::new` as many classes as the model has outputs");
        }
        match said_and_true(OP, output, labels, self.ignore_index) {
            Some((said, told)) => told.matmul_with(&said, true, false),
            None => output.builder().poisoned(),
        }
    }

    fn finish(&self, _: &Var) -> Finish {
        Finish::Matrix
    }

    fn check(&self, f: &mut Faults) {
        f.check(self.classes >= 2, "metric.classes", self.classes, "give at least 2");
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(self.label.as_deref().unwrap_or("confusion").into())
    }
}

/// All elements, one after another.
fn flat(v: &Var) -> Var {
    v.reshape([v.shape().size()])
}

/// The classes that the model says and the classes of the labels, as rows of 0 and 1; rows that do not count are 0 in both.
pub(super) fn said_and_true(op: &str, output: &Var, labels: &Var, ignored: Option<u32>) -> Option<(Var, Var)> {
    let (told, counts) = told(op, output, labels, ignored)?;
    let n = output.shape().last();
    let rows = output.shape().size() / n.max(1);
    let said = one_hot(&output.reshape([rows, n]).argmax(1), n);
    let said = counts.map_or_else(|| said.clone(), |counts| &said * counts.reshape([rows, 1]));
    Some((said, told.reshape([rows, n])))
}
