#![doc = include_str!("../README.md")]
#![doc = include_str!("../docs/front-page.md")]
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod clock;
#[doc(hidden)]
pub mod cpu;
pub mod data;
mod device;
mod disk;
pub mod error;
pub mod exchange;
pub mod expr;
mod glob;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod graph;
#[cfg(any(doc, doctest))]
pub mod guide;
mod inspect;
#[doc(hidden)]
pub mod kernels;
mod model;
mod named;
pub mod nn;
pub mod optim;
pub mod plan;
mod portable;
pub mod reference;
pub mod rng;
pub mod server;
mod store;
pub mod study;
pub mod tensor;
mod terminal;
pub mod train;

pub use error::{Error, Result};

/// The names that a training program needs. `use gradus::nn::*` beside it brings the other layers, losses and metrics; no two of all these are alike.
pub mod prelude {
    pub use crate::data::{self, Augment, Dataset};
    pub use crate::graph::{Precision, Var};
    pub use crate::nn::{
        self, Accuracy, BatchNorm1d, BinaryCrossEntropy, CrossEntropy, Dropout, Embedding, Flatten, Gelu, Huber, Init, Linear, Mae, Module,
        Mse, Relu, Scope, Sequential, Sigmoid, Silu, Softmax, Tanh, loss, metric, models, module,
    };
    pub use crate::optim::kinds::*;
    pub use crate::optim::{Group, Optimizer, Schedule};
    pub use crate::tensor::HostTensor;
    pub use crate::train::callbacks::{self, EarlyStopping};
    pub use crate::train::{Checkpoint, Compile, Device, Evaluation, Fit, History, Load, Model, ModuleExt, Resume, StepOut, Trainer, step};
}
