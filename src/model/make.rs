//! The two ways to make a model: `net.compile(settings)` and `step(..).compile(settings)`.

use super::compile::Compile;
use super::core::Core;
use super::describe::{Batch, StepFn, StepOut, Supervised};
use super::shared::{Model, made};
use crate::error::Result;
use crate::nn::{Module, Scope};
use std::panic::Location;
use std::sync::Arc;

/// `net.compile(settings)`, for every [`Module`].
pub trait ModuleExt: Module + Sized {
    /// Makes a model: checks it, draws its initial weights, and puts them on the device.
    #[track_caller]
    fn compile(self, settings: Compile) -> Result<Model> {
        made(Core::new(Arc::new(Supervised(Arc::new(self), Some(Location::caller()))), settings))
    }
}
impl<M: Module> ModuleExt for M {}

impl<F: Fn(&Scope, &Batch) -> StepOut + Send + Sync + 'static> StepFn<F> {
    /// Makes a model: checks it, draws its initial weights, and puts them on the device. The settings are those of [`Compile::step`].
    pub fn compile(self, settings: Compile) -> Result<Model> {
        made(Core::new(Arc::new(self), settings))
    }
}
