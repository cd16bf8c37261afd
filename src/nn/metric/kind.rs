//! What a metric says of itself.

use super::finish::Finish;
use crate::error::Faults;
use crate::graph::Var;
use std::borrow::Cow;

/// One of the metrics.
pub(crate) trait MetricKind {
    /// What it logs of a batch: the metric itself, `[]`, or columns that it comes of. `logits` says whether the loss beside takes the output for
    /// logits of two classes.
    fn build(&self, logits: bool, output: &Var, labels: &Var) -> Var;

    /// What becomes of its columns for this output.
    fn finish(&self, _output: &Var) -> Finish {
        Finish::Mean
    }

    /// Notes what is wrong with its settings.
    fn check(&self, _faults: &mut Faults) {}

    /// Its name in histories, where that is not the name of its kind.
    fn name(&self) -> Option<Cow<'_, str>> {
        None
    }
}
