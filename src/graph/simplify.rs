use super::state::{multiple, times};
use super::{Graph, Node, NodeId, Op, Value};
use crate::error::Result;
use crate::expr::Tape;
use crate::tensor::Shape;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::ops::Deref;

/// Rewrites the graph to an equal and smaller one: what the roots do not need is dropped, constants go into the formulas that
/// read them, repeats are read by broadcasting, equal nodes are merged. Gives the roots' new values.
pub fn simplify(old: &Graph, roots: &[Value]) -> Result<(Graph, Vec<Value>)> {
    let live = old.live(roots);
    let mut new = Merged::default();
    let mut to: HashMap<Value, Value> = HashMap::new();
    for (id, node) in old.nodes.iter().enumerate().filter(|(id, _)| live[*id]) {
        let inputs: Vec<Value> = node.inputs.iter().map(|v| to[v]).collect();
        let kept = place_node(&mut new, node, &inputs)?;
        for output in 0..node.outputs.len() {
            to.insert(Value { node: id, output }, Value { node: kept.node, output: kept.output + output });
        }
    }
    let (new, roots): (Graph, Vec<Value>) = (new.graph, roots.iter().map(|v| to[v]).collect());
    let live = new.live(&roots);
    if live.iter().all(|&l| l) { Ok((new, roots)) } else { simplify(&new, &roots) }
}

/// The value that stands for the node's first output: an old one where nothing new is needed.
fn place_node(g: &mut Merged, node: &Node, inputs: &[Value]) -> Result<Value> {
    let shape = &node.outputs[0].shape;
    let add = |g: &mut Merged, op: Op, inputs: &[Value]| g.reuse(op, inputs, node);
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
            let v = g.reuse(Op::Map(f), &reads, node)?;
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
                v = g.reuse(op, &[v], node)?;
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

fn to_shape(g: &mut Merged, v: Value, shape: &Shape, node: &Node) -> Result<Value> {
    if g.shape(v) == shape { Ok(v) } else { g.reuse(Op::Reshape(shape.clone()), &[v], node) }
}

/// A graph in which no two nodes are equal.
#[derive(Default)]
struct Merged {
    graph: Graph,
    /// Nodes in their order, by the hash of what they are.
    known: HashMap<u64, Vec<NodeId>>,
}

impl Deref for Merged {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        &self.graph
    }
}

impl Merged {
    /// The node of this op on these operands: an old one, or a new one on behalf of `node`.
    fn reuse(&mut self, op: Op, inputs: &[Value], node: &Node) -> Result<Value> {
        let alike = self.known.entry(hash(&op, inputs)).or_default();
        let same = |id: &&NodeId| {
            #[cfg(test)]
            tests::COMPARED.set(tests::COMPARED.get() + 1);
            self.graph.nodes[**id].inputs == inputs && self.graph.nodes[**id].op == op
        };
        if let Some(id) = alike.iter().find(same) {
            return Ok((*id).into());
        }
        let id = self.graph.add(op, inputs, &node.layer, node.place)?;
        alike.push(id);
        Ok(id.into())
    }
}

/// The same for what is equal. Of numbers that need not say: 0 and -0 are equal, and what is left out here is compared.
fn hash(op: &Op, inputs: &[Value]) -> u64 {
    let mut h = DefaultHasher::new();
    discriminant(op).hash(&mut h);
    inputs.hash(&mut h);
    match op {
        Op::Batch { batch, field } => (batch, &field.name).hash(&mut h),
        Op::Parameter { name, .. } | Op::Buffer { name, .. } => name.hash(&mut h),
        Op::Constant { value, shape } => ((value + 0.0).to_bits(), shape).hash(&mut h),
        Op::State(field) => field.hash(&mut h),
        Op::Random(d) => d.stream.hash(&mut h),
        Op::Map(f) => f.hash(&mut h),
        Op::Broadcast(shape) | Op::Reshape(shape) | Op::Slice { shape, .. } | Op::Pad { shape, .. } => shape.hash(&mut h),
        Op::Reduce { kind, axes, keep } => (kind, axes, keep).hash(&mut h),
        Op::Permute(axes) => axes.hash(&mut h),
        Op::Concat { axis } | Op::ArgMax { axis } => axis.hash(&mut h),
        Op::ScatterAdd { rows, .. } => rows.hash(&mut h),
        // told apart by their operands
        Op::MatMul { .. } | Op::CumSum { .. } | Op::Softmax { .. } | Op::CrossEntropy { .. } | Op::Accuracy(_) | Op::Take { .. } => {}
        Op::Custom(_) | Op::Detach | Op::ToF32 => {}
    }
    h.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Field, gradients};
    use crate::nn::{Linear, Module, Relu, Scope};
    use crate::tensor::DType;
    use std::cell::Cell;

    thread_local! {
        /// Nodes that were held against another.
        pub static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// Thousands of layers: names, and what is merged, are looked up and not looked for. Counted, not timed.
    #[test]
    fn deep_models_are_simplified_in_linear_time() {
        let builder = Builder::new();
        let field =
            Field { name: "x".into(), stored: DType::F32, row: [2].into(), scale: 1.0, shift: 0.0, keep_integer: false, one_hot: None };
        let scope = Scope::root(&builder, true);
        let x = builder.batch(3, field);
        let last = (0..3000).fold(x, |x, i| Relu.forward(&scope, &scope.at(i).call(&Linear::new(2), &x)));
        // a fan: many that read one
        let fan = (0..3000).fold(last.clone(), |sum, i| sum + &last * (1.0 + f64::from(i)));
        let loss = fan.mean().value().unwrap();
        let wrt: Vec<Value> = scope.parameters().iter().filter_map(|(_, v)| v.value()).collect();
        let mut graph = builder.finish().unwrap();
        let grads = gradients(&mut graph, loss, &wrt).unwrap();
        let roots: Vec<Value> = grads.into_iter().flatten().chain([loss]).collect();
        assert_eq!(roots.len(), 6001);
        COMPARED.set(0);
        let (new, _) = simplify(&graph, &roots).unwrap();
        assert!(new.nodes.len() > 20_000 && COMPARED.get() < 2 * graph.nodes.len(), "{} in {}", COMPARED.get(), graph.nodes.len());
    }

    /// What is equal is merged as ever, into the first of them: 0 and -0, too.
    #[test]
    fn equal_nodes_are_one() {
        let builder = Builder::new();
        let c = |v: f64| builder.constant(v, [2]);
        let scope = Scope::root(&builder, true);
        let x = scope.param("x", [2], crate::nn::Init::Zeros);
        let parts = [x.exp(), x.exp(), &c(0.0) + x.exp(), x.sum_axes(&[0]), x.sum_axes(&[0])];
        let roots: Vec<Value> =
            parts.iter().map(|v| v.value().unwrap()).chain([c(0.0).value().unwrap(), c(-0.0).value().unwrap()]).collect();
        let (_, to) = simplify(&builder.finish().unwrap(), &roots).unwrap();
        assert_eq!((to[0], to[1], to[3], to[5]), (to[1], to[2], to[4], to[6]));
        assert!(to[0] != to[3] && to[3] != to[5]);
    }
}
