//! What may stand for a module beside a layer, and how a [`Scope`] calls one.

use super::{Layer, Module, Scope};
use crate::graph::Var;
use std::panic::Location;
use std::sync::Arc;

impl Scope {
    /// Runs a layer here.
    #[track_caller]
    pub fn call<M: Module + ?Sized>(&self, layer: &M, x: &Var) -> Var {
        self.call_from(layer, x, Location::caller())
    }

    /// As [`Scope::call`], on behalf of this line.
    pub(super) fn call_from<M: Module + ?Sized>(&self, layer: &M, x: &Var, line: &'static Location<'static>) -> Var {
        self.run(layer.name(), line, || layer.forward(self, x))
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        (**self).forward(s, x)
    }
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn config(&self) -> Option<Layer> {
        (**self).config()
    }
    fn depth(&self) -> usize {
        (**self).depth()
    }
}

impl<M: Module + ?Sized> Module for Arc<M> {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        (**self).forward(s, x)
    }
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn config(&self) -> Option<Layer> {
        (**self).config()
    }
    fn depth(&self) -> usize {
        (**self).depth()
    }
}

/// A closure as a [`Module`].
#[derive(Debug, Clone, Copy)]
pub struct FnModule<F>(F);

/// Makes a module of a closure: `module(|s, x| s.at("fc").call(&Linear::new(1), x))`.
pub fn module<F>(f: F) -> FnModule<F>
where
    F: Fn(&Scope, &Var) -> Var + Send + Sync + 'static,
{
    FnModule(f)
}

impl<F: Fn(&Scope, &Var) -> Var + Send + Sync + 'static> Module for FnModule<F> {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        (self.0)(s, x)
    }
    fn name(&self) -> &'static str {
        "module"
    }
}
