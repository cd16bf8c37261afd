//! What can be wrong with a node's operands.

use crate::error::Error;
use crate::graph::{Graph, Node, Value};

/// An error for a value that the graph does not have.
pub(super) fn no_value(g: &Graph, v: Value) -> Error {
    let at = g.nodes.get(v.node).map_or_else(|| format!("a graph of {} nodes", g.nodes.len()), Node::site);
    Error::NotFound { what: "value".into(), name: format!("%{}.{}", v.node, v.output), at, known: vec![] }
}

/// An error of a node whose operands have the wrong shape.
pub(super) fn mismatch(node: &Node, problem: String, help: &str) -> Error {
    Error::ShapeMismatch { op: node.op.name().into(), problem, at: node.site(), help: help.into() }
}

/// An error of a node whose operands have the wrong type of number.
pub(super) fn wrong_kind(node: &Node, problem: String) -> Error {
    let help = "floats are `Data::Real`, class labels `Data::Integer`".into();
    Error::DTypeMismatch { op: node.op.name().into(), problem, at: node.site(), help }
}
