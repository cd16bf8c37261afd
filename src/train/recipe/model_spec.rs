//! The model of a run: layers that files can hold, or the name of one that the program makes.

use crate::nn::Layer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The model of a [`Recipe`](super::Recipe).
///
/// In files: `layers` with a list of layers, or `named` with a name, its settings and the hash of its structure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ModelSpec {
    /// Layers of gradus, in order.
    Layers(Vec<Layer>),
    /// A model that the program makes: [`Registry`](super::Registry) says how.
    Named {
        /// Its name in the registry.
        name: String,
        /// What the registry's closure is given; null.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        config: Value,
        /// A hash of the names and shapes of its parameters, as [`Recipe::named`](super::Recipe::named) notes it. A model of another structure is
        /// refused; without the hash none is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        structure: Option<String>,
    },
}

impl ModelSpec {
    /// Its layers, if it is made of gradus' own.
    pub fn layers(&self) -> &[Layer] {
        match self {
            ModelSpec::Layers(layers) => layers,
            ModelSpec::Named { .. } => &[],
        }
    }

    /// Its layers to be changed, if it is made of gradus' own.
    pub fn layers_mut(&mut self) -> Option<&mut Vec<Layer>> {
        match self {
            ModelSpec::Layers(layers) => Some(layers),
            ModelSpec::Named { .. } => None,
        }
    }
}
