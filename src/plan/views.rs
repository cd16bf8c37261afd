//! Movements that cost no launch: whoever reads their values steps through the elements that they move.

mod factor;

pub(super) use factor::{Factor, matrix_steps};

use super::step::Step;
use crate::graph::{Graph, Kind, NodeId, Op, Type, Value, View, op};
use crate::kernels::{DIMS, Map, PadBox, Strided, reshaped};
use crate::tensor::{DType, Shape};
use std::collections::HashSet;

/// The movements of a step that have no kernel.
#[derive(Debug, Default)]
pub(super) struct Views(HashSet<NodeId>);

impl Views {
    /// Those whose every reader can step through what they move.
    pub(super) fn of(step: &Step) -> Self {
        let g = &step.graph;
        let moves = |&id: &NodeId| g.kind(id) == Kind::Move && g.nodes[id].inputs.len() == 1 && g.ty(id.into()).dtype != DType::U32;
        let mut all = Views((0..g.nodes.len()).filter(moves).collect());
        step.roots().iter().for_each(|v| _ = all.0.remove(&g.base(*v).node));
        // without one of them those behind it may be read in other ways
        while !all.0.is_empty() {
            let stored = all.refused(g);
            if stored.is_empty() {
                break;
            }
            all.0.retain(|id| !stored.contains(id));
        }
        all
    }

    /// Whether this movement has no kernel.
    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }

    /// Whether a value lies in another's elements, in other places than in order.
    pub(super) fn sees(&self, g: &Graph, v: Value) -> bool {
        self.contains(g.base(v).node)
    }

    /// The value whose elements are read, behind reshapes and views.
    pub(super) fn source(&self, g: &Graph, v: Value) -> Value {
        let v = g.base(v);
        if self.contains(v.node) { self.source(g, g.nodes[v.node].inputs[0]) } else { v }
    }

    /// Where a value's elements lie in those of its source: the first one, and the steps along its axes. `None` where no steps lead to them.
    pub(super) fn resolve(&self, g: &Graph, v: Value) -> Option<Strided> {
        if self.contains(v.node) {
            return self.through(g, v.node, 0);
        }
        let shape = g.shape(v);
        if g.kind(v.node) != Kind::Alias || !self.sees(g, v) {
            return Some(Strided::new(0, shape.strides()));
        }
        let from = g.nodes[v.node].inputs[0];
        let whole = self.resolve(g, from).filter(|s| s.pad.is_none())?;
        Some(Strided::new(whole.offset, reshaped(g.shape(from).dims(), &whole.strides, shape.dims())?))
    }

    /// The same for an operand of a movement, over the movement's result.
    pub(super) fn through(&self, g: &Graph, node: NodeId, operand: usize) -> Option<Strided> {
        let moved = &g.nodes[node];
        let own = g.shape(moved.inputs[operand]);
        // a box within a box is more than one step leads through
        let from = self.resolve(g, moved.inputs[operand]).filter(|s| s.pad.is_none())?;
        let types: Vec<&Type> = moved.inputs.iter().map(|v| g.ty(*v)).collect();
        let View { order, start, within } = moved.op.rule().view(operand, &types);
        let real = matches!(moved.outputs[0].dtype, DType::F32 | DType::F16);
        let bits = |fill: f64| if real { (fill as f32).to_bits() } else { fill as u32 };
        Some(Strided {
            offset: from.offset + start.iter().zip(&from.strides).map(|(i, s)| i * s).sum::<usize>(),
            strides: order.iter().map(|&axis| from.strides[axis]).collect(),
            pad: within.map(|(before, fill)| PadBox { before, size: own.dims().to_vec(), fill: bits(fill) }),
        })
    }

    /// The movements that a reader cannot step through, as far as the others are views.
    fn refused(&self, g: &Graph) -> HashSet<NodeId> {
        let mut out = HashSet::new();
        for (id, n) in g.nodes.iter().enumerate() {
            let plain = |v: Value| self.resolve(g, v).filter(|s| s.pad.is_none());
            let reads = |i: usize, v: Value| match &n.op {
                Op::Reshape(_) => true,
                Op::Map(_) => self.resolve(g, v).is_some(),
                Op::Reduce(op) => plain(v).is_some_and(|s| along(g.shape(v), &s.strides, op).is_some()),
                Op::MatMul(op) => Factor::of(g, self, id, op)[i].as_ref().is_some_and(|f| f.has_rows(g.shape(id.into()))),
                // where each lies in its own order a row of sizes holds all
                Op::Concat(_) if Map::words(g.shape(id.into()).rank(), 0, n.inputs.len(), 0, 1) > DIMS => false,
                _ => n.op.kind() == Kind::Move && g.ty(v).dtype != DType::U32 && self.through(g, id, i).is_some(),
            };
            let seen: Vec<(usize, Value)> = n.inputs.iter().copied().enumerate().filter(|(_, v)| self.sees(g, *v)).collect();
            let mut stored: Vec<Value> = seen.iter().filter(|(i, v)| !reads(*i, *v)).map(|(_, v)| *v).collect();
            // each factor could be read, but not both of them
            if let (Op::MatMul(op), true) = (&n.op, stored.is_empty() && !seen.is_empty())
                && let [Some(left), Some(right)] = Factor::of(g, self, id, op)
                && Factor::axes(&left, &right, g.shape(id.into()), &[]).is_none()
            {
                stored.extend(seen.iter().map(|(_, v)| *v));
            }
            out.extend(stored.iter().map(|v| g.base(*v).node));
        }
        out
    }
}

/// The steps of a value over outer axes, reduced ones and inner axes, if they are even along each.
pub(super) fn along(shape: &Shape, steps: &[usize], op: &op::Reduce) -> Option<[usize; 3]> {
    reshaped(shape.dims(), steps, &extents(shape, op))?.try_into().ok()
}

/// Outer, reduced and inner elements of what a reduction reads.
pub(super) fn extents(shape: &Shape, op: &op::Reduce) -> [usize; 3] {
    let lo = op.axes.iter().min().copied().unwrap_or(shape.rank());
    let hi = op.axes.iter().max().map_or(lo, |m| m + 1);
    [0..lo, lo..hi, hi..shape.rank()].map(|r| shape.dims()[r].iter().product())
}

#[cfg(test)]
mod tests;
