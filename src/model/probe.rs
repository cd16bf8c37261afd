//! Launches that look at a network's layers while it trains: mean and variance of what each gives and of its gradient, as columns of the log.

use crate::error::Result;
use crate::expr::Expr;
use crate::graph::{Graph, Op, ReduceKind, Value};
use crate::nn::LayerRow;
use crate::tensor::DType;
use std::panic::Location;

/// A layer that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probed {
    pub layer: String,
    /// Elements of what it gives for a batch.
    pub size: usize,
    /// Whether the loss depends on it.
    pub gradient: bool,
}

/// Columns of a layer: mean and variance of its outputs, then of their gradient.
pub(crate) const COLUMNS: usize = 4;

/// The layers that can be looked at, and what they give.
pub(crate) fn values(g: &Graph, rows: &[LayerRow]) -> Vec<(String, Value)> {
    let mut seen: Vec<(String, Value)> = Vec::new();
    for row in rows {
        let Some(v) = row.value.filter(|v| g.ty(*v).dtype == DType::F32) else { continue };
        match seen.iter_mut().find(|(_, known)| *known == v) {
            Some(outer) => outer.0.clone_from(&row.name), // a container gives what its last layer gives
            None => seen.push((row.name.clone(), v)),
        }
    }
    seen
}

/// Adds what is to be known of these values and of their gradients to a step's graph: `COLUMNS` values for each.
pub(crate) fn probe(g: &mut Graph, seen: &[(String, Value)], grads: &[Option<Value>]) -> Result<(Vec<Probed>, Vec<Value>)> {
    let (mut probed, mut parts) = (Vec::new(), Vec::new());
    for ((name, v), grad) in seen.iter().zip(grads) {
        moments(g, *v, &mut parts)?;
        match grad {
            Some(grad) => moments(g, *grad, &mut parts)?,
            None => {
                let none = add(g, v.node, Op::Constant { value: 0.0, shape: [1].into() }, &[])?;
                parts.extend([none, none]);
            }
        }
        probed.push(Probed { layer: name.clone(), size: g.shape(*v).size(), gradient: grad.is_some() });
    }
    Ok((probed, parts))
}

/// The mean and the mean square distance from it, of one element each.
fn moments(g: &mut Graph, v: Value, parts: &mut Vec<Value>) -> Result<()> {
    let rank = g.shape(v).rank();
    let mean = Op::Reduce { kind: ReduceKind::Mean, axes: (0..rank).collect(), keep: true };
    let centre = add(g, v.node, mean.clone(), &[v])?;
    let off = add(g, v.node, Op::Map(Expr::of(2, |x| vec![(&x[0] - &x[1]) * (&x[0] - &x[1])])), &[v, centre])?;
    let spread = add(g, v.node, mean, &[off])?;
    parts.extend([centre, spread]);
    Ok(())
}

fn add(g: &mut Graph, of: usize, op: Op, inputs: &[Value]) -> Result<Value> {
    let (layer, at): (String, &'static Location<'static>) = (g.nodes[of].layer.clone(), g.nodes[of].place);
    Ok(g.add(op, inputs, &layer, at)?.into())
}
