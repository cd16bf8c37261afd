//! The fully connected layer.

use super::kind::LayerKind;
use crate::graph::Var;
use crate::nn::{Init, InitScheme, Scope};
use serde::{Deserialize, Serialize};

/// A fully connected layer: `y = x W^T + b` over the last axis, `[.., in]` to `[.., out_features]`.
///
/// Parameters `weight` `[out_features, in]` and `bias` `[out_features]`, both uniform within `1 / sqrt(in)`: PyTorch's layout and
/// default initialisation.
#[doc(alias = "Dense")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Linear {
    /// Size of the output.
    pub out_features: usize,
    /// Whether a bias is added; it is by default.
    #[serde(default = "yes")]
    pub bias: bool,
    /// How the weight starts; PyTorch's default where it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_init: Option<Init>,
    /// How the bias starts; PyTorch's default where it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias_init: Option<Init>,
}

fn yes() -> bool {
    true
}

impl Linear {
    /// With this many outputs and a bias.
    pub fn new(out_features: usize) -> Self {
        Linear { out_features, bias: true, weight_init: None, bias_init: None }
    }

    /// With or without a bias.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// How weight and bias start, by a scheme or by the weight's initialiser with a bias of 0: [`InitScheme`].
    pub fn init(mut self, scheme: impl Into<InitScheme>) -> Self {
        (self.weight_init, self.bias_init) = scheme.into().linear();
        self
    }

    /// How the weight starts.
    pub fn weight_init(mut self, init: Init) -> Self {
        self.weight_init = Some(init);
        self
    }

    /// How the bias starts.
    pub fn bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }
}

impl LayerKind for Linear {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let shape = x.shape();
        let inputs = shape.last();
        let init = Init::Uniform(1.0 / (inputs.max(1) as f64).sqrt());
        let weight = s.param("weight", [self.out_features, inputs], self.weight_init.unwrap_or(init));
        // one product over all rows, whatever the axes in front
        let flat = if shape.rank() == 2 { x.clone() } else { x.reshape([shape.size() / inputs.max(1), inputs]) };
        let mut y = flat.matmul_with(&weight, false, true);
        if self.bias {
            y = y + s.param("bias", [self.out_features], self.bias_init.unwrap_or(init));
        }
        if shape.rank() == 2 {
            return y;
        }
        let mut dims = shape.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.out_features;
        }
        y.reshape(dims)
    }

    fn with_init(&self, scheme: InitScheme) -> Option<Self> {
        Some(self.init(scheme))
    }
}
