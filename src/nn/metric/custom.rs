//! A metric that is a closure of the user's.

use super::Metric;
use super::kind::MetricKind;
use crate::graph::Var;
use crate::nn::closure::Custom;
use std::borrow::Cow;

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

impl MetricKind for Custom {
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        self.build("metric", output, labels)
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(self.name().into())
    }
}
