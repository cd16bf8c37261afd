//! Statistics of the layers while a model trains: launches that compute the mean and the variance of each layer's output and of its gradient, as
//! columns of the log.

use crate::error::Result;
use crate::expr::Expr;
use crate::graph::{Graph, ReduceKind, Value, op};
use crate::nn::LayerRow;
use crate::tensor::DType;
use std::collections::HashMap;

/// A layer whose statistics are logged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probed {
    pub layer: String,
    /// Elements of its output for a batch.
    pub size: usize,
    /// Whether the loss depends on it.
    pub gradient: bool,
}

/// Columns of the log for a layer: mean and variance of its output, then of the gradient of the output.
pub(crate) const COLUMNS: usize = 4;

/// The layers that have an output in f32, with that output.
pub(crate) fn values(g: &Graph, rows: &[LayerRow]) -> Vec<(String, Value)> {
    let mut seen: Vec<(String, Value)> = Vec::new();
    let mut at: HashMap<Value, usize> = HashMap::new();
    for row in rows {
        let Some(v) = row.value.filter(|v| g.ty(*v).dtype == DType::F32) else { continue };
        match at.get(&v) {
            Some(&outer) => seen[outer].0.clone_from(&row.name), // a container gives what its last layer gives
            None => {
                at.insert(v, seen.len());
                seen.push((row.name.clone(), v));
            }
        }
    }
    seen
}

/// Adds the statistics of these outputs and of their gradients to the graph of a step: `COLUMNS` values for each.
pub(crate) fn probe(g: &mut Graph, seen: &[(String, Value)], grads: &[Option<Value>]) -> Result<(Vec<Probed>, Vec<Value>)> {
    let (mut probed, mut parts) = (Vec::new(), Vec::new());
    for ((name, v), grad) in seen.iter().zip(grads) {
        moments(g, *v, &mut parts)?;
        match grad {
            Some(grad) => moments(g, *grad, &mut parts)?,
            None => {
                let none = g.derived(v.node, op::Constant { value: 0.0, shape: [1].into() }, &[])?;
                parts.extend([none, none]);
            }
        }
        probed.push(Probed { layer: name.clone(), size: g.shape(*v).size(), gradient: grad.is_some() });
    }
    Ok((probed, parts))
}

/// Adds the mean of a value and its mean square distance from that mean.
fn moments(g: &mut Graph, v: Value, parts: &mut Vec<Value>) -> Result<()> {
    let rank = g.shape(v).rank();
    let mean = op::Reduce { kind: ReduceKind::Mean, axes: (0..rank).collect(), keep: true };
    let centre = g.derived(v.node, mean.clone(), &[v])?;
    let off = g.derived(v.node, op::Map(Expr::of(2, |x| vec![(&x[0] - &x[1]) * (&x[0] - &x[1])])), &[v, centre])?;
    let spread = g.derived(v.node, mean, &[off])?;
    parts.extend([centre, spread]);
    Ok(())
}
