//! What training tells of itself.

use super::closure::Custom;
use crate::graph::Var;
use serde::{Deserialize, Serialize};

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

/// Any of the metrics. Each is computed on the device and averaged over the rows of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// [`Accuracy`].
    Accuracy(Accuracy),
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

impl From<Accuracy> for Metric {
    fn from(m: Accuracy) -> Self {
        Metric::Accuracy(m)
    }
}

impl Metric {
    /// Its name in histories.
    pub fn name(&self) -> &str {
        match self {
            Metric::Accuracy(_) => "accuracy",
            Metric::Custom(c) => c.name(),
        }
    }

    /// The metric `[]` of a model's output for these labels.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        if labels.value().is_none() {
            return labels.clone(); // a step in `predict`, which has no labels
        }
        match self {
            Metric::Accuracy(_) => output.accuracy(labels),
            Metric::Custom(c) => c.build("metric", output, labels),
        }
    }
}
