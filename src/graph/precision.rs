//! The precision that a user asks for.

use crate::error::{Error, Faults, Result};
use crate::glob::covers;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// In which precision a model computes: `Compile::precision`.
///
/// `Mixed` stores activations, their gradients and a working copy of the weights as f16. Master weights, moments, buffers, loss, softmax,
/// statistics, weight gradients and all accumulation stay f32 (Micikevicius et al. 2018, *Mixed Precision Training*; PyTorch's
/// `torch.autocast` sorts operations alike). A GPU without f16 in its shaders gives [`Error::NoF16`] at `compile`.
///
/// ```
/// use gradus::prelude::*;
/// assert_eq!("mixed".parse::<Precision>()?, Precision::mixed());
/// let p = Precision::mixed().keep_f32("head.*");
/// assert_eq!(p.kept(), ["head.*"]);
/// assert!("half".parse::<Precision>().is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Words", into = "Words")]
#[non_exhaustive]
#[must_use]
pub enum Precision {
    /// Everything is f32.
    #[default]
    F32,
    /// f16 where it does no harm.
    #[non_exhaustive]
    Mixed {
        /// Globs over the layers that stay f32.
        keep_f32: Vec<String>,
    },
}

/// As files have it: `"f32"`, `"mixed"`, or `{"mixed": {"keep_f32": ["head.*"]}}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    F32,
    Mixed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default)]
    keep_f32: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    mixed: Kept,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Words {
    Word(Word),
    Full(Full),
}

impl From<Words> for Precision {
    fn from(w: Words) -> Self {
        match w {
            Words::Word(Word::F32) => Precision::F32,
            Words::Word(Word::Mixed) => Precision::mixed(),
            Words::Full(Full { mixed }) => Precision::Mixed { keep_f32: mixed.keep_f32 },
        }
    }
}

impl From<Precision> for Words {
    fn from(p: Precision) -> Self {
        match p {
            Precision::F32 => Words::Word(Word::F32),
            Precision::Mixed { keep_f32 } if keep_f32.is_empty() => Words::Word(Word::Mixed),
            Precision::Mixed { keep_f32 } => Words::Full(Full { mixed: Kept { keep_f32 } }),
        }
    }
}

impl FromStr for Precision {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "f32" => Ok(Precision::F32),
            "mixed" => Ok(Precision::mixed()),
            _ => Err(Error::unknown_choice("precision", s, &["f32", "mixed"])),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_mixed() { "mixed" } else { "f32" })
    }
}

impl Precision {
    /// f16 where it does no harm.
    pub fn mixed() -> Self {
        Precision::Mixed { keep_f32: vec![] }
    }

    /// The layers that a glob covers stay f32: what they give, the gradients that flow through them, their weights. A pattern covers a layer by
    /// its own path (`head`) or by the full name of one of its parameters (`head.*` covers `head.weight`, hence the layer `head`). One that
    /// covers nothing is an `Err` of `compile`. Changes nothing for `F32`.
    pub fn keep_f32(mut self, pattern: impl Into<String>) -> Self {
        if let Precision::Mixed { keep_f32 } = &mut self {
            keep_f32.push(pattern.into());
        }
        self
    }

    /// Whether anything is stored as f16.
    pub fn is_mixed(&self) -> bool {
        matches!(self, Precision::Mixed { .. })
    }

    /// The patterns of layers that stay f32.
    pub fn kept(&self) -> &[String] {
        match self {
            Precision::F32 => &[],
            Precision::Mixed { keep_f32 } => keep_f32,
        }
    }

    /// Faults of the patterns against the names that there are: of layers, parameters and buffers.
    pub(crate) fn check<'a>(&self, names: impl Iterator<Item = &'a str> + Clone, f: &mut Faults) {
        for p in self.kept() {
            let found = names.clone().any(|n| covers(p, n));
            f.check(
                found,
                "compile.precision.keep_f32",
                format!("`{p}` covers no layer and no parameter"),
                "`Model::summary` lists the names",
            );
        }
    }
}
