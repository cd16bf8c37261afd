//! How all layers of a model start.

use super::{Gain, Init};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How the layers of a model start, weights and biases together: [`Linear::init`](crate::nn::Linear::init) and
/// [`Sequential::init`](crate::nn::Sequential::init) take it. An [`Init`] is one: of the weights, with biases of 0.
///
/// | scheme | `Linear`'s weight | `Linear`'s bias | `Embedding` |
/// | --- | --- | --- | --- |
/// | `Pytorch` | uniform within `1 / sqrt(in)` | uniform within `1 / sqrt(in)` | N(0, 1) |
/// | `Keras` | Xavier (Glorot) uniform | 0 | uniform within 0.05 |
/// | `Weights(init)` | `init` | 0 | as it is |
///
/// ```
/// use gradus::nn::{Gain, InitScheme};
/// use gradus::prelude::*;
/// let net = Sequential::new().add(Linear::new(64)).add(Tanh).add(Linear::new(10)).init(Init::xavier_normal(Gain::Tanh));
/// let keras = Linear::new(64).init(InitScheme::Keras);
/// assert_eq!(keras.bias_init, Some(Init::Zeros));
/// # drop(net);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InitScheme {
    /// What PyTorch's layers start with: gradus' default.
    #[default]
    Pytorch,
    /// What Keras' layers start with.
    Keras,
    /// Weights by this initialiser, biases of 0.
    Weights(Init),
}

impl InitScheme {
    /// Weight and bias of a [`Linear`](crate::nn::Linear); `None` is its own default, PyTorch's.
    pub(in crate::nn) fn linear(self) -> (Option<Init>, Option<Init>) {
        match self {
            InitScheme::Pytorch => (None, None),
            InitScheme::Keras => (Some(Init::xavier_uniform(Gain::Linear)), Some(Init::Zeros)),
            InitScheme::Weights(init) => (Some(init), Some(Init::Zeros)),
        }
    }
}

impl From<Init> for InitScheme {
    fn from(init: Init) -> Self {
        InitScheme::Weights(init)
    }
}

/// `pytorch`, `keras`, or an initialiser of the weights in the words of [`Init`].
impl FromStr for InitScheme {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "pytorch" => Ok(InitScheme::Pytorch),
            "keras" => Ok(InitScheme::Keras),
            words => words.parse().map(InitScheme::Weights).map_err(|e: Error| match e {
                Error::UnknownChoice { what, given, at, choices } => {
                    let choices = ["pytorch", "keras"].map(String::from).into_iter().chain(choices).collect();
                    Error::UnknownChoice { what, given, at, choices }
                }
                e => e,
            }),
        }
    }
}
