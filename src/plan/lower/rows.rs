//! What runs over rows: the loss and the accuracy of classes, running sums, the place of the largest.

use super::long::Rows;
use super::lowering::Lowering;
use super::unplaced::Place;
use crate::graph::{Labels, NodeId, Value, op};
use crate::kernels::{CrossEntropy, Kernel};
use crate::plan::fuse::Group;

impl Lowering<'_> {
    /// The rows of a value along its last axis.
    fn rows(&self, v: Value) -> Rows {
        let shape = self.g.shape(v);
        Rows { rows: shape.size() / shape.last().max(1), width: shape.last(), at: self.place(v), half: self.half(v) }
    }

    /// Where the number stands of rows that count, where a label is ignored.
    fn counted(&self, labels: Labels, operand: Option<&Value>) -> Option<Place> {
        labels.ignored().and(operand).map(|v| self.place(*v))
    }

    /// The loss of classes, with the gradient and the hits where they are read.
    pub(super) fn cross_entropy(&mut self, node: NodeId, group: &Group, op: &op::CrossEntropy) {
        let n = &self.g.nodes[node];
        let (labels, smoothing) = (op.labels, op.smoothing as f32);
        let counted_rows = self.counted(labels, n.inputs.get(2));
        let x = self.rows(n.inputs[0]);
        let (rows, width) = (x.rows, x.width);
        let label = self.label(node, self.g.shape(n.inputs[0]), &group.maps);
        let y = self.place(n.inputs[1]);
        let part = |output| Value { node, output };
        let needed = |v: Value| self.groups.roots.contains(&v) || self.groups.readers.contains_key(&v);
        let (gradient, counted) = (needed(part(1)), needed(part(2)));
        let single = CrossEntropy::is_single(self.r.target, rows, width);
        let (loss, hits) = (self.assign(part(0)), self.assign(part(2)));
        // what rides on the gradient takes its place
        let outputs = self.groups.outputs(group);
        let stored = outputs.first().copied().unwrap_or(part(1));
        let slope = gradient.then(|| self.assign(stored));
        let epilogue = outputs.first().map(|_| self.formula(group, Some(part(1)), &outputs));
        let epilogue = epilogue.map(|(f, inputs)| (f, inputs.first().map(|o| self.place(o.value))));
        let factor = epilogue.as_ref().and_then(|e| e.1);
        let to_loss = if single { loss } else { (self.temporary(rows), 0) };
        let to_hits = if single { hits } else { (self.temporary(rows), 0) };
        let kernel = CrossEntropy {
            labels,
            smoothing,
            counted: counted_rows.map_or(0, |p| p.1),
            gradient,
            single,
            group: CrossEntropy::group_for(self.r.target, single, width),
            rows,
            classes: width,
            offsets: [x.at.1, y.1, to_loss.1, to_hits.1, slope.map_or(0, |p| p.1)],
            epilogue: epilogue.map(|(f, factor)| (f, factor.map_or(0, |p| p.1))),
            half: x.half,
            half_gradient: gradient && self.half(stored),
        };
        let mut buffers = vec![x.at.0, y.0, to_loss.0, to_hits.0];
        buffers.extend(slope.into_iter().chain(factor).chain(counted_rows).map(|p| p.0));
        self.push(Kernel::CrossEntropy(kernel), buffers, label);
        if !single {
            self.mean_of_rows(to_loss.0, rows, counted_rows, loss, "mean loss");
            if counted {
                self.mean_of_rows(to_hits.0, rows, counted_rows, hits, "mean hits");
            }
        }
    }

    /// The share of rows whose largest value is the label's.
    pub(super) fn accuracy(&mut self, node: NodeId, op: &op::Accuracy) {
        let n = &self.g.nodes[node];
        let x = self.rows(n.inputs[0]);
        let label = self.label(node, self.g.shape(n.inputs[0]), &[]);
        let y = self.place(n.inputs[1]);
        let counted_rows = self.counted(op.0, n.inputs.get(2));
        let hits = self.hits(op.0, x, y, &label);
        let to = self.assign(node.into());
        self.mean_of_rows(hits, x.rows, counted_rows, to, "mean hits");
    }

    /// Running sums over rows.
    pub(super) fn cumsum(&mut self, node: NodeId, reverse: bool) {
        let from = self.g.nodes[node].inputs[0];
        let x = self.rows(from);
        let to = self.assign(node.into());
        let label = self.label(node, self.g.shape(from), &[]);
        self.running(reverse, x, to, &label);
    }

    /// Where the largest stands.
    pub(super) fn argmax(&mut self, node: NodeId, axis: usize) {
        let n = &self.g.nodes[node];
        let (from, offset) = self.place(n.inputs[0]);
        let shape = self.g.shape(n.inputs[0]).clone();
        let product = |dims: &[usize]| dims.iter().product::<usize>();
        let extents = [product(&shape.dims()[..axis]), shape[axis], product(&shape.dims()[axis + 1..])];
        let to = self.assign(node.into());
        let label = self.label(node, format!("{shape} over axis {axis}"), &[]);
        self.largest(extents, (from, offset), self.half(n.inputs[0]), Some(to), &label);
    }
}
