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
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
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
    Relu;
    /// Hyperbolic tangent.
    Tanh;
    /// `1 / (1 + exp(-x))`
    Sigmoid;
    /// `x * sigmoid(x)`
    Silu;
    /// GELU with the error function. `Activation::GeluTanh` is the approximate form.
    Gelu;
    /// ELU with the scale and alpha that keep mean 0 and variance 1 (Klambauer et al. 2017).
    Selu;
    /// `log(1 + exp(x))`
    Softplus;
    /// `x * tanh(softplus(x))` (Misra 2019).
    Mish;
    /// `x * relu6(x + 3) / 6` (Howard et al. 2019).
    Hardswish;
    /// `relu6(x + 3) / 6`
    Hardsigmoid;
    /// `min(max(x, 0), 6)`
    Relu6;
    /// `x / (1 + |x|)`
    Softsign;
    /// `log(sigmoid(x))`
    LogSigmoid;
}
