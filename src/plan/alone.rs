//! Operations that no map rides on, from nodes to kernels.

use super::draft::Place;
use super::fuse::Operand;
use super::lower::Lowering;
use super::view::strided;
use crate::expr::Expr;
use crate::graph::{Custom, NodeId, Type, Value};
use crate::kernels::{self, Kernel, Map, ScatterAdd, ScatterLinks, Take};

impl Lowering<'_> {
    /// Rows of a table by number.
    pub(super) fn take(&mut self, node: NodeId) {
        let n = &self.g.nodes[node];
        let ((table, from), (indices, at)) = (self.place(n.inputs[0]), self.place(n.inputs[1]));
        let shape = self.g.shape(n.inputs[0]).clone();
        let (rows, count) = (shape[0], self.size(n.inputs[1]));
        let width = shape.size() / rows;
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} of {shape}", self.g.shape(node.into())), &[]);
        let kernel = Take { count, width, rows, offsets: [from, at, to.1] };
        self.push(Kernel::Take(kernel), vec![table, indices, to.0], label, 0, count * (1 + 2 * width));
    }

    /// Sums by index: zeros, the chains of equal indices, the sums.
    pub(super) fn scatter_add(&mut self, node: NodeId, rows: usize, padding: Option<usize>) {
        let n = &self.g.nodes[node];
        let ((values, from), (indices, at)) = (self.place(n.inputs[0]), self.place(n.inputs[1]));
        let count = self.size(n.inputs[1]);
        let width = self.size(n.inputs[0]) / count.max(1);
        let flops = self.g.flops(node);
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} to {}", self.g.shape(n.inputs[0]), self.g.shape(node.into())), &[]);
        self.zero(rows * width, to, &label);
        let links = self.temporary(count);
        let kernel = ScatterLinks { count, rows, padding, offset: at };
        self.push(Kernel::ScatterLinks(kernel), vec![indices, links], format!("[{count}] for {label}"), 0, 2 * count);
        let kernel = ScatterAdd { count, width, rows, offsets: [from, at, to.1] };
        self.push(Kernel::ScatterAdd(kernel), vec![values, indices, links, to.0], label, flops, 2 * count * (1 + width));
    }

    /// An operation of the user's own.
    pub(super) fn custom(&mut self, node: NodeId, op: &Custom) {
        let n = &self.g.nodes[node];
        let types: Vec<&Type> = n.inputs.iter().map(|v| self.g.ty(*v)).collect();
        let kernel = op.op().kernel(&types, &n.outputs.iter().collect::<Vec<_>>());
        let (mut buffers, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        for v in &n.inputs {
            let (from, offset) = self.place(*v);
            buffers.push(from);
            inputs.push((self.g.ty(*v).clone(), offset));
        }
        for (output, ty) in n.outputs.iter().enumerate() {
            let (to, offset) = self.assign(Value { node, output });
            buffers.push(to);
            outputs.push((ty.clone(), offset));
        }
        let flops = self.g.flops(node);
        let elements = inputs.iter().chain(&outputs).map(|(t, _)| t.shape.size()).sum();
        let label = self.label(node, &n.outputs[0].shape, &[]);
        let at = n.site();
        self.push(Kernel::Custom(kernels::Custom { op: op.clone(), kernel, inputs, outputs, at }), buffers, label, flops, elements);
    }

    /// Elements of integers in other places.
    pub(super) fn integers(&mut self, node: NodeId) {
        let n = &self.g.nodes[node];
        let shape = n.outputs[0].shape.clone();
        let (from, offset) = self.place(n.inputs[0]);
        let read = strided(self.g, Operand { value: n.inputs[0], through: Some((node, 0)) }, offset, &shape);
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} {shape}", n.op.name()), &[]);
        self.push(Kernel::Map(Map::of_integers(shape.dims(), read, to.1)), vec![from, to.0], label, 0, 2 * shape.size());
    }

    /// Running sums over rows.
    pub(super) fn cumsum(&mut self, node: NodeId, reverse: bool) {
        let n = &self.g.nodes[node];
        let (from, offset) = self.place(n.inputs[0]);
        let shape = self.g.shape(n.inputs[0]).clone();
        let (rows, width) = (shape.size() / shape.last().max(1), shape.last());
        let to = self.assign(node.into());
        let label = self.label(node, &shape, &[]);
        self.running(reverse, [rows, width], (from, offset), to, &label);
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
        self.largest(extents, (from, offset), (self.half(n.inputs[0]), true), Some(to), &label);
    }

    fn zero(&mut self, n: usize, to: Place, label: &str) {
        let map = Map::new(Expr::of(0, |_| vec![0.0.into()]), &[n], vec![], vec![to.1]);
        self.push(Kernel::Map(map), vec![to.0], format!("zeros for {label}"), 0, n);
    }
}
