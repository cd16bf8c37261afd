//! Softmax and its logarithm.

use super::kind::LayerKind;
use crate::graph::Var;
use crate::nn::Scope;

/// Softmax over the last axis. As the last layer before [`CrossEntropy`](crate::nn::CrossEntropy) it costs nothing in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Softmax;

impl LayerKind for Softmax {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.softmax()
    }
}

/// The logarithm of softmax over the last axis: finite where softmax underflows to 0. [`CrossEntropy`](crate::nn::CrossEntropy) takes logits, and
/// needs neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSoftmax;

impl LayerKind for LogSoftmax {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.log_softmax()
    }
}
