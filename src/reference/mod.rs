//! The oracle: runs a graph node by node in the plainest loops, in f32 or f64, for tests, debugging and bisection.
//!
//! Each loop can be checked by eye against the formula of its [`Op`]. It is slow on purpose: no threads, no blocking, and no
//! code shared with the kernels, because what shares code shares mistakes.
//!
//! ```
//! use gradus::graph::Builder;
//! use gradus::reference::{Data, evaluate};
//! let b = Builder::new();
//! let w = b.parameter("w", [2].into());
//! let y = w.square().sum().value().unwrap();
//! let g = b.finish()?;
//! let out = evaluate::<f64>(&g, &|_| Some(Data::Real(vec![3.0, 4.0])), &[y])?;
//! assert_eq!(out[0].as_real(), Some(&[25.0][..]));
//! # Ok::<(), gradus::Error>(())
//! ```

mod classify;
mod movement;
mod ops;
mod random;
pub(crate) mod rounding;
mod take;
#[cfg(test)]
mod tests;

pub use random::draw;

use crate::error::{Error, Result};
use crate::expr::Real;
use crate::graph::{Graph, Leaf, Node, NodeId, Op, Type, Value};
use crate::tensor::DType;

/// The elements of one value, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data<T> {
    /// Elements of a float dtype, in the precision of the evaluation.
    Real(Vec<T>),
    /// Elements of an integer dtype: class labels.
    Integer(Vec<u32>),
}

impl<T: Real> Data<T> {
    /// The elements, if they are floats.
    pub fn as_real(&self) -> Option<&[T]> {
        if let Data::Real(v) = self { Some(v) } else { None }
    }

    /// The elements, if they are integers.
    pub fn as_integer(&self) -> Option<&[u32]> {
        if let Data::Integer(v) = self { Some(v) } else { None }
    }

    /// Every element as f64, whatever the dtype.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Data::Real(v) => v.iter().map(|x| x.to_f64()).collect(),
            Data::Integer(v) => v.iter().map(|&x| x.into()).collect(),
        }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Real(v) => v.len(),
            Data::Integer(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The wanted values. `feed` gives the elements of every `Op::Batch`, `Op::Parameter`, `Op::Buffer`, `Op::State` and `Op::Random` (see [`draw`]) that they need: a missing one is
/// [`Error::NotFound`], one of the wrong size [`Error::ShapeMismatch`], one of the wrong kind [`Error::DTypeMismatch`].
pub fn evaluate<T: Real>(g: &Graph, feed: &dyn Fn(&Op) -> Option<Data<T>>, wanted: &[Value]) -> Result<Vec<Data<T>>> {
    let all = evaluate_all(g, feed, wanted)?;
    let pick = |v: &Value| all[v.node].as_ref().and_then(|outputs| outputs.get(v.output)).cloned();
    wanted.iter().map(|v| pick(v).ok_or_else(|| no_value(g, *v))).collect()
}

/// As [`evaluate`], giving the outputs of every node that the wanted values need, by node; `None` for the other nodes.
pub fn evaluate_all<T: Real>(g: &Graph, feed: &dyn Fn(&Op) -> Option<Data<T>>, wanted: &[Value]) -> Result<Vec<Option<Vec<Data<T>>>>> {
    if let Some(v) = wanted.iter().find(|v| v.node >= g.nodes.len()) {
        return Err(no_value(g, *v));
    }
    let mut all: Vec<Option<Vec<Data<T>>>> = Vec::with_capacity(g.nodes.len());
    for (id, live) in g.live(wanted).into_iter().enumerate() {
        let node = &g.nodes[id];
        let outputs = match node.op.leaf() {
            _ if !live => None,
            Some(leaf) => Some(stored(node, vec![fed(node, leaf, feed)?])),
            None => {
                let operands: Vec<&Data<T>> = node.inputs.iter().filter_map(|v| all.get(v.node)?.as_ref()?.get(v.output)).collect();
                Some(evaluate_node(g, id, &operands)?)
            }
        };
        all.push(outputs);
    }
    Ok(all)
}

/// The outputs of one node for operands from anywhere: the step of a bisection. Batches and parameters have none without a feed.
pub fn evaluate_node<T: Real>(g: &Graph, id: NodeId, operands: &[&Data<T>]) -> Result<Vec<Data<T>>> {
    Ok(stored(g.nodes.get(id).ok_or_else(|| no_value(g, id.into()))?, computed(g, id, operands)?))
}

/// Outputs as they lie in memory: those of dtype f16 rounded to nearest. A parameter's second output is a copy of its first.
pub(crate) fn stored<T: Real>(node: &Node, mut outputs: Vec<Data<T>>) -> Vec<Data<T>> {
    if let (Op::Parameter(_), [one]) = (&node.op, outputs.as_slice()) {
        outputs = vec![one.clone(); node.outputs.len()];
    }
    for (ty, data) in node.outputs.iter().zip(&mut outputs) {
        if let (DType::F16, Data::Real(v)) = (ty.dtype, data) {
            v.iter_mut().for_each(|x| *x = T::from_f64(half::f16::from_f64(x.to_f64()).into()));
        }
    }
    outputs
}

/// As [`evaluate_node`], before anything is rounded to be stored.
pub(crate) fn computed<T: Real>(g: &Graph, id: NodeId, operands: &[&Data<T>]) -> Result<Vec<Data<T>>> {
    let node = g.nodes.get(id).ok_or_else(|| no_value(g, id.into()))?;
    if operands.len() != node.inputs.len() {
        let problem = format!("{} operands for an operation of {}", operands.len(), node.inputs.len());
        return Err(mismatch(node, problem, "give one for each of the node's inputs, in their order"));
    }
    for (v, data) in node.inputs.iter().zip(operands) {
        fits(node, g.ty(*v), data)?;
    }
    ops::run(g, node, operands)
}

fn fed<T: Real>(node: &Node, leaf: Leaf<'_>, feed: &dyn Fn(&Op) -> Option<Data<T>>) -> Result<Data<T>> {
    let name = match leaf {
        Leaf::Batch(batch) => &batch.field.name,
        Leaf::Parameter(parameter) => &parameter.name,
        Leaf::Buffer(buffer) => &buffer.name,
        Leaf::Random(draws) => &draws.stream,
        Leaf::State(field) => field.name(),
    };
    let data = feed(&node.op).ok_or_else(|| Error::NotFound {
        what: format!("value for the {}", node.op.name()),
        name: name.into(),
        at: site(node),
        known: vec![],
    })?;
    fits(node, &node.outputs[0], &data)?;
    Ok(data)
}

/// Whether the elements fill the type.
fn fits<T: Real>(node: &Node, ty: &Type, data: &Data<T>) -> Result<()> {
    let real = matches!(ty.dtype, DType::F32 | DType::F16);
    if real != matches!(data, Data::Real(_)) {
        let found = if real { "integers" } else { "reals" };
        return Err(wrong_kind(node, format!("{found} for a value of {}", ty.dtype)));
    }
    if data.len() != ty.shape.size() {
        let problem = format!("{} elements for the shape {}, which has {}", data.len(), ty.shape, ty.shape.size());
        return Err(mismatch(node, problem, "give as many elements as the product of the axes"));
    }
    Ok(())
}

fn no_value(g: &Graph, v: Value) -> Error {
    let at = g.nodes.get(v.node).map_or_else(|| format!("a graph of {} nodes", g.nodes.len()), site);
    Error::NotFound { what: "value".into(), name: format!("%{}.{}", v.node, v.output), at, known: vec![] }
}

fn mismatch(node: &Node, problem: String, help: &str) -> Error {
    Error::ShapeMismatch { op: node.op.name().into(), problem, at: site(node), help: help.into() }
}

fn wrong_kind(node: &Node, problem: String) -> Error {
    let help = "floats are `Data::Real`, class labels `Data::Integer`".into();
    Error::DTypeMismatch { op: node.op.name().into(), problem, at: site(node), help }
}

fn site(node: &Node) -> String {
    node.site()
}
