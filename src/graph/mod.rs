//! WHAT to compute: a step as a graph of a few operations, with shape rules, gradients and simplification.
//!
//! Users meet it as [`Var`]; the rest of the crate as [`Graph`], plain data that can be printed and drawn.

pub(crate) mod custom;
mod field;
mod grad;
mod movement;
mod op;
pub(crate) mod precision;
mod print;
mod random;
mod simplify;
mod state;
mod table;
mod take;
mod var;

pub use custom::{Custom, CustomKernel, CustomOp};
pub use field::Field;
pub use grad::{gradients, scaled_gradients};
pub(crate) use op::REAL_CLASSES;
pub use op::{Labels, Op, ReduceKind};
pub use precision::{Class, Precision};
pub use random::{Distribution, Draws};
pub use simplify::simplify;
pub use state::StateField;
pub(crate) use table::is_ordinals;
pub use var::{Builder, Operand, Var};

use crate::error::{Error, Result, site};
use crate::expr::Expr;
use crate::tensor::{DType, Shape};
use std::panic::Location;

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

/// An operation with its operands, in static single assignment.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Value>,
    /// What it gives.
    pub outputs: Vec<Type>,
    /// The layer that made it, as in `blocks.0.fc1`.
    pub layer: String,
    /// The line of the user's that made it, or that made the layer of gradus' which did.
    pub place: &'static Location<'static>,
}

impl Node {
    /// Layer and line, for messages.
    pub(crate) fn site(&self) -> String {
        site(&self.layer, self.place)
    }
}

/// Elements beyond all memory: their bytes still fit a number.
const MOST: usize = 1 << 48;

/// A static graph of operations.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Nodes, operands first.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// The type of a value.
    pub fn ty(&self, v: Value) -> &Type {
        &self.nodes[v.node].outputs[v.output]
    }

    /// The shape of a value.
    pub fn shape(&self, v: Value) -> &Shape {
        &self.ty(v).shape
    }

    /// Adds an operation after checking its operands. The error names the op, every shape and the line.
    pub fn add(&mut self, op: Op, inputs: &[Value], layer: &str, at: &'static Location<'static>) -> Result<NodeId> {
        let types: Vec<&Type> = inputs.iter().map(|&v| self.ty(v)).collect();
        let outputs = op.infer(&types).map_err(|fault| fault.into_error(&op, layer, at))?;
        // kernels divide by extents; what is merely too large is refused where memory is known
        if let Some(t) = outputs.iter().find(|t| t.shape.size() == 0 || t.shape.size() > MOST) {
            let problem = format!("its result would have the shape {}", t.shape);
            return Err(OpFault::shape(problem, "a tensor has between 1 and 2^48 elements").into_error(&op, layer, at));
        }
        self.nodes.push(Node { op, inputs: inputs.to_vec(), outputs, layer: layer.to_string(), place: at });
        Ok(self.nodes.len() - 1)
    }

    /// Adds an operation on behalf of node `of`: same layer, same line.
    fn derived(&mut self, of: NodeId, op: Op, inputs: &[Value]) -> Result<Value> {
        let (layer, at) = (self.nodes[of].layer.clone(), self.nodes[of].place);
        Ok(self.add(op, inputs, &layer, at)?.into())
    }

    fn derived_map(&mut self, of: NodeId, f: Expr, inputs: &[Value]) -> Result<Value> {
        self.derived(of, Op::Map(f), inputs)
    }

    /// Which nodes the given values need.
    pub fn live(&self, roots: &[Value]) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        roots.iter().for_each(|v| live[v.node] = true);
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                self.nodes[i].inputs.iter().for_each(|v| live[v.node] = true);
            }
        }
        live
    }
}

/// Why an operation cannot take its operands.
pub(crate) struct OpFault {
    problem: String,
    help: String,
    dtype: bool,
}

impl OpFault {
    fn shape(problem: String, help: &str) -> Self {
        OpFault { problem, help: help.into(), dtype: false }
    }

    fn dtype(problem: String, help: &str) -> Self {
        OpFault { problem, help: help.into(), dtype: true }
    }

    fn into_error(self, op: &Op, layer: &str, at: &Location<'_>) -> Error {
        let (op, at) = (op.name().to_string(), site(layer, at));
        if self.dtype {
            Error::DTypeMismatch { op, problem: self.problem, at, help: self.help }
        } else {
            Error::ShapeMismatch { op, problem: self.problem, at, help: self.help }
        }
    }
}
