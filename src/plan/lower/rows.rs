//! What runs over rows: softmax, losses and metrics of classes, running sums, the place of the largest.

use super::lowering::Lowering;
use crate::graph::{NodeId, Op, Value};
use crate::kernels::{CrossEntropy, Kernel, Softmax};
use crate::plan::fuse::Group;

impl Lowering<'_> {
    /// A group whose core runs over rows, or alone.
    pub(super) fn rows(&mut self, node: NodeId, group: &Group) {
        let n = &self.g.nodes[node];
        let (x, offset) = self.place(n.inputs[0]);
        let shape = self.g.shape(n.inputs[0]).clone();
        let (width, rows) = (shape.last(), shape.size() / shape.last());
        let half = self.half(n.inputs[0]);
        let label = self.label(node, &shape, &group.maps);
        match n.op {
            Op::Softmax { log } => {
                let to = self.assign(node.into());
                if width > Softmax::LONG {
                    return self.long_softmax(log, [rows, width], (x, offset), half, to, &label);
                }
                let kernel = Softmax { log, rows, width, offsets: [offset, to.1], half };
                self.push(Kernel::Softmax(kernel), vec![x, to.0], label);
            }
            Op::CrossEntropy { labels, smoothing } => {
                let (y, y_offset) = self.place(n.inputs[1]);
                let part = |output| Value { node, output };
                let needed = |v: Value| self.groups.roots.contains(&v) || self.groups.readers.contains_key(&v);
                let gradient = needed(part(1));
                let long = width > CrossEntropy::LONG;
                let pieces = if long { width.div_ceil(CrossEntropy::PIECE) } else { 1 };
                let single = !long && CrossEntropy::is_single(self.r.target, rows, width);
                let (loss, hits) = (self.assign(part(0)), self.assign(part(2)));
                // what rides on the gradient takes its place
                let outputs = self.groups.outputs(group);
                let stored = outputs.first().copied().unwrap_or(part(1));
                let slope = gradient.then(|| self.assign(stored));
                let epilogue = outputs.first().map(|_| self.formula(group, Some(part(1)), &outputs));
                let epilogue = epilogue.map(|(f, inputs)| (f, inputs.first().map(|o| self.place(o.value))));
                let factor = epilogue.as_ref().and_then(|e| e.1);
                let to_loss = if single { loss } else { (self.temporary(rows * pieces), 0) };
                let to_hits = if single || long { hits } else { (self.temporary(rows), 0) };
                let kernel = CrossEntropy {
                    labels,
                    smoothing: smoothing as f32,
                    gradient,
                    single,
                    group: self.r.target.group(),
                    rows,
                    classes: width,
                    offsets: [offset, y_offset, to_loss.1, to_hits.1, slope.map_or(0, |p| p.1)],
                    epilogue: epilogue.map(|(f, factor)| (f, factor.map_or(0, |p| p.1))),
                    half,
                    half_gradient: gradient && self.half(stored),
                    pieces,
                };
                let mut buffers = vec![x, y, to_loss.0];
                buffers.extend((!long).then_some(to_hits.0));
                buffers.extend(slope.into_iter().chain(factor).map(|p| p.0));
                if long {
                    buffers.extend(self.long_rows(&kernel, x, y, &label));
                }
                self.push(Kernel::CrossEntropy(kernel), buffers, label.clone());
                if !single {
                    self.mean_of_rows(to_loss.0, rows, pieces, loss, "mean loss");
                    if needed(part(2)) {
                        let own = if long { self.hits(labels, [rows, width], (x, offset), (y, y_offset), half, &label) } else { to_hits.0 };
                        self.mean_of_rows(own, rows, 1, hits, "mean hits");
                    }
                }
            }
            Op::Accuracy(labels) => {
                let (y, y_offset) = self.place(n.inputs[1]);
                let hits = self.hits(labels, [rows, width], (x, offset), (y, y_offset), half, &label);
                let to = self.assign(node.into());
                self.mean_of_rows(hits, rows, 1, to, "mean hits");
            }
            Op::CumSum { reverse } => self.cumsum(node, reverse),
            Op::ArgMax { axis } => self.argmax(node, axis),
            Op::Take { .. } => self.take(node),
            Op::ScatterAdd { rows, padding } => self.scatter_add(node, rows, padding),
            Op::Custom(ref op) => self.custom(node, op),
            _ => {}
        }
    }

    /// Running sums over rows.
    fn cumsum(&mut self, node: NodeId, reverse: bool) {
        let n = &self.g.nodes[node];
        let (from, offset) = self.place(n.inputs[0]);
        let shape = self.g.shape(n.inputs[0]).clone();
        let (rows, width) = (shape.size() / shape.last().max(1), shape.last());
        let to = self.assign(node.into());
        let label = self.label(node, &shape, &[]);
        self.running(reverse, [rows, width], (from, offset), to, &label);
    }

    /// Where the largest stands.
    fn argmax(&mut self, node: NodeId, axis: usize) {
        let n = &self.g.nodes[node];
        let (from, offset) = self.place(n.inputs[0]);
        let shape = self.g.shape(n.inputs[0]).clone();
        let product = |dims: &[usize]| dims.iter().product::<usize>();
        let extents = [product(&shape.dims()[..axis]), shape[axis], product(&shape.dims()[axis + 1..])];
        let to = self.assign(node.into());
        let label = self.label(node, format!("{shape} over axis {axis}"), &[]);
        self.largest(extents, (from, offset), (self.half(n.inputs[0]), true), Some(to), &label);
    }
}
