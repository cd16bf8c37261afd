use super::{Layer, Module, Scope};
use crate::expr::Activation;
use crate::graph::Var;
use serde::{Deserialize, Serialize};

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

/// `x` where it is above 0, else `negative_slope * x`.
///
/// ```
/// use gradus::nn::LeakyRelu;
/// assert_eq!(LeakyRelu::new().negative_slope, 0.01);
/// assert_eq!(LeakyRelu::new().negative_slope(0.2).negative_slope, 0.2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct LeakyRelu {
    /// The slope below 0; 0.01.
    pub negative_slope: f64,
}

impl LeakyRelu {
    /// With a slope of 0.01 below 0.
    pub fn new() -> Self {
        LeakyRelu { negative_slope: 0.01 }
    }
    /// The slope below 0.
    pub fn negative_slope(mut self, slope: f64) -> Self {
        self.negative_slope = slope;
        self
    }
}

impl Default for LeakyRelu {
    fn default() -> Self {
        Self::new()
    }
}

impl Module for LeakyRelu {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.leaky_relu(self.negative_slope)
    }
    fn config(&self) -> Option<Layer> {
        Some(Layer::LeakyRelu(*self))
    }
}

/// `x` where it is above 0, else `alpha * (exp(x) - 1)` (Clevert et al. 2015).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Elu {
    /// Minus the value that it comes down to; 1.
    pub alpha: f64,
}

impl Elu {
    /// With alpha 1.
    pub fn new() -> Self {
        Elu { alpha: 1.0 }
    }
    /// Minus the value that it comes down to.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }
}

impl Default for Elu {
    fn default() -> Self {
        Self::new()
    }
}

impl Module for Elu {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.elu(self.alpha)
    }
    fn config(&self) -> Option<Layer> {
        Some(Layer::Elu(*self))
    }
}
