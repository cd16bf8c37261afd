//! What a layer says of itself, if recipes can hold it.

use crate::graph::Var;
use crate::nn::{InitScheme, Scope};

/// One of the layers that recipes can hold. The table of [`Layer`](super::Layer) makes it a [`Module`](super::Module).
pub(crate) trait LayerKind: Clone {
    /// Builds the graph from input to output.
    fn forward(&self, s: &Scope, x: &Var) -> Var;

    /// The same layer with the starting values of a scheme; `None` if a scheme says nothing of it.
    fn with_init(&self, _scheme: InitScheme) -> Option<Self> {
        None
    }
}
