//! Activations with a setting.

use super::kind::LayerKind;
use crate::graph::Var;
use crate::nn::Scope;
use serde::{Deserialize, Serialize};

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

impl LayerKind for LeakyRelu {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.leaky_relu(self.negative_slope)
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

impl LayerKind for Elu {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.elu(self.alpha)
    }
}
