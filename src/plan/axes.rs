//! The axes of a product's result: which of them are rows, and which the batch.

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

/// The axes of a product's result `[.., rows, columns]` as its kernel counts them: those over which all operands step evenly are one.
#[derive(Debug)]
pub(super) struct Axes {
    /// The axes that are rows; none where there is one.
    rows: Vec<usize>,
    /// Those of the batch, two at most.
    batch: [Vec<usize>; 2],
}

impl Axes {
    /// For operands of these steps over the result: both factors, and what rides on the product. The left one is read `by_terms` if those lie side
    /// by side. `None` where the batch would have more than two axes.
    pub(super) fn of(out: &Shape, [left, right]: [&[usize]; 2], by_terms: bool, riding: &[Vec<usize>]) -> Option<Self> {
        let row = out.rank() - 2;
        let own = out.strides();
        let all: Vec<&[usize]> = riding.iter().map(Vec::as_slice).chain([left, right, &own]).collect();
        let mut groups = merged(&out.dims()[..=row], &all, |_| false);
        // where the right factor is the same for all of them matrices of the batch are rows of one
        let single = out[row] == 1 && by_terms;
        let are_rows = |group: &Vec<usize>| (group.contains(&row) || single) && group.iter().all(|&axis| right[axis] == 0);
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
            let (out, factors) = (Shape::from(out), [steps[0], steps[steps.len() - 1]]);
            let riding: Vec<Vec<usize>> = steps[1..steps.len() - 1].iter().map(|s| s.to_vec()).collect();
            Axes::of(&out, factors, true, &riding).map(|a| (a.rows(&out), a.batch(&out)))
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
