//! Layers, initial values, losses and metrics: functions that build graph.
//!
//! A layer is a [`Module`]; there is no second way to write one. Names come from [`Scope`], input sizes are inferred.

mod activations;
mod batch_norm;
mod closure;
mod dropout;
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
mod norm;
mod penalty;
mod scaling;
mod scope;
mod sequential;

pub use activations::{
    Elu, Gelu, Hardsigmoid, Hardswish, LeakyRelu, LogSigmoid, Mish, Relu, Relu6, Selu, Sigmoid, Silu, Softplus, Softsign, Tanh,
};
pub use batch_norm::BatchNorm1d;
pub use closure::Custom;
pub use dropout::{Dropout, GaussianNoise};
pub use embedding::Embedding;
pub use finish::Matrix;
pub(crate) use finish::{Finish, Finished};
pub use init::{Fan, Gain, Init, InitScheme};
pub use layers::{Flatten, Linear, LogSoftmax, Softmax};
pub use loss::{CrossEntropy, Loss, Mse};
pub use losses::{BinaryCrossEntropy, FocalLoss, Huber, KlDivergence, LogCosh, Mae, Nll, Numbers};
pub use metric::{Accuracy, Metric};
// `Precision` is what a model computes in: see the prelude
pub use metrics::{Auc, Average, BinaryAccuracy, ConfusionMatrix, F1, Precision as PrecisionScore, R2, Recall, Rmse, TopKAccuracy};
pub use module::{FnModule, Module, module};
pub use norm::{GroupNorm, LayerNorm, RMSNorm};
pub use penalty::{Penalized, Penalty};
pub use scaling::{GlobalMean, Normalization, Rescaling};
pub use scope::{BufferSpec, LayerRow, ParameterSpec, Scope};
pub use sequential::{Layer, Sequential};
