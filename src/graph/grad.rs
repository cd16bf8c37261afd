use super::{Graph, NodeId, Op, ReduceKind, StateField, Value, custom, movement};
use crate::error::{Error, Result};
use crate::expr::Expr;
use crate::tensor::Shape;

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
    let node = &g.nodes[loss.node];
    if g.shape(loss).size() != 1 {
        return Err(Error::ShapeMismatch {
            op: "loss".into(),
            problem: format!("a loss has one element, this one has the shape {}", g.shape(loss)),
            at: node.site(),
            help: "end it with `.mean()` or `.sum()`".into(),
        });
    }
    let forward = g.nodes.len();
    let needs = depends(g, wrt);
    let mut adjoint: Vec<Vec<Option<Value>>> = g.nodes.iter().map(|n| vec![None; n.outputs.len()]).collect();
    let shape = g.shape(loss).clone();
    let seed = if scaled {
        let scale = g.derived(loss.node, Op::State(StateField::LossScale), &[])?;
        if shape.rank() == 0 { scale } else { g.derived(loss.node, Op::Reshape(shape), &[scale])? }
    } else {
        g.derived(loss.node, Op::Constant { value: 1.0, shape }, &[])?
    };
    adjoint[loss.node][loss.output] = Some(seed);
    for id in (0..forward).rev() {
        if !needs[id] || adjoint[id].iter().all(Option::is_none) {
            continue;
        }
        for (input, v) in vjp(g, id, &adjoint[id].clone(), &needs)? {
            let slot = &mut adjoint[input.node][input.output];
            *slot = Some(match *slot {
                None => v,
                Some(sum) => {
                    let add = Expr::of(2, |x| vec![&x[0] + &x[1]]);
                    g.derived_map(input.node, add, &[sum, v])?
                }
            });
        }
    }
    Ok(wrt.iter().map(|v| adjoint[v.node][v.output]).collect())
}

/// Which nodes depend on one of `wrt`.
fn depends(g: &Graph, wrt: &[Value]) -> Vec<bool> {
    let mut needs = vec![false; g.nodes.len()];
    wrt.iter().for_each(|v| needs[v.node] = true);
    for i in 0..g.nodes.len() {
        needs[i] |= !matches!(g.nodes[i].op, Op::Detach) && g.nodes[i].inputs.iter().any(|v| needs[v.node]);
    }
    needs
}

/// The gradient's contribution to each input that needs one.
fn vjp(g: &mut Graph, id: NodeId, grads: &[Option<Value>], needs: &[bool]) -> Result<Vec<(Value, Value)>> {
    let node = g.nodes[id].clone();
    let wants = |v: &Value| needs[v.node];
    let mut out = Vec::new();
    if let Op::Accuracy(_) | Op::ArgMax { .. } = node.op {
        return Ok(out); // flat almost everywhere
    }
    if let (Op::CrossEntropy { .. }, Some(grad), None) = (&node.op, grads[0], grads.get(1).copied().flatten()) {
        if wants(&node.inputs[1]) {
            return Err(unsupported(&node, "a gradient for the labels of a cross-entropy"));
        }
        let times = Expr::of(2, |x| vec![&x[0] * &x[1]]);
        let kept = Value { node: id, output: 1 };
        out.push((node.inputs[0], g.derived_map(id, times, &[grad, kept])?));
        return Ok(out);
    }
    if let Op::Custom(c) = &node.op {
        return Ok(custom::vjp(g, id, c.op(), grads)?.into_iter().filter(|(v, _)| wants(v)).collect());
    }
    let Some(grad) = grads[0] else {
        return Err(unsupported(&node, "a gradient through the second output of this op"));
    };
    match &node.op {
        Op::Batch { .. } | Op::Parameter { .. } | Op::Buffer { .. } | Op::Constant { .. } | Op::State(_) | Op::Random(_) => {}
        Op::Map(f) => {
            for (i, &input) in node.inputs.iter().enumerate().filter(|(_, v)| wants(v)) {
                let Some(d) = f.gradient(i) else { continue };
                let (d, kept) = d.prune();
                let n = node.inputs.len();
                let args: Vec<Value> = kept
                    .iter()
                    .map(|&k| {
                        if k < n {
                            node.inputs[k]
                        } else if k == n {
                            id.into()
                        } else {
                            grad
                        }
                    })
                    .collect();
                let v = g.derived_map(id, d, &args)?;
                let full = g.shape(id.into()).clone();
                let v = if *g.shape(v) == full { v } else { g.derived(id, Op::Broadcast(full), &[v])? };
                let to = g.shape(input).clone();
                out.push((input, sum_to(g, id, v, &to)?));
            }
        }
        Op::Broadcast(_) => {
            let to = g.shape(node.inputs[0]).clone();
            out.push((node.inputs[0], sum_to(g, id, grad, &to)?));
        }
        Op::Reduce { kind, axes, .. } => {
            let full = g.shape(node.inputs[0]).clone();
            let kept: Vec<usize> = (0..full.rank()).map(|i| if axes.contains(&i) { 1 } else { full[i] }).collect();
            let count: usize = (0..full.rank()).filter(|i| axes.contains(i)).map(|i| full[i]).product();
            let v = g.derived(id, Op::Reshape(kept.clone().into()), &[grad])?;
            if *kind == ReduceKind::Max {
                // equal ones share: g * [x = y] / count, as PyTorch's amax does
                let y = g.derived(id, Op::Reshape(kept.into()), &[id.into()])?;
                let equal = Expr::of(2, |x| vec![x[0].equal(&x[1])]);
                let hits = g.derived_map(id, equal, &[node.inputs[0], y])?;
                let count = g.derived(id, Op::Reduce { kind: ReduceKind::Sum, axes: axes.clone(), keep: true }, &[hits])?;
                let share = Expr::of(3, |x| vec![&x[0] * (&x[1] / &x[2])]);
                out.push((node.inputs[0], g.derived_map(id, share, &[hits, v, count])?));
                out.retain(|(input, _)| wants(input));
                return Ok(out);
            }
            let v = if *kind == ReduceKind::Sum {
                v
            } else {
                let share = Expr::of(1, |x| vec![&x[0] / count as f64]);
                g.derived_map(id, share, &[v])?
            };
            out.push((node.inputs[0], g.derived(id, Op::Broadcast(full), &[v])?));
        }
        Op::MatMul { ta, tb } => {
            let (a, b) = (node.inputs[0], node.inputs[1]);
            let product = |g: &mut Graph, x, tx, y, ty| g.derived(id, Op::MatMul { ta: tx, tb: ty }, &[x, y]);
            if wants(&a) {
                let v = if *ta { product(g, b, *tb, grad, true)? } else { product(g, grad, false, b, !*tb)? };
                let to = g.shape(a).clone();
                out.push((a, sum_to(g, id, v, &to)?));
            }
            if wants(&b) {
                let v = if *tb { product(g, grad, true, a, *ta)? } else { product(g, a, !*ta, grad, false)? };
                let to = g.shape(b).clone();
                out.push((b, sum_to(g, id, v, &to)?));
            }
        }
        Op::Reshape(_) => {
            let to = g.shape(node.inputs[0]).clone();
            out.push((node.inputs[0], g.derived(id, Op::Reshape(to), &[grad])?));
        }
        Op::CumSum { reverse } => out.push((node.inputs[0], g.derived(id, Op::CumSum { reverse: !reverse }, &[grad])?)),
        Op::Softmax { log: true } => {
            // g - exp(y) * sum(g); g alone where its sum is 0, so that a row of NaN which does not count gets 0
            let last = g.shape(grad).rank() - 1;
            let sum = g.derived(id, Op::Reduce { kind: ReduceKind::Sum, axes: vec![last], keep: true }, &[grad])?;
            let rest = Expr::of(3, |x| vec![x[2].equal(0.0).select(&x[1], &x[1] - x[0].exp() * &x[2])]);
            out.push((node.inputs[0], g.derived_map(id, rest, &[id.into(), grad, sum])?));
        }
        Op::Softmax { log: false } => {
            // y * (g - sum(g * y))
            let times = Expr::of(2, |x| vec![&x[0] * &x[1]]);
            let gy = g.derived_map(id, times, &[grad, id.into()])?;
            let last = g.shape(gy).rank() - 1;
            let sum = g.derived(id, Op::Reduce { kind: ReduceKind::Sum, axes: vec![last], keep: true }, &[gy])?;
            let rest = Expr::of(3, |x| vec![&x[0] * (&x[1] - &x[2])]);
            out.push((node.inputs[0], g.derived_map(id, rest, &[id.into(), grad, sum])?));
        }
        Op::Permute(_) | Op::Slice { .. } | Op::Pad { .. } | Op::Concat { .. } => out = movement::vjp(g, id, grad)?,
        Op::Take { padding } if wants(&node.inputs[0]) => {
            let rows = g.shape(node.inputs[0])[0];
            out.push((node.inputs[0], g.derived(id, Op::ScatterAdd { rows, padding: *padding }, &[grad, node.inputs[1]])?));
        }
        Op::ScatterAdd { padding: Some(_), .. } => return Err(unsupported(&node, "a second derivative of a table with a padding row")),
        Op::ScatterAdd { .. } => out.push((node.inputs[0], g.derived(id, Op::Take { padding: None }, &[grad, node.inputs[1]])?)),
        Op::Detach | Op::ToF32 | Op::Accuracy(_) | Op::ArgMax { .. } | Op::Take { .. } | Op::Custom(_) => {}
        Op::CrossEntropy { .. } => return Err(unsupported(&node, "a second derivative of a cross-entropy")),
    }
    out.retain(|(input, _)| wants(input));
    Ok(out)
}

/// Sums over the axes along which a value of shape `to` was repeated.
fn sum_to(g: &mut Graph, of: NodeId, v: Value, to: &Shape) -> Result<Value> {
    let full = g.shape(v).clone();
    if full == *to {
        return Ok(v);
    }
    let skip = full.rank() - to.rank();
    let axes: Vec<usize> = (0..full.rank()).filter(|&i| i < skip || (to[i - skip] == 1 && full[i] != 1)).collect();
    let v = if axes.is_empty() { v } else { g.derived(of, Op::Reduce { kind: ReduceKind::Sum, axes, keep: false }, &[v])? };
    if g.shape(v) == to { Ok(v) } else { g.derived(of, Op::Reshape(to.clone()), &[v]) }
}

fn unsupported(node: &super::Node, what: &str) -> Error {
    Error::Unsupported {
        what: what.into(),
        at: format!("{}, {}", node.op.name(), node.site()),
        help: "take the loss from the op's first output, and labels from the data".into(),
    }
}
