use crate::graph::Var;
use serde::{Deserialize, Serialize};

/// The fraction of rows whose largest output is the label's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
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
        }
    }

    /// The metric `[]` of a model's output for these labels.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        match self {
            Metric::Accuracy(_) => output.accuracy(labels),
        }
    }
}
