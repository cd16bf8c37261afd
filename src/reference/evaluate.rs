//! The way through a graph, node by node.

use super::faults::{mismatch, no_value, wrong_kind};
use super::{Data, ops};
use crate::error::{Error, Result};
use crate::expr::Real;
use crate::graph::{Graph, Leaf, Node, NodeId, Op, Type, Value};
use crate::tensor::DType;

/// Computes the wanted values. `feed` gives the elements of every `Op::Batch`, `Op::Parameter`, `Op::Buffer`, `Op::State` and `Op::Random` (see
/// [`draw`](super::draw)) that they need. Elements that are missing are [`Error::NotFound`], too many or too few [`Error::ShapeMismatch`], of the wrong
/// kind [`Error::DTypeMismatch`].
pub fn evaluate<T: Real>(g: &Graph, feed: &dyn Fn(&Op) -> Option<Data<T>>, wanted: &[Value]) -> Result<Vec<Data<T>>> {
    let all = evaluate_all(g, feed, wanted)?;
    let pick = |v: &Value| all[v.node].as_ref().and_then(|outputs| outputs.get(v.output)).cloned();
    wanted.iter().map(|v| pick(v).ok_or_else(|| no_value(g, *v))).collect()
}

/// As [`evaluate`], but gives the outputs of every node that the wanted values need, by node; `None` for the other nodes.
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

/// Computes the outputs of one node from any operands, as a bisection does step by step. Batches and parameters have none without a feed.
pub fn evaluate_node<T: Real>(g: &Graph, id: NodeId, operands: &[&Data<T>]) -> Result<Vec<Data<T>>> {
    Ok(stored(g.nodes.get(id).ok_or_else(|| no_value(g, id.into()))?, computed(g, id, operands)?))
}

/// Outputs as they are stored: those of dtype f16 rounded to nearest. A parameter's second output is a copy of its first.
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
        at: node.site(),
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
