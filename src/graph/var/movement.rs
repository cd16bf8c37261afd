//! Methods that move elements, and matrix products whose leading axes broadcast.

use crate::error::{Error, place};
use crate::graph::layout::FIRST;
use crate::graph::{Op, Var, op};
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::Shape;
use std::ops::Range;
use std::panic::Location;

/// How many tensors one launch puts together where each lies in its own order: one buffer is the result's.
const TOGETHER: usize = STORAGE_BUFFERS - 1;

/// How many where some are read through slices or orders of axes, for which a launch needs more sizes.
const TOGETHER_SEEN: usize = 4;

impl Var {
    /// The axes in another order: axis `i` of the result is axis `axes[i]` of this one.
    ///
    /// Costs no launch where formulas read the result, nor where products, sums and means can step through it: products need the elements of one
    /// of a matrix' two axes side by side.
    #[track_caller]
    pub fn permute(&self, axes: &[usize]) -> Var {
        self.op(op::Permute(axes.to_vec()), &[])
    }

    /// Two axes change places.
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Var {
        let mut axes: Vec<usize> = (0..self.shape().rank()).collect();
        if a.max(b) >= axes.len() {
            return self.no_axis("transpose", a.max(b));
        }
        axes.swap(a, b);
        self.permute(&axes)
    }

    /// The transpose of a matrix.
    #[track_caller]
    pub fn t(&self) -> Var {
        self.permute(&[1, 0])
    }

    /// The elements of a range along one axis, PyTorch's `x[:, 2:5]` and `narrow`.
    #[doc(alias = "narrow")]
    #[track_caller]
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Var {
        let mut dims = self.shape().dims().to_vec();
        if axis >= dims.len() {
            return self.no_axis("slice", axis);
        }
        let mut start = vec![0; dims.len()];
        (start[axis], dims[axis]) = (range.start, range.end.saturating_sub(range.start));
        self.op(op::Slice { start, shape: dims.into() }, &[])
    }

    /// Pieces of these sizes along an axis. Their sum must be the axis' size.
    #[track_caller]
    pub fn split(&self, axis: usize, sizes: &[usize]) -> Vec<Var> {
        let shape = self.shape();
        let whole = shape.dims().get(axis).copied();
        if self.value().is_some() && whole != Some(sizes.iter().sum()) {
            let problem = format!("the sizes {sizes:?} do not make up axis {axis} of {shape}");
            let fault = self.fault("split", problem, "give sizes whose sum is the axis' size");
            return sizes.iter().map(|_| fault.clone()).collect();
        }
        let (mut at, mut out) = (0, Vec::with_capacity(sizes.len()));
        for n in sizes {
            out.push(self.slice(axis, at..at + n));
            at += n;
        }
        out
    }

    /// A value around the tensor: `(before, after)` elements for each axis, PyTorch's `F.pad(.., value=)`.
    #[track_caller]
    pub fn pad(&self, padding: &[(usize, usize)], value: f64) -> Var {
        let shape = self.shape();
        if self.value().is_some() && padding.len() != shape.rank() {
            let problem = format!("{} pairs for the {} axes of {shape}", padding.len(), shape.rank());
            return self.fault("pad", problem, "give (before, after) for each axis");
        }
        let dims: Vec<usize> = padding.iter().zip(shape.dims()).map(|((a, b), d)| a.saturating_add(*b).saturating_add(*d)).collect();
        self.op(op::Pad { before: padding.iter().map(|p| p.0).collect(), shape: dims.into(), value }, &[])
    }

    /// This tensor and others, one after another along an axis: PyTorch's `cat([x, y], axis)` is `x.concat(&[&y], axis)`. Seven are put together by one
    /// launch, four where some are slices or permuted.
    #[doc(alias = "cat")]
    #[track_caller]
    pub fn concat(&self, others: &[&Var], axis: usize) -> Var {
        let all: Vec<&Var> = [&[self], others].concat();
        let together = if all.iter().any(|v| v.is_seen()) { TOGETHER_SEEN } else { TOGETHER };
        if all.len() <= together {
            return self.op(op::Concat { axis }, others);
        }
        // put together as a tree, no part is copied more often than the tree is deep
        let mut joined = Vec::with_capacity(all.len().div_ceil(together));
        for group in all.chunks(together) {
            joined.push(group[0].concat(&group[1..], axis));
        }
        joined[0].concat(&joined[1..].iter().collect::<Vec<_>>(), axis)
    }

    /// Whether it is a part of another tensor or that in another order of axes; images are computed in the order that they are moved to.
    fn is_seen(&self) -> bool {
        let s = self.builder().0.borrow();
        let mut at = self.value();
        while let Some(n) = at.and_then(|v| s.graph.nodes.get(v.node)) {
            match &n.op {
                Op::Reshape(_) => at = n.inputs.first().copied(),
                Op::Permute(op::Permute(axes)) => return *axes != FIRST,
                op => return matches!(op, Op::Slice(_)),
            }
        }
        false
    }

    /// This tensor and others of its shape along a new axis: PyTorch's `stack([x, y], axis)` is `x.stack(&[&y], axis)`.
    #[track_caller]
    pub fn stack(&self, others: &[&Var], axis: usize) -> Var {
        let mut raised = Vec::with_capacity(others.len());
        for v in others {
            raised.push(v.unsqueeze(axis));
        }
        self.unsqueeze(axis).concat(&raised.iter().collect::<Vec<_>>(), axis)
    }

    /// Repeated to a larger shape: PyTorch's name for [`Var::broadcast_to`].
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Var {
        self.broadcast_to(shape)
    }

    /// With a new axis of size 1 in this place.
    #[track_caller]
    pub fn unsqueeze(&self, axis: usize) -> Var {
        let mut dims = self.shape().dims().to_vec();
        if axis > dims.len() {
            return self.no_axis("unsqueeze", axis);
        }
        dims.insert(axis, 1);
        self.reshape(dims)
    }

    /// Without this axis, which must have size 1.
    #[track_caller]
    pub fn squeeze(&self, axis: usize) -> Var {
        let mut dims = self.shape().dims().to_vec();
        if self.value().is_none() {
            return self.clone();
        }
        if dims.get(axis) != Some(&1) {
            let problem = format!("axis {axis} of {} has not the size 1", self.shape());
            return self.fault("squeeze", problem, "name an axis of size 1, counting from 0");
        }
        dims.remove(axis);
        self.reshape(dims)
    }

    /// `[batch, ..]` as `[batch, features]`.
    #[track_caller]
    pub fn flatten(&self) -> Var {
        let shape = self.shape();
        let rows = shape.dims().first().copied().unwrap_or(1);
        self.reshape([rows, shape.size() / rows.max(1)])
    }

    /// The index of the largest element along an axis, u32; the first of equals, and the first NaN if there is one (as in PyTorch).
    /// Nothing flows back through it.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Var {
        self.op(op::ArgMax { axis }, &[])
    }

    /// Running sums along an axis: `y[i] = x[0] + .. + x[i]`.
    #[track_caller]
    pub fn cumsum(&self, axis: usize) -> Var {
        let rank = self.shape().rank();
        if axis + 1 == rank {
            return self.op(op::CumSum { reverse: false }, &[]);
        }
        if axis >= rank {
            return self.no_axis("cumsum", axis);
        }
        self.transpose(axis, rank - 1).op(op::CumSum { reverse: false }, &[]).transpose(axis, rank - 1)
    }

    /// `[.., m, k]` times `[.., k, n]` is `[.., m, n]`. The axes in front broadcast as in PyTorch; a vector on the left is a row, on the
    /// right a column, and its axis goes away again.
    #[track_caller]
    pub fn matmul(&self, other: &Var) -> Var {
        let (a, b) = (self.shape(), other.shape());
        match (a.rank(), b.rank()) {
            (1, r) if r >= 2 => {
                let y = self.unsqueeze(0).matmul(other);
                let axis = y.shape().rank().saturating_sub(2);
                y.squeeze(axis)
            }
            (r, 1) if r >= 1 => {
                let left = if r == 1 { self.unsqueeze(0) } else { self.clone() };
                let y = left.matmul(&other.unsqueeze(1));
                let y = y.squeeze(y.shape().rank().saturating_sub(1));
                if r == 1 { y.squeeze(0) } else { y }
            }
            _ => self.matmul_with(other, false, false),
        }
    }

    /// As [`Var::matmul`] on matrices, reading an operand as its transpose where its flag is set.
    #[track_caller]
    pub fn matmul_with(&self, other: &Var, transpose_self: bool, transpose_other: bool) -> Var {
        let op = op::MatMul { ta: transpose_self, tb: transpose_other };
        let (sa, sb) = (self.shape(), other.shape());
        if sa.rank() < 2 || sb.rank() < 2 || (sa.rank() == 2 && sb.rank() == 2) {
            return self.op(op, &[other]);
        }
        if sb.rank() == 2 && !transpose_self {
            // one product over all rows
            let n = sa.rank() - 1;
            let y = self.reshape([sa.size() / sa[n].max(1), sa[n]]).op(op, &[other]);
            return if y.value().is_none() { y } else { y.reshape([&sa.dims()[..n], &[y.shape().last()]].concat()) };
        }
        let lead = |s: &Shape| Shape::from(&s.dims()[..s.rank() - 2]);
        match lead(&sa).broadcast(&lead(&sb)) {
            Some(front) => self.fit_matrices(&front).op(op, &[&other.fit_matrices(&front)]),
            None => self.op(op, &[other]),
        }
    }

    /// The matrices for a batch of this shape. A single matrix is read again for each; fewer than the batch are repeated.
    #[track_caller]
    fn fit_matrices(&self, front: &Shape) -> Var {
        let s = self.shape();
        let (own, matrix) = s.dims().split_at(s.rank() - 2);
        if own == front.dims() {
            return self.clone();
        }
        if own.iter().all(|&d| d == 1) {
            return self.reshape([&vec![1; front.rank()], matrix].concat());
        }
        self.broadcast_to([front.dims(), matrix].concat())
    }

    #[track_caller]
    fn no_axis(&self, op: &str, axis: usize) -> Var {
        if self.value().is_none() {
            return self.clone();
        }
        self.fault(op, format!("there is no axis {axis} in {}", self.shape()), "axes count from 0, outermost first")
    }

    #[track_caller]
    fn fault(&self, op: &str, problem: String, help: &str) -> Var {
        let at = place(Location::caller());
        self.builder().fail(Error::ShapeMismatch { op: op.into(), problem, at, help: help.into() });
        self.builder().poisoned()
    }
}
