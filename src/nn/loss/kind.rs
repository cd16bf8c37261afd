//! What a loss says of itself.

use crate::error::Faults;
use crate::graph::Var;

/// A weight for each row, if there is one.
pub(crate) type Weight<'a> = Option<&'a Var>;

/// One of the losses.
pub(crate) trait LossKind {
    /// The loss `[]` of an output for these labels: the mean over the rows, each times its weight.
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var;

    /// Notes what is wrong with its settings.
    fn check(&self, _faults: &mut Faults) {}

    /// The name that it was given; none for those that have the name of their kind.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Whether it takes an output that no sigmoid made for logits of two classes.
    fn takes_logits(&self) -> bool {
        false
    }

    /// The class label whose rows do not count.
    fn ignored(&self) -> Option<u32> {
        None
    }

    /// Whether its labels are parts of 1, each on its own.
    fn takes_parts(&self) -> bool {
        false
    }
}
