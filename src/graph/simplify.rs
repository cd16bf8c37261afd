use super::state::{multiple, times};
use super::{Graph, Node, Op, Value};
use crate::error::Result;
use crate::expr::Tape;
use crate::tensor::Shape;
use std::collections::HashMap;

/// Rewrites the graph to an equal and smaller one: what the roots do not need is dropped, constants go into the formulas that
/// read them, repeats are read by broadcasting, equal nodes are merged. Gives the roots' new values.
pub fn simplify(old: &Graph, roots: &[Value]) -> Result<(Graph, Vec<Value>)> {
    let live = old.live(roots);
    let mut new = Graph::default();
    let mut to: HashMap<Value, Value> = HashMap::new();
    for (id, node) in old.nodes.iter().enumerate().filter(|(id, _)| live[*id]) {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| to[v]).collect();
        let kept = place_node(&mut new, node, &inputs)?;
        for output in 0..node.outputs.len() {
            to.insert(Value { node: id, output }, Value { node: kept.node, output: kept.output + output });
        }
    }
    let roots: Vec<Value> = roots.iter().map(|v| to[v]).collect();
    let live = new.live(&roots);
    if live.iter().all(|&l| l) { Ok((new, roots)) } else { simplify(&new, &roots) }
}

/// The value that stands for the node's first output: an old one where nothing new is needed.
fn place_node(g: &mut Graph, node: &Node, inputs: &[Value]) -> Result<Value> {
    let shape = &node.outputs[0].shape;
    let add = |g: &mut Graph, op: Op, inputs: &[Value]| reuse(g, op, inputs, node);
    match &node.op {
        Op::Detach => Ok(inputs[0]),
        Op::Reshape(_) | Op::Broadcast(_) if g.shape(inputs[0]) == shape => Ok(inputs[0]),
        Op::Reshape(to) => match &g.nodes[inputs[0].node] {
            Node { op: Op::Reshape(_), inputs: inner, .. } => {
                let inner = inner[0];
                if g.shape(inner) == shape { Ok(inner) } else { add(g, Op::Reshape(to.clone()), &[inner]) }
            }
            Node { op: Op::Constant { value, .. }, .. } => {
                let value = *value;
                add(g, Op::Constant { value, shape: shape.clone() }, &[])
            }
            _ => add(g, node.op.clone(), inputs),
        },
        Op::Broadcast(_) => match &g.nodes[inputs[0].node] {
            Node { op: Op::Constant { value, .. }, .. } => {
                let value = *value;
                add(g, Op::Constant { value, shape: shape.clone() }, &[])
            }
            _ => add(g, node.op.clone(), inputs),
        },
        Op::Map(f) => {
            let mut tape = Tape::default();
            let mut reads: Vec<Value> = Vec::new();
            let mut args = Vec::new();
            for &v in inputs {
                let source = &g.nodes[v.node];
                if let Op::Constant { value, .. } = source.op {
                    args.push(tape.constant(value));
                    continue;
                }
                let v = if let Op::Broadcast(_) = source.op { source.inputs[0] } else { v };
                let (v, factor) = multiple(g, v).unwrap_or((v, 1.0));
                let at = reads.iter().position(|r| *r == v).unwrap_or_else(|| {
                    reads.push(v);
                    reads.len() - 1
                });
                let x = tape.input(at);
                args.push(times(&mut tape, x, factor));
            }
            let outputs = tape.inline(f, &args);
            let (f, kept) = tape.finish(reads.len(), &outputs).prune();
            let reads: Vec<Value> = kept.iter().map(|&i| reads[i]).collect();
            if f.is_identity() && g.shape(reads[0]) == shape {
                return Ok(reads[0]);
            }
            if f.arity() == 0 {
                let value = f.eval::<f64>(&[], &[])[0];
                return add(g, Op::Constant { value, shape: shape.clone() }, &[]);
            }
            // reading through a broadcast may have made the result smaller: repeat it at the end
            let v = reuse(g, Op::Map(f), &reads, node)?;
            if g.shape(v) == shape { Ok(v) } else { add(g, Op::Broadcast(shape.clone()), &[v]) }
        }
        Op::Reduce { kind, axes, .. } => {
            // kernels reduce neighbouring axes: others go one run after another, the last axes first
            let mut v = inputs[0];
            let mut axes = axes.clone();
            axes.sort_unstable();
            axes.dedup();
            while !axes.is_empty() {
                let mut run = axes.len() - 1;
                while run > 0 && axes[run - 1] + 1 == axes[run] {
                    run -= 1;
                }
                let op = Op::Reduce { kind: *kind, axes: axes.split_off(run), keep: true };
                v = reuse(g, op, &[v], node)?;
            }
            to_shape(g, v, shape, node)
        }
        Op::Permute(axes) => {
            let (mut axes, mut from) = (axes.clone(), inputs[0]);
            if let Node { op: Op::Permute(first), inputs: inner, .. } = &g.nodes[from.node] {
                axes.iter_mut().for_each(|a| *a = first[*a]);
                from = inner[0];
            }
            // an order that moves no axis of more than one element keeps every element's place
            let moved: Vec<usize> = axes.iter().copied().filter(|&a| g.shape(from)[a] != 1).collect();
            if moved.is_sorted() { to_shape(g, from, shape, node) } else { add(g, Op::Permute(axes), &[from]) }
        }
        Op::Slice { .. } | Op::Pad { .. } if g.shape(inputs[0]) == shape => Ok(inputs[0]),
        Op::Concat { .. } if inputs.len() == 1 => Ok(inputs[0]),
        Op::MatMul { ta, tb } => {
            let (a, ta) = untransposed(g, inputs[0], *ta);
            let (b, tb) = untransposed(g, inputs[1], *tb);
            add(g, Op::MatMul { ta, tb }, &[a, b])
        }
        op => add(g, op.clone(), inputs),
    }
}

/// A matrix that is a swap of the last two axes is read the other way round.
fn untransposed(g: &Graph, v: Value, flag: bool) -> (Value, bool) {
    let Node { op: Op::Permute(axes), inputs, .. } = &g.nodes[v.node] else { return (v, flag) };
    let r = axes.len();
    let swap = r >= 2 && axes[..r - 2].is_sorted() && axes[r - 2] == r - 1 && axes[r - 1] == r - 2;
    if swap { (inputs[0], !flag) } else { (v, flag) }
}

fn to_shape(g: &mut Graph, v: Value, shape: &Shape, node: &Node) -> Result<Value> {
    if g.shape(v) == shape { Ok(v) } else { reuse(g, Op::Reshape(shape.clone()), &[v], node) }
}

/// The node of this op on these operands: an old one, or a new one on behalf of `node`.
fn reuse(g: &mut Graph, op: Op, inputs: &[Value], node: &Node) -> Result<Value> {
    match g.nodes.iter().position(|n| n.inputs == inputs && n.op == op) {
        Some(id) => Ok(id.into()),
        None => Ok(g.add(op, inputs, &node.layer, node.place)?.into()),
    }
}
