//! The same numbers as other rows.

use super::kind::LayerKind;
use super::refuse::refuse;
use crate::graph::Var;
use crate::nn::Scope;
use serde::{Deserialize, Serialize};

/// Each row of the batch under another shape of as many elements: `[batch, ..]` to `[batch, ..shape]` (Keras' `Reshape`, PyTorch's `Unflatten`). Images without an axis of channels
/// get one: `Reshape::new([1, 28, 28])`.
///
/// ```
/// use gradus::nn::{Conv2d, Reshape};
/// use gradus::prelude::*;
/// let net = Sequential::new().add(Reshape::new([1, 8, 8])).add(Conv2d::new(4, 3)).add(Relu).add(Flatten).add(Linear::new(10));
/// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([8, 8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "Unflatten")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Reshape {
    /// The shape of a row.
    pub shape: Vec<usize>,
}

impl Reshape {
    /// To rows of this shape.
    pub fn new(shape: impl Into<crate::tensor::Shape>) -> Self {
        Reshape { shape: shape.into().dims().to_vec() }
    }
}

impl LayerKind for Reshape {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        if x.value().is_none() {
            return x.clone();
        }
        let shape = x.shape();
        let (rows, row) =
            (shape.dims().first().copied().unwrap_or(1), shape.dims().iter().skip(1).try_fold(1, |n: usize, d| n.checked_mul(*d)));
        if row != self.shape.iter().try_fold(1, |n: usize, d| n.checked_mul(*d)) {
            let problem = format!("rows of {shape} do not have the elements of {:?}", self.shape);
            return refuse(s, "Reshape", problem, "a row keeps the number of its elements");
        }
        x.reshape([vec![rows], self.shape.clone()].concat())
    }
}
