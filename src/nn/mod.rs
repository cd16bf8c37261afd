//! Layers, initial values, losses and metrics: functions that build graph.
//!
//! A layer is a [`Module`]; there is no second way to write one. Names come from [`Scope`], input sizes are inferred.

mod activations;
mod closure;
mod embedding;
mod init;
mod layers;
pub mod loss;
pub mod metric;
mod module;
mod scope;
mod sequential;

pub use activations::{
    Elu, Gelu, Hardsigmoid, Hardswish, LeakyRelu, LogSigmoid, Mish, Relu, Relu6, Selu, Sigmoid, Silu, Softplus, Softsign, Tanh,
};
pub use closure::Custom;
pub use embedding::Embedding;
pub use init::{Fan, Gain, Init, InitScheme};
pub use layers::{Flatten, Linear, LogSoftmax, Softmax};
pub use loss::{CrossEntropy, Loss, Mse};
pub use metric::{Accuracy, Metric};
pub use module::{FnModule, Module, module};
pub use scope::{LayerRow, ParameterSpec, Scope};
pub use sequential::{Layer, Sequential};
