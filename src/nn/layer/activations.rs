//! Activations: each is a value and a layer.

use super::{Layer, Module};
use crate::expr::Activation;
use crate::graph::Var;
use crate::nn::Scope;

/// An activation by its value is a layer too.
impl Module for Activation {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.activation(*self)
    }
    fn name(&self) -> &'static str {
        self.type_name() // as the layer of that name
    }
    fn config(&self) -> Option<Layer> {
        Some(Layer::Activation { function: *self })
    }
}

macro_rules! activation_layers {
    ($($(#[$doc:meta])* pub struct $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name;

        impl Module for $name {
            fn forward(&self, _: &Scope, x: &Var) -> Var {
                x.activation(Activation::$name)
            }
            fn config(&self) -> Option<Layer> {
                Activation::$name.config()
            }
        }
    )*};
}

activation_layers! {
    /// `max(x, 0)`
    pub struct Relu;
    /// Hyperbolic tangent.
    pub struct Tanh;
    /// `1 / (1 + exp(-x))`
    pub struct Sigmoid;
    /// `x * sigmoid(x)`
    pub struct Silu;
    /// GELU with the error function. `Activation::GeluTanh` is the approximate form.
    pub struct Gelu;
    /// ELU with the scale and alpha that keep mean 0 and variance 1 (Klambauer et al. 2017).
    pub struct Selu;
    /// `log(1 + exp(x))`
    pub struct Softplus;
    /// `x * tanh(softplus(x))` (Misra 2019).
    pub struct Mish;
    /// `x * relu6(x + 3) / 6` (Howard et al. 2019).
    pub struct Hardswish;
    /// `relu6(x + 3) / 6`
    pub struct Hardsigmoid;
    /// `min(max(x, 0), 6)`
    pub struct Relu6;
    /// `x / (1 + |x|)`
    pub struct Softsign;
    /// `log(sigmoid(x))`
    pub struct LogSigmoid;
}
