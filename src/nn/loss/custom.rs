//! A loss that is a closure of the user's.

use super::Loss;
use super::kind::{LossKind, Weight};
use crate::error::Error;
use crate::graph::Var;
use crate::nn::closure::Custom;

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

impl LossKind for Custom {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        if weight.is_some() {
            output.builder().fail(Error::Unsupported {
                what: "sample weights with a loss of one's own, which gives one number for all rows".into(),
                at: format!("the loss `{}`", self.name()),
                help: "weigh the rows in a general step (`gradus::train::step`), where the field is `batch[\"weight\"]`".into(),
            });
            return output.builder().poisoned();
        }
        self.build("loss", output, labels)
    }

    fn name(&self) -> Option<&str> {
        Some(self.name())
    }
}
