//! WHAT to compute: a step as a graph of a few operations, with shape rules, gradients and simplification.
//!
//! Users meet the graph as [`Var`]; the rest of the crate meets it as [`Graph`], plain data that can be printed and drawn. A pass that wants to
//! know something about an operation asks the operation itself (see [`op`]): its rule gives its shapes, its gradient, its work, and its [`Kind`].

pub mod augment;
mod builder;
mod class;
mod convolution;
mod field;
mod grad;
mod layout;
pub mod op;
mod pooling;
mod precision;
mod print;
mod random;
mod row_list;
mod sampling;
mod simplify;
mod state;
mod table;
mod value;
mod var;
mod widen;
mod window;

pub use builder::{Builder, Var};
pub use class::Class;
pub(crate) use class::{Wanted, assign, classes};
pub use convolution::{Convolution, Padding, Pair};
pub use field::{Augmented, Channels, Field};
pub use grad::{gradients, scaled_gradients};
pub(crate) use op::custom;
pub use op::{Custom, CustomKernel, CustomOp, Labels, ReduceKind};
// exhaustive on purpose, so that tests ask for a new operation; hidden, so that one breaks no promise
pub(crate) use layout::channels_last;
pub(crate) use op::{IGNORES_CLASSES, Limit, REAL_CLASSES, USER_DIMS, View};
#[doc(hidden)]
pub use op::{Kind, Leaf, Op};
pub use pooling::{Interpolation, Pooling};
pub use precision::Precision;
pub use random::{Distribution, Draws};
pub use row_list::{RowList, listed_row};
pub use sampling::{Sampling, SamplingRule};
pub use simplify::simplify;
pub use state::StateField;
pub(crate) use table::is_ordinals;
pub use value::{NodeId, Type, Value};
pub use var::Operand;
pub(crate) use widen::four_channels;
pub use window::Window;

use crate::error::{Result, site};
use crate::tensor::Shape;
use op::OpFault;
use std::panic::Location;

/// An operation with its operands, in static single assignment.
#[derive(Debug, Clone)]
pub struct Node {
    /// What the node does.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Value>,
    /// The types of its results.
    pub outputs: Vec<Type>,
    /// The layer that made the node, as in `blocks.0.fc1`.
    pub layer: String,
    /// The line of the user's program that made the node, or that called the layer which made it.
    pub place: &'static Location<'static>,
}

impl Node {
    /// `matmul in fc1`: the operation and its layer, for messages.
    pub(crate) fn shown(&self) -> String {
        if self.layer.is_empty() { self.op.name().to_string() } else { format!("{} in {}", self.op.name(), self.layer) }
    }

    /// Layer and line, for messages.
    pub(crate) fn site(&self) -> String {
        site(&self.layer, self.place)
    }
}

/// `2^MOST` is more elements than any memory holds. Their bytes still fit into a `usize`, which has 32 bits in a browser.
const MOST: u32 = if usize::BITS == 64 { 48 } else { 29 };

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
        let outputs = op.rule().infer(&types).map_err(|fault| fault.into_error(op.name(), layer, at))?;
        // kernels divide by extents; a tensor that is merely too large is refused later, where the memory is known
        if let Some(t) = outputs.iter().find(|t| t.shape.size() == 0 || t.shape.size() > 1 << MOST) {
            let problem = format!("its result would have the shape {}", t.shape);
            let help = format!("a tensor has between 1 and 2^{MOST} elements");
            return Err(OpFault::shape(problem, &help).into_error(op.name(), layer, at));
        }
        self.nodes.push(Node { op, inputs: inputs.to_vec(), outputs, layer: layer.to_string(), place: at });
        Ok(self.nodes.len() - 1)
    }

    /// Adds an operation on behalf of node `of`: the new node has its layer and its line.
    pub(crate) fn derived(&mut self, of: NodeId, op: impl Into<Op>, inputs: &[Value]) -> Result<Value> {
        let (layer, at) = (self.nodes[of].layer.clone(), self.nodes[of].place);
        Ok(self.add(op.into(), inputs, &layer, at)?.into())
    }

    /// How the passes treat a node.
    pub(crate) fn kind(&self, node: NodeId) -> Kind {
        self.nodes[node].op.kind()
    }

    /// The value whose elements a reshape, or a chain of them, shows.
    pub(crate) fn base(&self, mut v: Value) -> Value {
        while self.kind(v.node) == Kind::Alias {
            v = self.nodes[v.node].inputs[0];
        }
        v
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
