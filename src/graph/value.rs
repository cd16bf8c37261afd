//! What flows between the nodes of a graph: values, and their types.

use crate::tensor::{DType, Shape};

/// A node's number; operands always have lower numbers.
pub type NodeId = usize;

/// One output of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs.
    pub output: usize,
}

impl From<NodeId> for Value {
    fn from(node: NodeId) -> Value {
        Value { node, output: 0 }
    }
}

/// The shape and dtype of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Its axes.
    pub shape: Shape,
    /// Its elements.
    pub dtype: DType,
}

impl Type {
    pub(crate) fn f32(shape: impl Into<Shape>) -> Type {
        Type { shape: shape.into(), dtype: DType::F32 }
    }
}
