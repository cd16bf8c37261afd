//! How a graph is made: calls on the handles of its values, and what is known of the place that makes them.

use super::{Draws, Field, Graph, Op, Value, op};
use crate::error::{Error, Result, is_own, layer, place};
use crate::tensor::Shape;
use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

/// Makes a graph from calls on [`Var`]s. The first bad call is kept, with its line; every later one on a poisoned handle does nothing.
#[derive(Debug, Clone, Default)]
pub struct Builder(pub(super) Rc<RefCell<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) graph: Graph,
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
            (None, None) => layer(&self.layer),
        }
    }
}

/// A value of the step being described: cheap to clone, without lifetime. Methods and operators never fail: the first mistake is
/// reported by `compile` with the line that made it.
#[derive(Debug, Clone)]
pub struct Var {
    pub(super) builder: Builder,
    pub(super) value: Option<Value>,
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
        self.node(op::Batch { batch, field }, &[])
    }

    /// A trainable parameter.
    #[track_caller]
    pub fn parameter(&self, name: &str, shape: Shape) -> Var {
        self.node(op::Parameter { name: name.into(), shape }, &[])
    }

    /// State that is not trained.
    #[track_caller]
    pub fn buffer(&self, name: &str, shape: Shape) -> Var {
        self.node(op::Buffer { name: name.into(), shape }, &[])
    }

    /// Random numbers, other ones in every step.
    #[track_caller]
    pub fn random(&self, draws: Draws) -> Var {
        self.node(op::Random(draws), &[])
    }

    /// One f32 everywhere.
    #[track_caller]
    pub fn constant(&self, value: f64, shape: impl Into<Shape>) -> Var {
        self.node(op::Constant { value, shape: shape.into() }, &[])
    }

    #[track_caller]
    pub(super) fn node(&self, op: impl Into<Op>, inputs: &[&Var]) -> Var {
        let at = Location::caller();
        let values: Option<Vec<Value>> = inputs.iter().map(|v| v.value).collect();
        let Some(values) = values else { return self.poisoned() };
        let mut s = self.0.borrow_mut();
        if s.closed {
            return Var { builder: self.clone(), value: None };
        }
        let (line, own) = (s.line, is_own(at));
        let State { graph, error, layer, about, .. } = &mut *s;
        match graph.add(op.into(), &values, layer, line.filter(|_| own).unwrap_or(at)) {
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
