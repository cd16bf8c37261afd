//! Backward: from a graph to the same graph with the gradients of a loss behind it.

use super::op::Adjoint;
use super::{Graph, Kind, StateField, Value, op};
use crate::error::{Error, Result};
use crate::expr::Expr;

/// Adds the backward graph: the gradient of `loss` (one element) for each of `wrt`; `None` where the loss does not depend on it.
///
/// Graph to graph: each op's vector-Jacobian product is made of ops of the same graph, so backward is fused, planned and checked
/// by the same machinery as forward.
pub fn gradients(g: &mut Graph, loss: Value, wrt: &[Value]) -> Result<Vec<Option<Value>>> {
    backward(g, loss, wrt, false)
}

/// As [`gradients`], of the loss times the loss scale: [`StateField::LossScale`] of the device's state, by which whoever uses them divides.
pub fn scaled_gradients(g: &mut Graph, loss: Value, wrt: &[Value]) -> Result<Vec<Option<Value>>> {
    backward(g, loss, wrt, true)
}

fn backward(g: &mut Graph, loss: Value, wrt: &[Value], scaled: bool) -> Result<Vec<Option<Value>>> {
    let forward = g.nodes.len();
    let needs = depends(g, wrt);
    let seed = seed(g, loss, scaled)?;
    let mut adjoint: Vec<Vec<Option<Value>>> = g.nodes[..forward].iter().map(|n| vec![None; n.outputs.len()]).collect();
    adjoint[loss.node][loss.output] = Some(seed);
    for id in (0..forward).rev() {
        let grads = adjoint[id].clone();
        if !needs[id] || grads.iter().all(Option::is_none) {
            continue;
        }
        let inputs = g.nodes[id].inputs.clone();
        let wants: Vec<bool> = inputs.iter().map(|v| needs[v.node]).collect();
        let op = g.nodes[id].op.clone();
        let given = op.rule().vjp(&Adjoint { id, inputs: &inputs, grads: &grads, wants: &wants }, g)?;
        for (i, v) in given.into_iter().enumerate().filter(|(i, _)| wants[*i]) {
            let Some(v) = v else { continue };
            let slot = &mut adjoint[inputs[i].node][inputs[i].output];
            *slot = Some(match *slot {
                None => v,
                Some(sum) => g.derived(id, op::Map(Expr::of(2, |x| vec![&x[0] + &x[1]])), &[sum, v])?,
            });
        }
    }
    Ok(wrt.iter().map(|v| adjoint[v.node][v.output]).collect())
}

/// The gradient of the loss for itself: 1, or the loss scale.
fn seed(g: &mut Graph, loss: Value, scaled: bool) -> Result<Value> {
    let shape = g.shape(loss).clone();
    if shape.size() != 1 {
        return Err(Error::ShapeMismatch {
            op: "loss".into(),
            problem: format!("a loss has one element, this one has the shape {shape}"),
            at: g.nodes[loss.node].site(),
            help: "end it with `.mean()` or `.sum()`".into(),
        });
    }
    if !scaled {
        return g.derived(loss.node, op::Constant { value: 1.0, shape }, &[]);
    }
    let scale = g.derived(loss.node, op::State(StateField::LossScale), &[])?;
    if shape.rank() == 0 { Ok(scale) } else { g.derived(loss.node, op::Reshape(shape), &[scale]) }
}

/// Which nodes depend on one of `wrt`.
fn depends(g: &Graph, wrt: &[Value]) -> Vec<bool> {
    let mut needs = vec![false; g.nodes.len()];
    wrt.iter().for_each(|v| needs[v.node] = true);
    for i in 0..g.nodes.len() {
        needs[i] |= g.nodes[i].op.kind() != Kind::Detach && g.nodes[i].inputs.iter().any(|v| needs[v.node]);
    }
    needs
}

impl Graph {
    /// A scaled gradient without the loss scale. Both are powers of two apart: nothing is rounded.
    pub(crate) fn unscaled(&mut self, v: Value) -> Result<Value> {
        let scale = self.derived(v.node, op::State(StateField::LossScale), &[])?;
        self.derived(v.node, op::Map(Expr::of(2, |x| vec![&x[0] / &x[1]])), &[v, scale])
    }
}
