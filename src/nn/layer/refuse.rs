//! How a layer notes what it cannot do: its input, or one of its settings.

use crate::error::{Error, Fault};
use crate::graph::Var;
use crate::nn::Scope;
use std::fmt::Display;

/// Notes an input that a layer cannot take.
pub(super) fn refuse(s: &Scope, layer: &str, problem: String, help: &str) -> Var {
    let at = crate::error::layer(s.path());
    s.builder().fail(Error::ShapeMismatch { op: layer.into(), problem, at, help: help.into() });
    s.builder().poisoned()
}

/// Notes a setting that a layer cannot have.
pub(super) fn refuse_setting(s: &Scope, layer: &str, key: &str, problem: impl Display, help: &str) -> Var {
    let place = if s.path().is_empty() { String::new() } else { format!("{}: ", s.path()) };
    let fault = Fault { key: format!("{place}{layer}.{key}"), problem: problem.to_string(), help: help.into() };
    s.builder().fail(Error::InvalidConfig { faults: vec![fault] });
    s.builder().poisoned()
}
