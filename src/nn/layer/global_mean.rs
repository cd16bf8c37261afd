//! One row of features of many: their mean.

use super::kind::LayerKind;
use super::refuse::refuse;
use crate::graph::Var;
use crate::nn::Scope;

/// The mean over all axes but the first and the last: `[batch, .., features]` to `[batch, features]` (Keras' `GlobalAveragePooling1D`). A mean that
/// leaves padding out is written with a mask: see [`Var::to_f32`].
///
/// ```
/// use gradus::nn::GlobalMean;
/// use gradus::prelude::*;
/// use gradus::tensor::DType;
/// let text = Sequential::new().add(Embedding::new(1000, 16)).add(GlobalMean).add(Linear::new(2));
/// text.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([40]).input_dtype(DType::U32).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "GlobalAveragePooling1D")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GlobalMean;

impl LayerKind for GlobalMean {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        if x.value().is_none() {
            return x.clone();
        }
        let rank = x.shape().rank();
        if rank < 3 {
            return refuse(s, "GlobalMean", format!("the input is {}", x.shape()), "give [batch, .., features] of three axes or more");
        }
        x.mean_axes(&(1..rank - 1).collect::<Vec<_>>())
    }
}
