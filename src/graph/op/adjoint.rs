//! How the rules build the nodes of a gradient. Each new node has the layer and the line of the node whose gradient it belongs to.

use super::{Adjoint, Broadcast, Map, Op, Reduce, ReduceKind, Reshape};
use crate::error::{Error, Result};
use crate::expr::{Expr, Scalar};
use crate::graph::{Graph, Node, Value};
use crate::tensor::Shape;

impl Adjoint<'_> {
    /// The gradient for the only result.
    pub fn grad(&self, g: &Graph) -> Result<Value> {
        self.grads[0].ok_or_else(|| self.unsupported(g, "a gradient through the second output of this op"))
    }

    /// Adds a node.
    pub fn add(&self, g: &mut Graph, op: impl Into<Op>, x: &[Value]) -> Result<Value> {
        g.derived(self.id, op, x)
    }

    /// A formula of these values.
    pub fn map(&self, g: &mut Graph, x: &[Value], f: impl FnOnce(&[Scalar]) -> Scalar) -> Result<Value> {
        self.add(g, Map(Expr::of(x.len(), |x| vec![f(x)])), x)
    }

    /// The sum over these axes, which stay as 1.
    pub fn sum_keep(&self, g: &mut Graph, v: Value, axes: Vec<usize>) -> Result<Value> {
        self.add(g, Reduce { kind: ReduceKind::Sum, axes, keep: true }, &[v])
    }

    /// The value under this shape.
    pub fn reshape(&self, g: &mut Graph, v: Value, shape: &Shape) -> Result<Value> {
        self.add(g, Reshape(shape.clone()), &[v])
    }

    /// The value repeated to this shape.
    pub fn repeat(&self, g: &mut Graph, v: Value, shape: &Shape) -> Result<Value> {
        self.add(g, Broadcast(shape.clone()), &[v])
    }

    /// The value summed over those axes along which a value of shape `to` was repeated.
    pub fn sum_to(&self, g: &mut Graph, v: Value, to: &Shape) -> Result<Value> {
        let full = g.shape(v).clone();
        if full == *to {
            return Ok(v);
        }
        if let Some(v) = self.sum_of_multiple(g, v, to)? {
            return Ok(v);
        }
        let skip = full.rank() - to.rank();
        let axes: Vec<usize> = (0..full.rank()).filter(|&i| i < skip || (to[i - skip] == 1 && full[i] != 1)).collect();
        let v = if axes.is_empty() { v } else { self.add(g, Reduce { kind: ReduceKind::Sum, axes, keep: false }, &[v])? };
        if g.shape(v) == to { Ok(v) } else { self.reshape(g, v, to) }
    }

    /// [`Adjoint::sum_to`] of what is negated, or times a value of that very shape: the sum comes first, so that what is summed is a value
    /// that others sum, too, as a bias beside a mean.
    fn sum_of_multiple(&self, g: &mut Graph, v: Value, to: &Shape) -> Result<Option<Value>> {
        let Node { op: Op::Map(Map(f)), inputs, .. } = &g.nodes[v.node] else { return Ok(None) };
        let inputs = inputs.clone();
        if f.is_identity() {
            return self.sum_of_multiple(g, inputs[0], to);
        }
        if *f == Expr::of(1, |x| vec![-&x[0]]) {
            let sum = self.sum_to(g, inputs[0], to)?;
            return Ok(Some(self.map(g, &[sum], |x| -&x[0])?));
        }
        if !f.is_product() {
            return Ok(None);
        }
        for (of, times) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] {
            if g.shape(times) == to && g.shape(of) == g.shape(v) {
                let sum = self.sum_to(g, of, to)?;
                return Ok(Some(self.map(g, &[sum, times], |x| &x[0] * &x[1])?));
            }
        }
        Ok(None)
    }

    /// The error that says that there is no such gradient.
    pub fn unsupported(&self, g: &Graph, what: &str) -> Error {
        let node = &g.nodes[self.id];
        Error::Unsupported {
            what: what.into(),
            at: format!("{}, {}", node.op.name(), node.site()),
            help: "take the loss from the op's first output, and labels from the data".into(),
        }
    }
}
