//! All features of a row as one axis.

use super::kind::LayerKind;
use crate::graph::Var;
use crate::nn::Scope;

/// All axes but the first as one: `[batch, ..]` to `[batch, features]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flatten;

impl LayerKind for Flatten {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        let shape = x.shape();
        let rows = shape.dims().first().copied().unwrap_or(1);
        x.reshape([rows, shape.size() / rows.max(1)])
    }
}
