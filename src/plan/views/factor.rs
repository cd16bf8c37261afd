//! How a product steps through its factors.

use super::Views;
use crate::graph::op::ConvPart;
use crate::graph::{Graph, NodeId, Op, Value, op};
use crate::kernels::reshaped;
use crate::plan::axes::Axes;
use crate::tensor::Shape;

/// A factor of a product, as its kernel steps through it.
#[derive(Debug)]
pub(in crate::plan) struct Factor {
    /// Whose elements it reads.
    pub value: Value,
    /// The first one.
    pub offset: usize,
    /// The axis of the result that is its own: the rows, or the columns.
    pub own: usize,
    /// Its steps over the result; none along the axis that is the other factor's own.
    pub over: Vec<usize>,
    /// From one term to the next.
    pub term: usize,
    /// How many terms.
    pub terms: usize,
}

/// The steps of what is read over a convolution's result along the rows and columns of the product that makes it. `None` where they are not even.
pub(in crate::plan) fn matrix_steps(g: &Graph, conv: NodeId, steps: &[usize]) -> Option<[usize; 2]> {
    let Op::Conv(op) = &g.nodes[conv].op else { return None };
    let shape = g.shape(conv.into());
    let rows = if op.part == ConvPart::Weights { shape[0] } else { shape.size() / shape.last() };
    reshaped(shape.dims(), steps, &[rows, shape.size() / rows])?.try_into().ok()
}

impl Factor {
    /// Both factors of a product. `None` for one that no steps lead through.
    pub(in crate::plan) fn of(g: &Graph, views: &Views, product: NodeId, &op::MatMul { ta, tb }: &op::MatMul) -> [Option<Self>; 2] {
        let (inputs, r) = (&g.nodes[product].inputs, g.shape(product.into()).rank());
        let factor = |v: Value, own: usize, turned: bool| {
            let (shape, read) = (g.shape(v), views.resolve(g, v).filter(|s| s.pad.is_none())?);
            // a single matrix serves for the whole batch
            let mut over: Vec<usize> = (0..r).map(|axis| if shape[axis] == 1 { 0 } else { read.strides[axis] }).collect();
            (over[r - 2], over[r - 1]) = (0, 0);
            // its axes of terms and of its own rows or columns
            let (terms, along) = if turned == (own == r - 2) { (r - 2, r - 1) } else { (r - 1, r - 2) };
            over[own] = read.strides[along];
            Some(Factor { value: views.source(g, v), offset: read.offset, own, over, term: read.strides[terms], terms: shape[terms] })
        };
        [factor(inputs[0], r - 2, ta), factor(inputs[1], r - 1, tb)]
    }

    /// The axes of the result that a kernel counts with both factors, and with what rides on the product by its steps over the result.
    pub(in crate::plan) fn axes(left: &Self, right: &Self, out: &Shape, riding: &[Vec<usize>]) -> Option<Axes> {
        Axes::of(out, [&left.over, &right.over], left.term == 1, riding)
    }

    /// Whether it has rows, over this result.
    pub(in crate::plan) fn has_rows(&self, out: &Shape) -> bool {
        self.rows(self.over[self.own], out[self.own], false).is_some()
    }

    /// Whether its stored rows lie along the terms, and from one of those rows to the next; its other axis has so many elements, `step` apart.
    /// Where both axes can be it is as `wanted`. `None` where it has no rows, as neither axis has its elements side by side.
    pub(in crate::plan) fn rows(&self, step: usize, elements: usize, wanted: bool) -> Option<(bool, usize)> {
        let (along, across) = (self.term == 1 || self.terms == 1, step == 1 || elements == 1);
        match (along, across) {
            (true, true) => Some((wanted, if wanted { step } else { self.term })),
            (true, false) => Some((true, step)),
            (false, true) => Some((false, self.term)),
            (false, false) => None,
        }
    }
}
