//! Layers, initial values, losses and metrics: functions that build graph.
//!
//! A layer is a [`Module`]; there is no second way to write one. Names come from [`Scope`], input sizes are inferred.

mod embedding;
mod init;
mod layers;
mod loss;
mod metric;
mod module;
mod scope;
mod sequential;

pub use embedding::Embedding;
pub use init::Init;
pub use layers::{Flatten, Gelu, Linear, Relu, Sigmoid, Silu, Softmax, Tanh};
pub use loss::{CrossEntropy, Loss, Mse};
pub use metric::{Accuracy, Metric};
pub use module::{FnModule, Module, module};
pub use scope::{LayerRow, ParameterSpec, Scope};
pub use sequential::{Layer, Sequential};
