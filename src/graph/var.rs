//! The methods of [`Var`], with which a user builds a step. Formulas, movements, operators and the rest stand in files of their own.

mod convolution;
mod custom;
mod elementwise;
mod index;
mod movement;
mod operand;
mod operators;
mod pooling;

pub use operand::Operand;

use super::{Builder, Labels, Node, NodeId, Op, ReduceKind, Type, Value, Var, op};
use crate::error::Error;
use crate::expr::{Activation, Expr};
use crate::tensor::{DType, Shape};
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

impl Var {
    /// Its shape; `[]` once an earlier call has failed.
    pub fn shape(&self) -> Shape {
        self.ty().map_or_else(Shape::default, |t| t.shape)
    }

    /// Its dtype; f32 once an earlier call has failed.
    pub fn dtype(&self) -> DType {
        self.ty().map_or(DType::F32, |t| t.dtype)
    }

    /// Its value in the graph, unless an earlier call has failed.
    pub fn value(&self) -> Option<Value> {
        self.value
    }

    /// The graph that it belongs to.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    fn ty(&self) -> Option<Type> {
        let v = self.value?;
        Some(self.builder.0.borrow().graph.nodes.get(v.node)?.outputs.get(v.output)?.clone())
    }

    /// The operand of the softmax or log-softmax that made this value, if one did. (The softmax of a log-softmax is that of its operand.)
    pub(crate) fn softmax_input(&self) -> Option<Var> {
        let v = self.value?;
        let s = self.builder.0.borrow();
        let node = s.graph.nodes.get(v.node)?;
        matches!(node.op, Op::Softmax(_)).then(|| Var { builder: self.builder.clone(), value: Some(node.inputs[0]) })
    }

    /// Whether a log-softmax made this value.
    pub(crate) fn is_log_softmax(&self) -> bool {
        let s = self.builder.0.borrow();
        self.value.and_then(|v| s.graph.nodes.get(v.node)).is_some_and(|n| matches!(n.op, Op::Softmax(op::Softmax { log: true })))
    }

    /// The operand of the sigmoid that made this value, if one did.
    pub(crate) fn sigmoid_input(&self) -> Option<Var> {
        let v = self.value?;
        let s = self.builder.0.borrow();
        let node = s.graph.nodes.get(v.node)?;
        let sigmoid = matches!(&node.op, Op::Map(op::Map(f)) if *f == Activation::Sigmoid.expr());
        sigmoid.then(|| Var { builder: self.builder.clone(), value: Some(node.inputs[0]) })
    }

    /// The operand of the ReLU that made this value, if one did.
    pub(crate) fn relu_input(&self) -> Option<Var> {
        let v = self.value?;
        let s = self.builder.0.borrow();
        let node = s.graph.nodes.get(v.node)?;
        let relu = matches!(&node.op, Op::Map(op::Map(f)) if *f == Activation::Relu.expr());
        relu.then(|| Var { builder: self.builder.clone(), value: Some(node.inputs[0]) })
    }

    /// The node of such an op whose first operands are these, if the graph has it.
    fn existing(&self, op: impl Fn(&Op) -> bool, inputs: &[&Var]) -> Option<NodeId> {
        let values: Vec<Value> = inputs.iter().map(|v| v.value).collect::<Option<_>>()?;
        self.builder.0.borrow().graph.nodes.iter().position(|n| op(&n.op) && n.inputs.starts_with(&values))
    }

    #[track_caller]
    pub(crate) fn op(&self, op: impl Into<Op>, others: &[&Var]) -> Var {
        if others.iter().any(|o| !o.builder.same(&self.builder)) {
            self.builder.fail(Error::Unsupported {
                what: "mixing values of two models".into(),
                at: crate::error::place(Location::caller()),
                help: "use a Var only inside the `forward` call that made it".into(),
            });
            return self.builder.poisoned();
        }
        let mut inputs = vec![self];
        inputs.extend_from_slice(others);
        self.builder.node(op, &inputs)
    }

    #[track_caller]
    pub(crate) fn map(&self, f: Expr, others: &[&Var]) -> Var {
        let out = self.op(op::Map(f), others);
        let [other] = others else { return out };
        for (labels, column) in [(self, *other), (*other, self)] {
            if out.value.is_some() && labels.is_field_against(column) {
                warn_of_square(labels, column, Location::caller());
            }
        }
        out
    }

    /// Whether this is a field `[n]` of the batch and the other a computed column `[n, 1]`, so that a formula of both gives `[n, n]`.
    fn is_field_against(&self, column: &Var) -> bool {
        let (shape, other) = (self.shape(), column.shape());
        if shape.rank() != 1 || shape[0] < 2 || other.dims() != [shape[0], 1] {
            return false;
        }
        let s = self.builder.0.borrow();
        let field = |v: Option<Value>| v.and_then(|v| s.graph.nodes.get(v.node)).is_some_and(|n| matches!(n.op, Op::Batch(_)));
        // a field against a column of the same field: all pairs are meant
        let mut origin = column.value;
        while let Some(Node { op: Op::Reshape(_) | Op::ToF32(_), inputs, .. }) = origin.and_then(|v| s.graph.nodes.get(v.node)) {
            origin = Some(inputs[0]);
        }
        field(self.value) && !field(origin)
    }

    /// The sum of all elements, `[]`.
    #[track_caller]
    pub fn sum(&self) -> Var {
        self.reduce(ReduceKind::Sum, (0..self.shape().rank()).collect(), false)
    }
    /// The mean of all elements, `[]`.
    #[track_caller]
    pub fn mean(&self) -> Var {
        self.reduce(ReduceKind::Mean, (0..self.shape().rank()).collect(), false)
    }
    /// The sum over these axes, which go away.
    #[track_caller]
    pub fn sum_axes(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Sum, axes.to_vec(), false)
    }
    /// The mean over these axes, which go away.
    #[track_caller]
    pub fn mean_axes(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Mean, axes.to_vec(), false)
    }
    /// The largest of all elements, `[]`; NaN if one is. Equal ones share the gradient.
    #[track_caller]
    pub fn max(&self) -> Var {
        self.reduce(ReduceKind::Max, (0..self.shape().rank()).collect(), false)
    }
    /// The largest over these axes, which go away (PyTorch's `amax`); NaN if one is. Equal ones share the gradient.
    #[doc(alias = "amax")]
    #[track_caller]
    pub fn max_axes(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Max, axes.to_vec(), false)
    }
    /// The smallest of all elements, `[]`; as [`Var::max`].
    #[track_caller]
    pub fn min(&self) -> Var {
        -(-self).max()
    }
    /// The smallest over these axes, which go away (PyTorch's `amin`); as [`Var::max_axes`].
    #[doc(alias = "amin")]
    #[track_caller]
    pub fn min_axes(&self, axes: &[usize]) -> Var {
        -(-self).max_axes(axes)
    }
    /// As [`Var::sum_axes`]; the axes stay, with size 1.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Sum, axes.to_vec(), true)
    }
    /// As [`Var::mean_axes`]; the axes stay, with size 1.
    #[track_caller]
    pub fn mean_keep(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Mean, axes.to_vec(), true)
    }
    /// As [`Var::mean_keep`], for statistics: summed as differences from the first element, `x0 + mean(x - x0)`, so that the mean of equal
    /// elements is that element to the bit, and values far from 0 lose nothing. Where the first element is far from all others, `mean_keep`
    /// is more exact.
    #[track_caller]
    pub fn mean_from_first(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::MeanFromFirst, axes.to_vec(), true)
    }
    /// The biased variance over these axes, which stay, with size 1: the mean of the squares of what each element is less their mean (PyTorch's
    /// `var(unbiased=False, keepdim=True)`). Over neighbouring axes that are not the last ones it is one pass over the elements, together with
    /// [`Var::mean_from_first`] of the same (Chan, Golub & LeVeque 1979); along rows it is two, in one launch. Over no axes it is 0.
    ///
    /// ```
    /// # use gradus::graph::Builder;
    /// let b = Builder::new();
    /// let x = b.parameter("x", [32, 7].into());
    /// assert_eq!(x.variance_keep(&[0]).shape().dims(), [1, 7]);
    /// ```
    #[track_caller]
    pub fn variance_keep(&self, axes: &[usize]) -> Var {
        let mut all = axes.to_vec();
        all.sort_unstable();
        all.dedup();
        if !all.is_empty() && all.windows(2).all(|two| two[0] + 1 == two[1]) {
            return self.reduce(ReduceKind::Variance, all, true);
        }
        // of axes that are apart, or of none
        (self - self.mean_from_first(axes)).square().mean_keep(axes)
    }
    /// As [`Var::max_axes`]; the axes stay, with size 1.
    #[track_caller]
    pub fn max_keep(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Max, axes.to_vec(), true)
    }
    #[track_caller]
    fn reduce(&self, kind: ReduceKind, axes: Vec<usize>, keep: bool) -> Var {
        self.op(op::Reduce { kind, axes, keep }, &[])
    }

    /// The same elements under another shape.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Var {
        self.op(op::Reshape(shape.into()), &[])
    }
    /// Repeated to a larger shape, by NumPy's rule.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Var {
        self.op(op::Broadcast(shape.into()), &[])
    }
    /// Softmax over the last axis.
    #[track_caller]
    pub fn softmax(&self) -> Var {
        self.op(op::Softmax { log: false }, &[])
    }
    /// The logarithm of softmax over the last axis: finite where softmax underflows to 0.
    #[track_caller]
    pub fn log_softmax(&self) -> Var {
        self.op(op::Softmax { log: true }, &[])
    }
    /// The mean softmax cross-entropy of `[.., classes]` logits over all rows, `[]`; labels are classes (u32 `[..]`) or probabilities.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Var) -> Var {
        self.cross_entropy_smoothed(labels, 0.0)
    }
    /// As [`Var::cross_entropy`] for the targets `(1 - smoothing) * target + smoothing / classes` (label smoothing; Szegedy et al. 2015).
    #[track_caller]
    pub fn cross_entropy_smoothed(&self, labels: &Var, smoothing: f64) -> Var {
        self.op(op::CrossEntropy { labels: labels.label_kind(), smoothing }, &[labels])
    }
    /// As [`Var::cross_entropy_smoothed`] for class labels (u32) one of which does not count: the mean over the rows of all others, and how many
    /// these are (`[]`; for [`StepOut::weight`](crate::train::StepOut::weight)). Where there are none the loss is 0, and so is its gradient.
    #[track_caller]
    pub fn cross_entropy_ignoring(&self, labels: &Var, smoothing: f64, ignored: u32) -> (Var, Var) {
        let counted = labels.counted(ignored);
        (self.op(op::CrossEntropy { labels: Labels::ClassesBut(ignored), smoothing }, &[labels, &counted]), counted)
    }
    /// The fraction of the rows of `[.., classes]` scores whose largest score is the label's, `[]`.
    #[track_caller]
    pub fn accuracy(&self, labels: &Var) -> Var {
        self.hits(labels, labels.label_kind(), &[])
    }
    /// As [`Var::accuracy`] for class labels (u32) one of which does not count: the fraction of the rows of all others (0 where there are none), and
    /// how many these are.
    #[track_caller]
    pub fn accuracy_ignoring(&self, labels: &Var, ignored: u32) -> (Var, Var) {
        let counted = labels.counted(ignored);
        (self.hits(labels, Labels::ClassesBut(ignored), &[&counted]), counted)
    }

    #[track_caller]
    fn hits(&self, labels: &Var, kind: Labels, counted: &[&Var]) -> Var {
        // the kernel of a cross-entropy counts hits anyway; softmax leaves the largest where it is
        let scores = self.softmax_input().unwrap_or_else(|| self.clone());
        let counts = |op: &Op| matches!(op, Op::CrossEntropy(op) if op.labels == kind);
        match self.existing(counts, &[&scores, labels]) {
            Some(node) => Var { builder: self.builder.clone(), value: Some(Value { node, output: 2 }) },
            None => scores.op(op::Accuracy(kind), &[&[labels], counted].concat()),
        }
    }

    /// How many of these labels are another class than the ignored one, `[]`.
    #[track_caller]
    pub(crate) fn counted(&self, ignored: u32) -> Var {
        self.to_f32().not_equal(f64::from(ignored)).sum()
    }

    fn label_kind(&self) -> Labels {
        if self.dtype() == DType::F32 { Labels::Probabilities } else { Labels::Classes }
    }
}

/// Warns once for each line: labels that are repeated along the batch give a wrong loss. PyTorch's `mse_loss` warns of the same.
fn warn_of_square(labels: &Var, column: &Var, at: &'static Location<'static>) {
    static TOLD: Mutex<Vec<&Location<'static>>> = Mutex::new(Vec::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.contains(&at) {
        return;
    }
    told.push(at);
    let (n, at) = (labels.shape()[0], crate::error::place(at));
    let (labels, column) = (labels.shape(), column.shape());
    crate::terminal::warn!(
        "{at}: a field {labels} of the batch meets {column} and gives [{n}, {n}], each row against all labels; if row by row is meant, \
         `reshape` one of them to the other's shape"
    );
}
