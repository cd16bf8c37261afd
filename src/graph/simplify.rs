//! Rewrites a graph to an equal one with fewer nodes: each operation states what is simpler than itself, and equal nodes are merged.

use super::op::Rewrite;
use super::{Graph, Node, NodeId, Op, Value, op};
use crate::error::Result;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::discriminant;
use std::ops::Deref;

/// Rewrites the graph to an equal and smaller one. Nodes that the roots do not need are dropped, constants go into the formulas that
/// read them, repetitions are read by broadcasting, and equal nodes are merged. Gives the roots' new values.
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

/// The value that stands for the node's first output in the new graph. No node is added if an old one gives the same.
fn place_node(g: &mut Merged, node: &Node, inputs: &[Value]) -> Result<Value> {
    let simpler = node.op.rule().simplified(inputs, &node.outputs[0].shape, g);
    let Rewrite { mut on, ops } = simpler.unwrap_or_else(|| Rewrite { on: inputs.to_vec(), ops: vec![node.op.clone()] });
    for op in ops {
        let shaped = matches!(&op, Op::Reshape(op::Reshape(to)) | Op::Broadcast(op::Broadcast(to)) if g.shape(on[0]) == to);
        if !shaped {
            on = vec![g.reuse(op, &on, node)?];
        }
    }
    Ok(on[0])
}

/// A graph in which no two nodes are equal.
#[derive(Default)]
struct Merged {
    graph: Graph,
    /// The nodes, in their order, by the hash of operation and operands.
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

/// The same number for equal operations on equal operands.
fn hash(op: &Op, inputs: &[Value]) -> u64 {
    let mut h = DefaultHasher::new();
    discriminant(op).hash(&mut h);
    inputs.hash(&mut h);
    op.rule().hash(&mut h);
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
        let field = Field::new("x", DType::F32, [2]);
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
