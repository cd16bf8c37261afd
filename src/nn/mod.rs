//! Layers, initial values, losses and metrics: functions that build graph.
//!
//! A layer is a [`Module`]; there is no second way to write one. Names come from [`Scope`], input sizes are inferred.

mod closure;
mod init;
mod labels;
mod layer;
pub mod loss;
pub mod metric;
pub mod models;
mod module;
mod numbers;
mod penalty;
mod plain;
mod scope;

pub use closure::Custom;
pub use init::{Fan, Gain, Init, InitScheme};
pub use layer::*;
#[doc(inline)]
pub use loss::Loss;
#[doc(inline)]
pub use loss::kinds::*;
#[doc(inline)]
pub use metric::Metric;
pub use metric::finish::{Average, Matrix};
pub(crate) use metric::finish::{Finish, Finished};
#[doc(inline)]
pub use metric::kinds::*;
pub use module::{FnModule, module};
pub use numbers::Numbers;
pub use penalty::{Penalized, Penalty};
pub use scope::{BufferSpec, LayerRow, ParameterSpec, Scope};
