//! Layers: the trait that each has, and the table of the layers that recipes can hold.

mod activations;
mod kind;
mod refuse;
mod sequential;

pub use activations::{Gelu, Hardsigmoid, Hardswish, LogSigmoid, Mish, Relu, Relu6, Selu, Sigmoid, Silu, Softplus, Softsign, Tanh};
pub use sequential::Sequential;

use super::{InitScheme, Scope};
use crate::expr::Activation;
use crate::graph::Var;
use kind::LayerKind;
use serde::{Deserialize, Serialize};

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

/// Makes [`Layer`] of a table. A row is a layer: its text for the documentation, the type of its settings and its name in files. The type is a
/// [`LayerKind`], and the table makes it a [`Module`]. A row with `=>` has its settings in the enum itself, and the module that they stand for behind it.
macro_rules! layers {
    (
        $(#[$about:meta])*
        pub enum Layer {
            $(
                $(#[$text:meta])*
                $Name:ident $(($Type:ident))? $({ $($(#[$of:meta])* $field:ident: $Field:ty),* })? = $word:literal $(=> $module:expr)?;
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "layer", deny_unknown_fields)]
        #[non_exhaustive]
        pub enum Layer {
            $(
                $(#[$text])*
                #[serde(rename = $word)]
                $Name $(($Type))? $({ $($(#[$of])* $field: $Field),* })?,
            )*
        }

        impl Layer {
            /// The layer itself.
            pub fn build(&self) -> Box<dyn Module> {
                match self {
                    $(
                        Layer::$Name $((layers!(@first settings, $Type)))? $({ $($field),* })? => {
                            Box::new($(<$Type as Clone>::clone(settings))? $($module)?)
                        }
                    )*
                }
            }

            /// The same layer with the starting values of a scheme; `None` if a scheme says nothing of it.
            fn with_init(&self, scheme: InitScheme) -> Option<Layer> {
                match self {
                    $($(Layer::$Name(settings) => <$Type as LayerKind>::with_init(settings, scheme).map(Layer::$Name),)?)*
                    Layer::Sequential { layers } => {
                        let layers = layers.iter().map(|l| l.with_init(scheme).unwrap_or_else(|| l.clone())).collect();
                        Some(Layer::Sequential { layers })
                    }
                    _ => None,
                }
            }
        }

        $($(
            impl Module for $Type {
                fn forward(&self, s: &Scope, x: &Var) -> Var {
                    LayerKind::forward(self, s, x)
                }
                fn config(&self) -> Option<Layer> {
                    Some(Layer::$Name(self.clone()))
                }
            }
        )?)*
    };
    (@first $first:tt, $second:tt) => {
        $first
    };
}

layers! {
    /// A layer's settings, as a recipe holds them.
    pub enum Layer {
        /// [`Linear`].
        Linear(Linear) = "linear";
        /// [`Conv2d`].
        Conv2d(Conv2d) = "conv_2d";
        /// [`Conv1d`].
        Conv1d(Conv1d) = "conv_1d";
        /// [`ConvTranspose2d`].
        ConvTranspose2d(ConvTranspose2d) = "conv_transpose_2d";
        /// [`Embedding`].
        Embedding(Embedding) = "embedding";
        /// An activation.
        Activation {
            /// Which.
            function: Activation
        } = "activation" => *function;
        /// [`LeakyRelu`].
        LeakyRelu(LeakyRelu) = "leaky_relu";
        /// [`Elu`].
        Elu(Elu) = "elu";
        /// [`BatchNorm1d`].
        BatchNorm1d(BatchNorm1d) = "batch_norm_1d";
        /// [`BatchNorm2d`].
        BatchNorm2d(BatchNorm2d) = "batch_norm_2d";
        /// [`LayerNorm`].
        LayerNorm(LayerNorm) = "layer_norm";
        /// [`RMSNorm`].
        RMSNorm(RMSNorm) = "rms_norm";
        /// [`GroupNorm`].
        GroupNorm(GroupNorm) = "group_norm";
        /// [`Dropout`].
        Dropout(Dropout) = "dropout";
        /// [`GaussianNoise`].
        GaussianNoise(GaussianNoise) = "gaussian_noise";
        /// [`Softmax`].
        Softmax {} = "softmax" => Softmax;
        /// [`LogSoftmax`].
        LogSoftmax {} = "log_softmax" => LogSoftmax;
        /// [`Flatten`].
        Flatten {} = "flatten" => Flatten;
        /// [`Reshape`].
        Reshape(Reshape) = "reshape";
        /// [`GlobalMean`].
        GlobalMean {} = "global_mean" => GlobalMean;
        /// [`Normalization`].
        Normalization(Normalization) = "normalization";
        /// [`Rescaling`].
        Rescaling(Rescaling) = "rescaling";
        /// Layers within.
        Sequential {
            /// In order.
            layers: Vec<Layer>
        } = "sequential" => Sequential::from_layers(layers);
        /// [`MaxPool2d`].
        MaxPool2d(MaxPool2d) = "max_pool_2d";
        /// [`AvgPool2d`].
        AvgPool2d(AvgPool2d) = "avg_pool_2d";
        /// [`MaxPool1d`].
        MaxPool1d(MaxPool1d) = "max_pool_1d";
        /// [`AvgPool1d`].
        AvgPool1d(AvgPool1d) = "avg_pool_1d";
        /// [`AdaptiveAvgPool2d`].
        AdaptiveAvgPool2d(AdaptiveAvgPool2d) = "adaptive_avg_pool_2d";
        /// [`GlobalAvgPool2d`].
        GlobalAvgPool2d {} = "global_avg_pool_2d" => GlobalAvgPool2d;
        /// [`Upsample`].
        Upsample(Upsample) = "upsample";
        /// [`Dropout2d`].
        Dropout2d(Dropout2d) = "dropout_2d";
    } // a new layer is a row above this line, and its file below it
}
mod upsample;
pub use upsample::Upsample;
mod pool;
pub use pool::{AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool2d, MaxPool1d, MaxPool2d};
mod scaling;
pub use scaling::{Normalization, Rescaling};
mod global_mean;
pub use global_mean::GlobalMean;
mod reshape;
pub use reshape::Reshape;
mod flatten;
pub use flatten::Flatten;
mod softmax;
pub use softmax::{LogSoftmax, Softmax};
mod dropout;
pub use dropout::{Dropout, Dropout2d, GaussianNoise};
mod norm;
pub use norm::{GroupNorm, LayerNorm, RMSNorm};
mod batch_norm;
pub use batch_norm::{BatchNorm1d, BatchNorm2d};
mod conv;
pub use conv::{Conv1d, Conv2d, ConvTranspose2d};
mod slopes;
pub use slopes::{Elu, LeakyRelu};
mod embedding;
pub use embedding::Embedding;
mod linear;
pub use linear::Linear;

/// The layers without settings.
macro_rules! without_settings {
    ($($Type:ident)*) => {$(
        impl Module for $Type {
            fn forward(&self, s: &Scope, x: &Var) -> Var {
                LayerKind::forward(self, s, x)
            }
            fn config(&self) -> Option<Layer> {
                Some(Layer::$Type {})
            }
        }
    )*};
}
without_settings! { Softmax LogSoftmax Flatten GlobalMean GlobalAvgPool2d }
