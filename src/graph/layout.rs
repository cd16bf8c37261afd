//! Keeps images channels last.
//!
//! Users see images as `[N, C, H, W]`; convolutions and pools compute with `[N, H, W, C]`, between two moves. This pass carries the moves through
//! formulas, sums, parts and joins of images, where they meet others and cancel: what is between convolutions is computed as it lies, and what is
//! neither is left as it was.

use super::op::{Broadcast, Concat, Map, Pad, Permute, Reduce, Reshape, Slice};
use super::{Graph, Node, NodeId, Op, Value};
use crate::error::Result;
use crate::tensor::Shape;
use std::collections::HashMap;

/// Axis `i` of `[N, C, H, W]` is axis `FIRST[i]` of `[N, H, W, C]`; and the other way round.
pub(super) const FIRST: [usize; 4] = [0, 3, 1, 2];
pub(super) const LAST: [usize; 4] = [0, 2, 3, 1];

/// An equal graph in which images lie channels last, and the roots' new values. `None` where there are no images.
pub fn channels_last(old: &Graph, roots: &[Value]) -> Result<Option<(Graph, Vec<Value>)>> {
    let moves = |n: &Node| matches!(&n.op, Op::Permute(Permute(axes)) if *axes == FIRST);
    if !old.nodes.iter().any(|n| moves(n) && makes_images(&old.nodes[n.inputs[0].node])) {
        return Ok(None);
    }
    let mut pass = Pass { old, new: Graph::default(), plain: HashMap::new(), images: HashMap::new() };
    for id in 0..old.nodes.len() {
        pass.place(id)?;
    }
    let roots = roots.iter().map(|v| pass.plain(*v)).collect::<Result<_>>()?;
    Ok(Some((pass.new, roots)))
}

/// Whether a node computes with images channels last.
fn makes_images(n: &Node) -> bool {
    matches!(n.op, Op::Conv(_) | Op::MaxPool(_) | Op::Resample(_))
}

struct Pass<'a> {
    old: &'a Graph,
    new: Graph,
    /// What stands for a value of the old graph.
    plain: HashMap<Value, Value>,
    /// What stands for it with its channels last, of values that are images.
    images: HashMap<Value, Value>,
}

impl Pass<'_> {
    /// A node of the new graph on behalf of an old one.
    fn add(&mut self, of: NodeId, op: impl Into<Op>, x: &[Value]) -> Result<Value> {
        let n = &self.old.nodes[of];
        Ok(self.new.add(op.into(), x, &n.layer, n.place)?.into())
    }

    /// What stands for a value as it was.
    fn plain(&mut self, v: Value) -> Result<Value> {
        if let Some(&there) = self.plain.get(&v) {
            return Ok(there);
        }
        // it is an image, or it would be there
        let image = self.images[&v];
        let made = self.add(v.node, Permute(FIRST.to_vec()), &[image])?;
        self.plain.insert(v, made);
        Ok(made)
    }

    /// What stands for an operand `[N, C, H, W]`, or one that is repeated to that, channels last.
    fn last(&mut self, v: Value, of: NodeId) -> Result<Value> {
        if let Some(&image) = self.images.get(&v) {
            return Ok(image);
        }
        let shape = self.old.shape(v).clone();
        // what is repeated is brought into order as it was before
        if let Node { op: Op::Broadcast(_), inputs, .. } = &self.old.nodes[v.node]
            && shape.rank() == 4
        {
            let one = self.last(inputs[0], of)?;
            return self.add(v.node, Broadcast(moved(&shape)), &[one]);
        }
        let own = self.plain(v)?;
        if shape.size() == 1 {
            return Ok(own);
        }
        let mut four = vec![1; 4 - shape.rank()];
        four.extend_from_slice(shape.dims());
        let whole = Shape::from(four);
        let raised = if whole == shape { own } else { self.add(of, Reshape(whole), &[own])? };
        self.add(of, Permute(LAST.to_vec()), &[raised])
    }

    fn place(&mut self, id: NodeId) -> Result<()> {
        let node = &self.old.nodes[id];
        let (v, of_image) = (Value::from(id), |i: usize, p: &Self| p.images.contains_key(&node.inputs[i]));
        let (shape, alone) = (&node.outputs[0].shape, node.outputs.len() == 1);
        let any = (0..node.inputs.len()).any(|i| of_image(i, self));
        let four = alone && shape.rank() == 4;
        let image = match &node.op {
            Op::Permute(Permute(axes)) if *axes == FIRST => Some(self.plain(node.inputs[0])?),
            Op::Permute(Permute(axes)) if *axes == LAST && any => {
                let there = self.images[&node.inputs[0]];
                self.plain.insert(v, there);
                return Ok(());
            }
            Op::Map(op) if four && any => {
                let x = node.inputs.iter().map(|&x| self.last(x, id)).collect::<Result<Vec<_>>>()?;
                Some(self.add(id, Map(op.0.clone()), &x)?)
            }
            Op::Detach(_) if any => Some(self.images[&node.inputs[0]]),
            Op::Broadcast(_) if four && any => {
                let x = self.last(node.inputs[0], id)?;
                Some(self.add(id, Broadcast(moved(shape)), &[x])?)
            }
            Op::Concat(op) if four && (0..node.inputs.len()).all(|i| of_image(i, self)) => {
                let x: Vec<Value> = node.inputs.iter().map(|x| self.images[x]).collect();
                Some(self.add(id, Concat { axis: behind(op.axis) }, &x)?)
            }
            Op::Slice(op) if any => {
                let x = self.images[&node.inputs[0]];
                Some(self.add(id, Slice { start: LAST.map(|a| op.start[a]).to_vec(), shape: moved(&op.shape) }, &[x])?)
            }
            Op::Pad(op) if any => {
                let x = self.images[&node.inputs[0]];
                Some(self.add(id, Pad { before: LAST.map(|a| op.before[a]).to_vec(), shape: moved(&op.shape), value: op.value }, &[x])?)
            }
            Op::Reduce(op) if any => {
                let x = self.images[&node.inputs[0]];
                let mut axes: Vec<usize> = op.axes.iter().map(|&a| behind(a)).collect();
                axes.sort_unstable();
                let reduced = Reduce { kind: op.kind, axes, keep: op.keep };
                if op.keep {
                    Some(self.add(id, reduced, &[x])?)
                } else if order_is_kept(op) {
                    let made = self.add(id, reduced, &[x])?;
                    self.plain.insert(v, made);
                    return Ok(());
                } else {
                    None
                }
            }
            _ => None,
        };
        if let Some(image) = image {
            self.images.insert(v, image);
            return Ok(());
        }
        let x = node.inputs.iter().map(|&x| self.plain(x)).collect::<Result<Vec<_>>>()?;
        let made = self.add(id, node.op.clone(), &x)?.node;
        for output in 0..node.outputs.len() {
            self.plain.insert(Value { node: id, output }, Value { node: made, output });
        }
        Ok(())
    }
}

/// `[N, C, H, W]` as `[N, H, W, C]`.
fn moved(shape: &Shape) -> Shape {
    LAST.map(|axis| shape[axis]).into()
}

/// Where an axis of `[N, C, H, W]` stands in `[N, H, W, C]`.
fn behind(axis: usize) -> usize {
    FIRST[axis]
}

/// Whether the axes that a reduction leaves stand in the same order both ways.
fn order_is_kept(op: &Reduce) -> bool {
    let left: Vec<usize> = (0..4).filter(|a| !op.axes.contains(a)).map(behind).collect();
    left.is_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::ConvPart;
    use crate::graph::{Builder, Convolution, Field, Var, gradients, simplify};
    use crate::nn::{BatchNorm2d, Conv1d, Conv2d, ConvTranspose2d, Module, Scope};
    use crate::tensor::{DType, Order};

    /// The moves of a training step of the network, simplified: axes and shape.
    fn moves(net: impl Fn(&Scope, &Var) -> Var) -> Vec<(Vec<usize>, Shape)> {
        let b = Builder::new();
        let scope = Scope::root(&b, true);
        let x = b.batch(2, Field::new("x", DType::F32, [3, 6, 6]));
        let loss = net(&scope, &x).square().mean().value().unwrap();
        let wrt: Vec<Value> = scope.stored_parameters().iter().filter_map(|(_, v)| v.value()).collect();
        let mut g = b.finish().unwrap();
        let roots: Vec<Value> = gradients(&mut g, loss, &wrt).unwrap().into_iter().flatten().chain([loss]).collect();
        let (g, roots) = channels_last(&g, &roots).unwrap().unwrap();
        let (g, _) = simplify(&g, &roots).unwrap();
        let told = |n: &Node| match &n.op {
            Op::Permute(Permute(axes)) => Some((axes.clone(), n.outputs[0].shape.clone())),
            _ => None,
        };
        g.nodes.iter().filter_map(told).collect()
    }

    fn conv(s: &Scope, x: &Var, name: &str, channels: usize) -> Var {
        let w = s.ordered_param(name, [channels, x.shape()[1], 3, 3], crate::nn::Init::Ones, Order::of(LAST));
        x.conv2d(&w, Convolution::new().padding(1))
    }

    /// The data is brought into order once, and what a dense layer reads; nothing between convolutions is moved, forward or back, and no weight.
    #[test]
    fn only_the_data_is_moved() {
        let last = |x: &Var| x.mean_axes(&[2, 3]);
        let plain =
            moves(|s, x| last(&(conv(s, &conv(s, x, "a", 8).relu(), "b", 4) + s.param("bias", [4, 1, 1], crate::nn::Init::Zeros)).tanh()));
        assert_eq!(plain, [(LAST.to_vec(), Shape::from([2, 6, 6, 3]))]);
        let residual = moves(|s, x| {
            let x = s.at("norm").call(&BatchNorm2d::new(), &conv(s, x, "a", 8)).relu();
            let h = conv(s, &x, "b", 8);
            last(&(h.concat(&[&x], 1).slice(1, 2..10).pad(&[(0, 0), (0, 0), (1, 0), (0, 1)], 0.0)).relu())
        });
        assert_eq!(residual.len(), 1, "{residual:?}");
        let flat = moves(|s, x| conv(s, x, "a", 8).relu().flatten());
        assert_eq!(flat.len(), 3, "to the dense layer and back: {flat:?}");
    }

    /// Weights of layers are stored as convolutions read them: they and their gradients are moved nowhere.
    #[test]
    fn no_weight_is_moved() {
        let strip = |x: &Var| x.reshape([2, 9, 12]);
        type Net = fn(&Scope, &Var) -> Var;
        let nets: [(&str, Net); 3] = [
            ("Conv2d", |s, x| Conv2d::new(5, [3, 2]).forward(s, x)),
            ("ConvTranspose2d", |s, x| ConvTranspose2d::new(5, [3, 2]).forward(s, x)),
            ("Conv1d", |s, x| Conv1d::new(5, 3).forward(s, x)),
        ];
        for (name, net) in nets {
            let b = Builder::new();
            let scope = Scope::root(&b, true);
            let x = b.batch(2, Field::new("x", DType::F32, [3, 6, 6]));
            let y = net(&scope, &if name == "Conv1d" { strip(&x) } else { x });
            let loss = y.square().mean().value().unwrap();
            let wrt: Vec<Value> = scope.stored_parameters().iter().filter_map(|(_, v)| v.value()).collect();
            let mut g = b.finish().unwrap();
            let roots: Vec<Value> = gradients(&mut g, loss, &wrt).unwrap().into_iter().flatten().chain([loss]).collect();
            let (g, roots) = channels_last(&g, &roots).unwrap().unwrap();
            let (g, _) = simplify(&g, &roots).unwrap();
            let of_weights = |v: Value| {
                let op = &g.nodes[g.base(v).node].op;
                matches!(op, Op::Parameter(_)) || matches!(op, Op::Conv(c) if c.part == ConvPart::Weights)
            };
            let moved = g.nodes.iter().filter(|n| matches!(n.op, Op::Permute(_)) && of_weights(n.inputs[0])).count();
            assert_eq!(moved, 0, "{name}");
        }
    }

    /// What has no image is left alone.
    #[test]
    fn other_moves_stay() {
        let b = Builder::new();
        let x = b.parameter("x", [2, 3, 4, 5].into());
        let y = x.permute(&FIRST).tanh().permute(&LAST).value().unwrap();
        assert!(channels_last(&b.finish().unwrap(), &[y]).unwrap().is_none());
    }
}
