//! Rows of a table by number, and sums by number.

use super::lowering::Lowering;
use super::unplaced::Place;
use crate::expr::Expr;
use crate::graph::NodeId;
use crate::kernels::{Gemm, Kernel, Map, ScatterAdd, ScatterLinks, Take};

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
        self.push(Kernel::Take(kernel), vec![table, indices, to.0], label);
    }

    /// Sums by index: a product with one-hot rows where the table is small, else zeros, the places in the order of their indices, the sums.
    pub(super) fn scatter_add(&mut self, node: NodeId, rows: usize, padding: Option<usize>) {
        let n = &self.g.nodes[node];
        let ((values, from), (indices, at)) = (self.place(n.inputs[0]), self.place(n.inputs[1]));
        let count = self.size(n.inputs[1]);
        let width = self.size(n.inputs[0]) / count.max(1);
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} to {}", self.g.shape(n.inputs[0]), self.g.shape(node.into())), &[]);
        if Gemm::sums_by_number(self.r.target, count, rows) {
            let mut gemm = Gemm::by_number(self.r.target, self.r.caps.registers, [rows, width, count]);
            (gemm.a.offset, gemm.b.offset, gemm.outputs, gemm.nothing) = (at, from, vec![to.1.into()], padding);
            gemm.spec.vb = gemm.b.in_fours(width);
            return self.push(Kernel::Gemm(gemm.by_vectors()), vec![indices, values, to.0], label);
        }
        self.zero(rows * width, to, &label);
        let (links, piece) = (self.temporary(ScatterLinks::words(count)), ScatterLinks::piece(self.r.target));
        let kernel = ScatterLinks { count, rows, width, padding, offsets: [at, to.1], piece };
        self.push(Kernel::ScatterLinks(kernel), vec![indices, links, to.0], format!("[{count}] for {label}"));
        let kernel = ScatterAdd::new(self.r.target, [count, width, rows], [from, at, to.1]);
        self.push(Kernel::ScatterAdd(kernel), vec![values, indices, links, to.0], label);
    }

    fn zero(&mut self, n: usize, to: Place, label: &str) {
        let map = Map::new(Expr::of(0, |_| vec![0.0.into()]), &[n], vec![], vec![to.1]);
        self.push(Kernel::Map(map), vec![to.0], format!("zeros for {label}"));
    }
}
