//! Layers, initial values, losses and metrics: functions that build graph.
//!
//! A layer is a [`Module`]; there is no second way to write one. Names come from [`Scope`], input sizes are inferred.

mod activations;
mod closure;
mod embedding;
mod finish;
mod init;
mod labels;
mod layers;
pub mod loss;
mod losses;
pub mod metric;
mod metrics;
mod module;
mod scope;
mod sequential;

pub use activations::{
    Elu, Gelu, Hardsigmoid, Hardswish, LeakyRelu, LogSigmoid, Mish, Relu, Relu6, Selu, Sigmoid, Silu, Softplus, Softsign, Tanh,
};
pub use closure::Custom;
pub use embedding::Embedding;
pub use finish::Matrix;
pub(crate) use finish::{Finish, Finished};
pub use init::{Fan, Gain, Init};
pub use layers::{Flatten, Linear, LogSoftmax, Softmax};
pub use loss::{CrossEntropy, Loss, Mse};
pub use losses::{BinaryCrossEntropy, FocalLoss, Huber, KlDivergence, LogCosh, Mae, Nll};
pub use metric::{Accuracy, Metric};
pub use metrics::{Auc, Average, BinaryAccuracy, ConfusionMatrix, F1, Precision, R2, Recall, Rmse, TopKAccuracy};
pub use module::{FnModule, Module, module};
pub use scope::{LayerRow, ParameterSpec, Scope};
pub use sequential::{Layer, Sequential};
