use super::{
    BatchNorm1d, Dropout, Elu, Embedding, Flatten, GaussianNoise, GlobalMean, GroupNorm, InitScheme, LayerNorm, LeakyRelu, Linear,
    LogSoftmax, Module, Normalization, RMSNorm, Rescaling, Scope, Softmax,
};
use crate::expr::Activation;
use crate::graph::Var;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A layer's settings, as a recipe holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Layer {
    /// [`Linear`].
    Linear(Linear),
    /// [`Embedding`].
    Embedding(Embedding),
    /// An activation.
    Activation {
        /// Which.
        function: Activation,
    },
    /// [`LeakyRelu`].
    LeakyRelu(LeakyRelu),
    /// [`Elu`].
    Elu(Elu),
    /// [`BatchNorm1d`].
    #[serde(rename = "batch_norm_1d")]
    BatchNorm1d(BatchNorm1d),
    /// [`LayerNorm`].
    LayerNorm(LayerNorm),
    /// [`RMSNorm`].
    #[serde(rename = "rms_norm")]
    RMSNorm(RMSNorm),
    /// [`GroupNorm`].
    GroupNorm(GroupNorm),
    /// [`Dropout`].
    Dropout(Dropout),
    /// [`GaussianNoise`].
    GaussianNoise(GaussianNoise),
    /// [`Softmax`].
    Softmax {},
    /// [`LogSoftmax`].
    LogSoftmax {},
    /// [`Flatten`].
    Flatten {},
    /// [`GlobalMean`].
    GlobalMean {},
    /// [`Normalization`].
    Normalization(Normalization),
    /// [`Rescaling`].
    Rescaling(Rescaling),
    /// Layers within.
    Sequential {
        /// In order.
        layers: Vec<Layer>,
    },
}

impl Layer {
    /// The same layer with the starting values of a scheme; `None` if a scheme says nothing of it.
    fn with_init(&self, scheme: InitScheme) -> Option<Layer> {
        match self {
            Layer::Linear(l) => Some(Layer::Linear(l.init(scheme))),
            Layer::Embedding(l) => Some(Layer::Embedding(l.init(scheme))),
            Layer::Sequential { layers } => {
                let layers = layers.iter().map(|l| l.with_init(scheme).unwrap_or_else(|| l.clone())).collect();
                Some(Layer::Sequential { layers })
            }
            _ => None,
        }
    }

    /// The layer itself.
    pub fn build(&self) -> Box<dyn Module> {
        match self {
            Layer::Linear(l) => Box::new(*l),
            Layer::Embedding(l) => Box::new(*l),
            Layer::Activation { function } => Box::new(*function),
            Layer::LeakyRelu(l) => Box::new(*l),
            Layer::Elu(l) => Box::new(*l),
            Layer::BatchNorm1d(l) => Box::new(*l),
            Layer::LayerNorm(l) => Box::new(*l),
            Layer::RMSNorm(l) => Box::new(*l),
            Layer::GroupNorm(l) => Box::new(*l),
            Layer::Dropout(l) => Box::new(*l),
            Layer::GaussianNoise(l) => Box::new(*l),
            Layer::Softmax {} => Box::new(Softmax),
            Layer::LogSoftmax {} => Box::new(LogSoftmax),
            Layer::Flatten {} => Box::new(Flatten),
            Layer::GlobalMean {} => Box::new(GlobalMean),
            Layer::Normalization(l) => Box::new(l.clone()),
            Layer::Rescaling(l) => Box::new(*l),
            Layer::Sequential { layers } => Box::new(Sequential::from_layers(layers)),
        }
    }
}

/// Layers one after another, named by their index as in PyTorch: activations count.
///
/// ```
/// use gradus::prelude::*;
/// let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(10));
/// assert_eq!(net.len(), 3);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Sequential {
    layers: Vec<Arc<dyn Module>>,
}

impl Sequential {
    /// No layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// From a recipe's layers.
    pub fn from_layers(layers: &[Layer]) -> Self {
        layers.iter().fold(Self::new(), |s, l| s.add(l.build()))
    }

    /// Appends a layer.
    #[allow(clippy::should_implement_trait)] // Keras' and PyTorch's word
    pub fn add(mut self, layer: impl Module) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// How the layers that are there by now start, inner ones too: all [`Linear`] and [`Embedding`] take this scheme, or this initialiser with
    /// biases of 0, in place of what they said. Layers of one's own are left as they are, with what they hold.
    pub fn init(mut self, scheme: impl Into<InitScheme>) -> Self {
        let scheme = scheme.into();
        for layer in &mut self.layers {
            if let Some(other) = layer.config().and_then(|l| l.with_init(scheme)) {
                *layer = Arc::from(other.build());
            }
        }
        self
    }

    /// How many layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl Module for Sequential {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        self.layers.iter().enumerate().fold(x.clone(), |x, (i, layer)| s.at(i).call(layer, &x))
    }

    fn config(&self) -> Option<Layer> {
        self.layers.iter().map(|l| l.config()).collect::<Option<Vec<_>>>().map(|layers| Layer::Sequential { layers })
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|l| l.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fan, Gain, Init, Selu};
    use super::*;

    /// A recipe gives every layer back, settings included, and refuses a key that a layer does not have.
    #[test]
    fn layers_come_back_from_json() {
        let net = Sequential::new()
            .add(Linear::new(3).bias(false))
            .add(Linear::new(4).weight_init(Init::kaiming_normal(Fan::Out, Gain::LeakyRelu(0.2))).bias_init(Init::Zeros))
            .add(LeakyRelu::new().negative_slope(0.2))
            .add(Elu::new().alpha(0.5))
            .add(Selu)
            .add(Activation::Hardswish)
            .add(Rescaling::new(0.5).offset(-1.0))
            .add(Normalization::new().mean([0.1, 2.0]).variance([1.0, 0.3]))
            .add(Sequential::new().add(GlobalMean).add(Flatten).add(Softmax));
        let config = net.config().unwrap();
        let json = serde_json::to_string(&config).unwrap();
        let back: Layer = serde_json::from_str(&json).unwrap();
        assert_eq!(back, config);
        assert_eq!(back.build().config().unwrap(), config);
        assert!(json.contains(r#"{"layer":"linear","out_features":3,"bias":false}"#), "{json}");
        assert!(json.contains(r#"{"layer":"leaky_relu","negative_slope":0.2}"#), "{json}");
        assert_eq!(serde_json::from_str::<Layer>(r#"{"layer":"elu"}"#).unwrap(), Elu::new().config().unwrap());
        assert!(serde_json::from_str::<Layer>(r#"{"layer":"elu","beta":1.0}"#).is_err());
    }
}
