//! Numbers of the device's state in a graph: the loss scale, which seeds backward.

/// A number of the device's state that a graph can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateField {
    /// What the loss is multiplied by before its gradients are made: a power of two.
    LossScale,
}

impl StateField {
    /// Its name in errors and listings.
    pub fn name(self) -> &'static str {
        match self {
            StateField::LossScale => "loss_scale",
        }
    }
}
