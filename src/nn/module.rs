use super::{Layer, Scope};
use crate::graph::Var;
use std::sync::Arc;

/// A layer or a whole model: a description, called once for each purpose and batch size. It must make the same parameters every time.
///
/// ```
/// use gradus::prelude::*;
/// struct Twice;
/// impl Module for Twice {
///     fn forward(&self, s: &Scope, x: &Var) -> Var {
///         let h = s.at("fc1").call(&Linear::new(8), x).relu();
///         s.at("fc2").call(&Linear::new(8), &h)
///     }
/// }
/// ```
pub trait Module: Send + Sync + 'static {
    /// Builds the graph from input to output. Mistakes are kept and reported by `compile`.
    fn forward(&self, s: &Scope, x: &Var) -> Var;

    /// The type's name, for listings.
    fn name(&self) -> &'static str {
        let full = std::any::type_name::<Self>();
        full.split('<').next().and_then(|n| n.rsplit("::").next()).unwrap_or(full)
    }

    /// Its settings, if a recipe can hold them.
    fn config(&self) -> Option<Layer> {
        None
    }

    /// How deep layers are nested in it, as far as it knows.
    #[doc(hidden)]
    fn depth(&self) -> usize {
        0
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
