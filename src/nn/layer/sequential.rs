//! Layers one after another.

use super::{Layer, Module};
use crate::graph::Var;
use crate::nn::scope::MOST_DEPTH;
use crate::nn::{InitScheme, Scope};
use std::panic::Location;
use std::sync::Arc;

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
    /// Where the user added each.
    lines: Vec<&'static Location<'static>>,
    /// How deep they are nested.
    depth: usize,
}

/// Stands for a layer that is nested too deep, which is gone: to call it, or to drop it, would need more stack than there is.
struct TooDeep;

impl Module for TooDeep {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        s.refuse_depth();
        x.clone()
    }
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
    #[track_caller]
    pub fn add(mut self, layer: impl Module) -> Self {
        let depth = layer.depth() + 1;
        if depth > MOST_DEPTH {
            self.layers.push(Arc::new(TooDeep));
            self.depth = self.depth.max(1);
        } else {
            self.layers.push(Arc::new(layer));
            self.depth = self.depth.max(depth);
        }
        self.lines.push(Location::caller());
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
        let layers = self.layers.iter().zip(&self.lines).enumerate();
        layers.fold(x.clone(), |x, (i, (layer, line))| s.at(i).call_from(layer, &x, line))
    }

    fn config(&self) -> Option<Layer> {
        self.layers.iter().map(|l| l.config()).collect::<Option<Vec<_>>>().map(|layers| Layer::Sequential { layers })
    }

    fn depth(&self) -> usize {
        self.depth
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.layers.iter().map(|l| l.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Activation;
    use crate::nn::{Elu, Fan, Flatten, Gain, GlobalMean, Init, LeakyRelu, Linear, Normalization, Rescaling, Selu, Softmax};
    use crate::prelude::{Compile, Device, ModuleExt, Mse, Sgd, module};

    /// Deeper than the stack reaches: an `Err`, and none where it is merely deep.
    #[test]
    fn nested_too_deep() {
        let nested = |n: usize| (0..n).fold(Sequential::new().add(Linear::new(1)), |s, _| Sequential::new().add(s));
        let of = |net: Sequential| net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1]).device(Device::cpu_threads(1)));
        assert!(of(nested(MOST_DEPTH - 2)).is_ok());
        for n in [MOST_DEPTH + 1, 20_000] {
            let e = of(nested(n)).unwrap_err();
            assert!(e.code() == "unsupported" && e.to_string().contains("nested more than"), "{e}");
        }
        // modules of one's own
        fn down(s: &Scope, x: &Var) -> Var {
            s.at("x").call(&module(down), x)
        }
        let e = module(down).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1]).device(Device::cpu_threads(1))).unwrap_err();
        assert!(e.to_string().contains("nested more than"), "{e}");
    }

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
