//! The axes of a product's result: which of them are rows, and which the batch.

use super::views::Views;
use crate::graph::{Graph, NodeId, Value, op};
use crate::kernels::{merged, reshaped};
use crate::tensor::Shape;

/// The steps of a value's elements over a shape that it is repeated to, or that has as many elements.
pub(super) fn steps_over(own: &Shape, shape: &Shape) -> Vec<usize> {
    match own.size() {
        // of whatever rank: a reshape may stand between
        1 => vec![0; shape.rank()],
        n if n == shape.size() => shape.strides(),
        _ => own.broadcast_strides(shape),
    }
}

/// Whether a value that is repeated to one shape lies alike over another of as many elements.
pub(super) fn lies_alike(own: &Shape, shape: &Shape, other: &Shape) -> bool {
    if shape == other || own.size() == 1 || own.size() == shape.size() {
        return true;
    }
    let over = || reshaped(shape.dims(), &own.broadcast_strides(shape), other.dims());
    own.broadcast(other).as_ref() == Some(other)
        && over().is_some_and(|over| {
            let plain = own.broadcast_strides(other);
            (0..other.rank()).all(|axis| other[axis] == 1 || over[axis] == plain[axis])
        })
}

/// A factor of a product, as its kernel steps through it.
#[derive(Debug)]
pub(super) struct Factor {
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

impl Factor {
    /// Both factors of a product. `None` for one that no steps lead through.
    pub(super) fn of(g: &Graph, views: &Views, product: NodeId, &op::MatMul { ta, tb }: &op::MatMul) -> [Option<Self>; 2] {
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

    /// Whether it has rows, over this result.
    pub(super) fn has_rows(&self, out: &Shape) -> bool {
        self.rows(self.over[self.own], out[self.own], false).is_some()
    }

    /// Whether its stored rows lie along the terms, and from one of those rows to the next; its other axis has so many elements, `step` apart.
    /// Where both axes can be it is as `wanted`. `None` where it has no rows, as neither axis has its elements side by side.
    pub(super) fn rows(&self, step: usize, elements: usize, wanted: bool) -> Option<(bool, usize)> {
        let (along, across) = (self.term == 1 || self.terms == 1, step == 1 || elements == 1);
        match (along, across) {
            (true, true) => Some((wanted, if wanted { step } else { self.term })),
            (true, false) => Some((true, step)),
            (false, true) => Some((false, self.term)),
            (false, false) => None,
        }
    }
}

/// The axes of a product's result `[.., rows, columns]` as its kernel counts them: those over which all operands step evenly are one.
#[derive(Debug)]
pub(super) struct Axes {
    /// The axes that are rows; none where there is one.
    rows: Vec<usize>,
    /// Those of the batch, two at most.
    batch: [Vec<usize>; 2],
}

impl Axes {
    /// For these factors, and what rides on the product by its steps over the result. `None` where the batch would have more than two axes.
    pub(super) fn of(out: &Shape, left: &Factor, right: &Factor, riding: &[Vec<usize>]) -> Option<Self> {
        let row = out.rank() - 2;
        let own = out.strides();
        let all: Vec<&[usize]> = riding.iter().map(Vec::as_slice).chain([&left.over[..], &right.over, &own]).collect();
        let mut groups = merged(&out.dims()[..=row], &all, |_| false);
        // where the right factor is the same for all of them matrices of the batch are rows of one
        let single = out[row] == 1 && left.term == 1;
        let are_rows = |group: &Vec<usize>| (group.contains(&row) || single) && group.iter().all(|&axis| right.over[axis] == 0);
        let rows = groups.pop_if(|last| are_rows(last)).unwrap_or_default();
        let inner = groups.pop().unwrap_or_default();
        let outer = groups.pop().unwrap_or_default();
        groups.is_empty().then_some(Axes { rows, batch: [outer, inner] })
    }

    /// How many rows.
    pub(super) fn rows(&self, out: &Shape) -> usize {
        extent(&self.rows, out)
    }

    /// How many matrices along both axes of the batch.
    pub(super) fn batch(&self, out: &Shape) -> [usize; 2] {
        [0, 1].map(|i| extent(&self.batch[i], out))
    }

    /// From one row to the next, for an operand of these steps over the result.
    pub(super) fn row_step(&self, steps: &[usize]) -> usize {
        steps[self.rows.last().copied().unwrap_or(steps.len() - 2)]
    }

    /// From one matrix to the next along both axes of the batch.
    pub(super) fn batch_steps(&self, steps: &[usize]) -> [usize; 2] {
        [0, 1].map(|i| self.batch[i].last().map_or(0, |&axis| steps[axis]))
    }
}

fn extent(group: &[usize], of: &Shape) -> usize {
    group.iter().map(|&axis| of[axis]).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes of results, their operands' steps (the left factor's first, the right one's last) and rows and batch that the kernel counts.
    #[test]
    fn axes_are_rows_and_batch() {
        let told = |out: &[usize], steps: &[&[usize]]| {
            let (out, r) = (Shape::from(out), out.len());
            let factor = |over: &[usize], own: usize| {
                let value = Value { node: 0, output: 0 };
                Factor { value, offset: 0, own, over: over.to_vec(), term: 1, terms: 7 }
            };
            let (a, b) = (factor(steps[0], r - 2), factor(steps[steps.len() - 1], r - 1));
            let riding: Vec<Vec<usize>> = steps[1..steps.len() - 1].iter().map(|s| s.to_vec()).collect();
            Axes::of(&out, &a, &b, &riding).map(|a| (a.rows(&out), a.batch(&out)))
        };
        let own = |s: &[usize]| Shape::from(s).strides();
        // a plain product; one row; no batch at all
        assert_eq!(told(&[4, 5], &[&[7, 0], &[0, 1]]), Some((4, [1, 1])));
        assert_eq!(told(&[1, 5], &[&[7, 0], &[0, 1]]), Some((1, [1, 1])));
        // a bias on [N, H, W, C] is a bias on rows, where one matrix serves for all
        let bias: &[usize] = &[0, 0, 0, 1];
        let (a, shared): (&[usize], &[usize]) = (&[84, 28, 7, 0], bias);
        assert_eq!(told(&[2, 3, 4, 5], &[a, bias, shared]), Some((24, [1, 1])));
        // a value for each image: the batch again
        assert_eq!(told(&[2, 3, 4, 5], &[a, &[1, 0, 0, 0], shared]), Some((12, [1, 2])));
        // a matrix for each of (b, head); a mask for each b, or for each head
        let (a, b): (&[usize], &[usize]) = (&[84, 28, 7, 0], &[105, 35, 0, 1]);
        assert_eq!(told(&[2, 3, 4, 5], &[a, b]), Some((4, [1, 6])));
        assert_eq!(told(&[2, 3, 4, 5], &[a, &[20, 0, 5, 1], b]), Some((4, [2, 3])));
        assert_eq!(told(&[2, 3, 4, 5], &[a, &[0, 20, 5, 1], b]), Some((4, [2, 3])));
        // one row for each of a batch, and the same matrix: a product of as many rows
        assert_eq!(told(&[6, 1, 5], &[&[7, 7, 0], &[0, 0, 1]]), Some((6, [1, 1])));
        assert_eq!(told(&[6, 1, 5], &[&[7, 7, 0], &[35, 0, 1]]), Some((1, [1, 6])));
        // more than two axes that go their own ways
        let five = own(&[2, 3, 4, 5, 6]);
        assert_eq!(told(&[2, 3, 4, 5, 6], &[&five, &[0, 30, 0, 6, 1], &[96, 32, 8, 0, 1]]), None);
    }
}
