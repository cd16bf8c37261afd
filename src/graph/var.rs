mod elementwise;
mod movement;
mod operand;

pub use operand::Operand;

use super::{Draws, Field, Graph, Labels, Node, NodeId, Op, ReduceKind, Type, Value};
use crate::error::{Error, Result, is_own, place};
use crate::expr::{Activation, Expr};
use crate::tensor::{DType, Shape};
use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

/// Makes a graph from calls on [`Var`]s. The first bad call is kept, with its line; every later one on a poisoned handle does nothing.
#[derive(Debug, Clone, Default)]
pub struct Builder(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    graph: Graph,
    error: Option<Error>,
    layer: String,
    /// The user's line that called the layer of gradus' which is being built, or made it.
    line: Option<&'static Location<'static>>,
    /// What of gradus' is being built outside of layers: a loss or a metric.
    about: Option<String>,
    /// What the loss is a mean over, where that is not its rows.
    weight: Option<Var>,
    /// The graph was handed out: what a leaked `Var` still asks for is passed over.
    closed: bool,
}

impl State {
    /// What is known of the place that is being built.
    fn known(&self) -> String {
        match (&self.about, self.line) {
            (Some(what), _) => what.clone(),
            (None, Some(line)) => place(line),
            (None, None) if self.layer.is_empty() => "the model".into(),
            (None, None) => format!("the layer `{}`", self.layer),
        }
    }
}

/// A value of the step being described: cheap to clone, without lifetime. Methods and operators never fail: the first mistake is
/// reported by `compile` with the line that made it.
#[derive(Debug, Clone)]
pub struct Var {
    builder: Builder,
    value: Option<Value>,
}

impl Builder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The graph so far, or the first error.
    pub fn finish(self) -> Result<Graph> {
        let mut s = self.0.borrow_mut();
        s.closed = true;
        match s.error.take() {
            Some(e) => Err(e),
            None => Ok(std::mem::take(&mut s.graph)),
        }
    }

    /// Notes an error, unless there is one.
    pub fn fail(&self, e: Error) {
        let mut s = self.0.borrow_mut();
        let e = e.or_at(|| s.known());
        s.error.get_or_insert(e);
    }

    /// The user's line that further nodes of gradus' own code belong to, if this is one; gives the one before.
    pub(crate) fn on_line(&self, line: Option<&'static Location<'static>>) -> Option<&'static Location<'static>> {
        let mut s = self.0.borrow_mut();
        let before = s.line;
        s.line = line.filter(|l| !is_own(l)).or(before);
        before
    }

    /// Puts back what [`Builder::on_line`] gave.
    pub(crate) fn back_on_line(&self, line: Option<&'static Location<'static>>) {
        self.0.borrow_mut().line = line;
    }

    /// What messages call that which gradus builds from now on.
    pub(crate) fn about(&self, what: Option<String>) {
        self.0.borrow_mut().about = what;
    }

    /// A line as messages tell it: where it is gradus' own, the user's behind it.
    pub(crate) fn place(&self, l: &Location<'_>) -> String {
        if is_own(l) { self.0.borrow().known() } else { place(l) }
    }

    /// A handle that every further call passes over.
    pub fn poisoned(&self) -> Var {
        Var { builder: self.clone(), value: None }
    }

    /// Notes what a loss that is being made is a mean over: the sum of the weights of the rows that counted, one element.
    pub(crate) fn weighed_by(&self, total: Var) -> Var {
        self.0.borrow_mut().weight = Some(total.clone());
        total
    }

    /// What was noted last, if anything was.
    pub(crate) fn take_weight(&self) -> Option<Var> {
        self.0.borrow_mut().weight.take()
    }

    /// The layer that further nodes belong to; gives the one before.
    pub fn enter(&self, layer: &str) -> String {
        std::mem::replace(&mut self.0.borrow_mut().layer, layer.to_string())
    }

    /// A field of the batch.
    #[track_caller]
    pub fn batch(&self, batch: usize, field: Field) -> Var {
        self.node(Op::Batch { batch, field }, &[])
    }

    /// A trainable parameter.
    #[track_caller]
    pub fn parameter(&self, name: &str, shape: Shape) -> Var {
        self.node(Op::Parameter { name: name.into(), shape }, &[])
    }

    /// State that is not trained.
    #[track_caller]
    pub fn buffer(&self, name: &str, shape: Shape) -> Var {
        self.node(Op::Buffer { name: name.into(), shape }, &[])
    }

    /// Random numbers, other ones in every step.
    #[track_caller]
    pub fn random(&self, draws: Draws) -> Var {
        self.node(Op::Random(draws), &[])
    }

    /// One f32 everywhere.
    #[track_caller]
    pub fn constant(&self, value: f64, shape: impl Into<Shape>) -> Var {
        self.node(Op::Constant { value, shape: shape.into() }, &[])
    }

    #[track_caller]
    fn node(&self, op: Op, inputs: &[&Var]) -> Var {
        let at = Location::caller();
        let values: Option<Vec<Value>> = inputs.iter().map(|v| v.value).collect();
        let Some(values) = values else { return self.poisoned() };
        let mut s = self.0.borrow_mut();
        if s.closed {
            return Var { builder: self.clone(), value: None };
        }
        let (line, own) = (s.line, is_own(at));
        let State { graph, error, layer, about, .. } = &mut *s;
        match graph.add(op, &values, layer, line.filter(|_| own).unwrap_or(at)) {
            Ok(id) => Var { builder: self.clone(), value: Some(id.into()) },
            Err(e) => {
                let e = match about {
                    Some(what) if own => e.instead_at(what),
                    _ => e,
                };
                error.get_or_insert(e);
                Var { builder: self.clone(), value: None }
            }
        }
    }

    /// Goes on with a graph, on behalf of a layer.
    pub(super) fn over(graph: Graph, layer: &str) -> Self {
        let b = Builder::new();
        b.enter(layer);
        b.0.borrow_mut().graph = graph;
        b
    }

    /// The handle of a value.
    pub(super) fn var(&self, value: Option<Value>) -> Var {
        Var { builder: self.clone(), value }
    }

    /// Whether both make the same graph.
    pub(crate) fn same(&self, other: &Builder) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// A loss may be given to [`StepOut::new`](crate::train::StepOut::new) by reference, as outputs and metrics are.
impl From<&Var> for Option<Var> {
    fn from(v: &Var) -> Self {
        Some(v.clone())
    }
}

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

    /// If it was made by softmax or log-softmax, what went into that: either one of a log-softmax is that of its input.
    pub(crate) fn softmax_input(&self) -> Option<Var> {
        let v = self.value?;
        let s = self.builder.0.borrow();
        let node = s.graph.nodes.get(v.node)?;
        matches!(node.op, Op::Softmax { .. }).then(|| Var { builder: self.builder.clone(), value: Some(node.inputs[0]) })
    }

    /// Whether it was made by log-softmax.
    pub(crate) fn is_log_softmax(&self) -> bool {
        let s = self.builder.0.borrow();
        self.value.and_then(|v| s.graph.nodes.get(v.node)).is_some_and(|n| matches!(n.op, Op::Softmax { log: true }))
    }

    /// If it was made by a sigmoid, what went into that.
    pub(crate) fn sigmoid_input(&self) -> Option<Var> {
        let v = self.value?;
        let s = self.builder.0.borrow();
        let node = s.graph.nodes.get(v.node)?;
        let sigmoid = matches!(&node.op, Op::Map(f) if *f == Activation::Sigmoid.expr());
        sigmoid.then(|| Var { builder: self.builder.clone(), value: Some(node.inputs[0]) })
    }

    /// The node of such an op on these operands, if the graph has it.
    fn existing(&self, op: impl Fn(&Op) -> bool, inputs: &[&Var]) -> Option<NodeId> {
        let values: Vec<Value> = inputs.iter().map(|v| v.value).collect::<Option<_>>()?;
        self.builder.0.borrow().graph.nodes.iter().position(|n| op(&n.op) && n.inputs == values)
    }

    #[track_caller]
    pub(super) fn op(&self, op: Op, others: &[&Var]) -> Var {
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
    fn map(&self, f: Expr, others: &[&Var]) -> Var {
        let out = self.op(Op::Map(f), others);
        let [other] = others else { return out };
        for (labels, column) in [(self, *other), (*other, self)] {
            if out.value.is_some() && labels.is_field_against(column) {
                warn_of_square(labels, column, Location::caller());
            }
        }
        out
    }

    /// Whether this is a field `[n]` of the batch and the other a column `[n, 1]` that is computed: together they are `[n, n]`.
    fn is_field_against(&self, column: &Var) -> bool {
        let (shape, other) = (self.shape(), column.shape());
        if shape.rank() != 1 || shape[0] < 2 || other.dims() != [shape[0], 1] {
            return false;
        }
        let s = self.builder.0.borrow();
        let field = |v: Option<Value>| v.and_then(|v| s.graph.nodes.get(v.node)).is_some_and(|n| matches!(n.op, Op::Batch { .. }));
        // pairs of a field's values are meant
        let mut origin = column.value;
        while let Some(Node { op: Op::Reshape(_) | Op::ToF32, inputs, .. }) = origin.and_then(|v| s.graph.nodes.get(v.node)) {
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
    /// As [`Var::max_axes`]; the axes stay, with size 1.
    #[track_caller]
    pub fn max_keep(&self, axes: &[usize]) -> Var {
        self.reduce(ReduceKind::Max, axes.to_vec(), true)
    }
    #[track_caller]
    fn reduce(&self, kind: ReduceKind, axes: Vec<usize>, keep: bool) -> Var {
        self.op(Op::Reduce { kind, axes, keep }, &[])
    }

    /// The same elements under another shape.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Var {
        self.op(Op::Reshape(shape.into()), &[])
    }
    /// Repeated to a larger shape, by NumPy's rule.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Var {
        self.op(Op::Broadcast(shape.into()), &[])
    }
    /// Softmax over the last axis.
    #[track_caller]
    pub fn softmax(&self) -> Var {
        self.op(Op::Softmax { log: false }, &[])
    }
    /// The logarithm of softmax over the last axis: finite where softmax underflows to 0.
    #[track_caller]
    pub fn log_softmax(&self) -> Var {
        self.op(Op::Softmax { log: true }, &[])
    }
    /// The mean softmax cross-entropy of `[rows, classes]` logits, `[]`; labels are classes (u32 `[rows]`) or probabilities.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Var) -> Var {
        self.cross_entropy_smoothed(labels, 0.0)
    }
    /// As [`Var::cross_entropy`] for the targets `(1 - smoothing) * target + smoothing / classes` (label smoothing; Szegedy et al. 2015).
    #[track_caller]
    pub fn cross_entropy_smoothed(&self, labels: &Var, smoothing: f64) -> Var {
        self.op(Op::CrossEntropy { labels: labels.label_kind(), smoothing }, &[labels])
    }
    /// The fraction of rows whose largest score is the label's, `[]`.
    #[track_caller]
    pub fn accuracy(&self, labels: &Var) -> Var {
        // the cross-entropy kernel counts hits anyway; softmax does not move the largest
        let scores = self.softmax_input().unwrap_or_else(|| self.clone());
        let kind = labels.label_kind();
        let counts = |op: &Op| matches!(op, Op::CrossEntropy { labels, .. } if *labels == kind);
        match self.existing(counts, &[&scores, labels]) {
            Some(node) => Var { builder: self.builder.clone(), value: Some(Value { node, output: 2 }) },
            None => scores.op(Op::Accuracy(kind), &[labels]),
        }
    }

    fn label_kind(&self) -> Labels {
        if self.dtype() == DType::F32 { Labels::Probabilities } else { Labels::Classes }
    }
}

/// Once for each line: a label that is repeated along the batch trains on the wrong loss, as PyTorch's `mse_loss` warns.
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

macro_rules! operator {
    ($trait:ident, $method:ident, $op:tt) => {
        impl $trait<&Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: &Var) -> Var {
                self.map(Expr::of(2, |x| vec![&x[0] $op &x[1]]), &[r])
            }
        }
        impl $trait<Var> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: Var) -> Var { (&self).$method(&r) }
        }
        impl $trait<&Var> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: &Var) -> Var { (&self).$method(r) }
        }
        impl $trait<Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: Var) -> Var { self.$method(&r) }
        }
        operator!(@number $trait, $method, $op);
    };
    (@number $trait:ident, $method:ident, $op:tt) => {
        impl $trait<f64> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: f64) -> Var { self.map(Expr::of(1, |x| vec![&x[0] $op r]), &[]) }
        }
        impl $trait<f64> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: f64) -> Var { (&self).$method(r) }
        }
        impl $trait<&Var> for f64 {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: &Var) -> Var { r.map(Expr::of(1, |x| vec![self $op &x[0]]), &[]) }
        }
        impl $trait<Var> for f64 {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: Var) -> Var { self.$method(&r) }
        }
    };
}
operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl Neg for &Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        self.map(Expr::of(1, |x| vec![-&x[0]]), &[])
    }
}
impl Neg for Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        -&self
    }
}
