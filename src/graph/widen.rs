//! Images of one to three channels, padded to four: kernels read four channels at a time, and what computes by matrices nothing else.

use super::op::{Conv, ConvPart, Pad, Slice};
use super::{Graph, Node, Op, Value};
use crate::error::Result;
use crate::tensor::Shape;
use std::collections::HashMap;

/// So many channels are read at once.
const READ_TOGETHER: usize = 4;

/// An equal graph in which no convolution reads images of fewer channels, but one in groups, and the roots' new values.
pub fn four_channels(old: &Graph, roots: &[Value]) -> Result<(Graph, Vec<Value>)> {
    let (mut new, mut to) = (Graph::default(), HashMap::new());
    for (id, n) in old.nodes.iter().enumerate() {
        let x: Vec<Value> = n.inputs.iter().map(|v| to[v]).collect();
        let made = match &n.op {
            Op::Conv(conv) if is_narrow(old, n) => widened(&mut new, n, conv.clone(), &x)?.node,
            _ => new.add(n.op.clone(), &x, &n.layer, n.place)?,
        };
        to.extend((0..n.outputs.len()).map(|output| (Value { node: id, output }, Value { node: made, output })));
    }
    Ok((new, roots.iter().map(|v| to[v]).collect()))
}

/// Whether a node is a convolution of narrow images, or its gradient for the weights.
fn is_narrow(g: &Graph, n: &Node) -> bool {
    matches!(&n.op, Op::Conv(Conv { groups: 1, part: ConvPart::Forward | ConvPart::Weights, .. }) if g.shape(n.inputs[0])[3] < READ_TOGETHER)
}

/// The same convolution with channels of zeros behind, which add nothing; of its gradient for the weights what belongs to the others.
fn widened(g: &mut Graph, n: &Node, conv: Conv, x: &[Value]) -> Result<Value> {
    let mut pad = |v: Value| -> Result<Value> {
        let [a, b, c, _] = [0, 1, 2, 3].map(|axis| g.shape(v)[axis]);
        Ok(g.add(Pad { before: vec![0; 4], shape: [a, b, c, READ_TOGETHER].into(), value: 0.0 }.into(), &[v], &n.layer, n.place)?.into())
    };
    let (images, other) = (pad(x[0])?, if conv.part == ConvPart::Forward { pad(x[1])? } else { x[1] });
    let made = g.add(conv.into(), &[images, other], &n.layer, n.place)?.into();
    let shape: &Shape = &n.outputs[0].shape;
    if g.shape(made) == shape {
        return Ok(made);
    }
    Ok(g.add(Slice { start: vec![0; 4], shape: shape.clone() }.into(), &[made], &n.layer, n.place)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Convolution, channels_last, gradients, simplify};
    use crate::reference::{Data, evaluate};
    use crate::rng::Philox;

    /// Loss and gradients are the same numbers, and no product reads fewer than four channels.
    #[test]
    fn zeros_change_nothing() {
        for channels in 1..=5 {
            let b = Builder::new();
            let (x, w) = (b.parameter("x", [2, channels, 5, 4].into()), b.parameter("w", [3, channels, 3, 2].into()));
            let loss = x.conv2d(&w, Convolution::new().padding(1).stride([1, 2])).tanh().square().mean().value().unwrap();
            let wrt = [x.value().unwrap(), w.value().unwrap()];
            let mut g = b.finish().unwrap();
            let roots: Vec<Value> = gradients(&mut g, loss, &wrt).unwrap().into_iter().flatten().chain([loss]).collect();
            let (plain, at) = channels_last(&g, &roots).unwrap().unwrap();
            let (wide, to) = four_channels(&plain, &at).unwrap();
            let (wide, to) = simplify(&wide, &to).unwrap();
            let feed = |op: &Op| match op {
                Op::Parameter(p) => {
                    let mut rng = Philox::new(3, &p.name);
                    Some(Data::Real((0..p.shape.size()).map(|_| rng.uniform() - 0.5).collect()))
                }
                _ => None,
            };
            assert_eq!(evaluate::<f64>(&wide, &feed, &to).unwrap(), evaluate::<f64>(&plain, &feed, &at).unwrap(), "{channels}");
            let read: Vec<usize> = wide
                .nodes
                .iter()
                .filter_map(|n| match &n.op {
                    Op::Conv(Conv { part: ConvPart::Forward | ConvPart::Weights, .. }) => Some(wide.shape(n.inputs[0])[3]),
                    _ => None,
                })
                .collect();
            assert_eq!(read, [channels.max(READ_TOGETHER); 2]);
        }
    }
}
