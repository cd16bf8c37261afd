//! Numbers of classes as values: 0, 1, 2 .., and one fixed number for each.

use super::{Builder, Op, Value, Var};
use crate::expr::{Expr, Scalar};
use crate::graph::Graph;
use crate::tensor::DType;

impl Builder {
    /// `[n]`: 0, 1, 2 .. The running sum of ones, so no number is stored.
    #[track_caller]
    pub(crate) fn counts(&self, n: usize) -> Var {
        self.constant(1.0, [n]).cumsum(0) - 1.0
    }

    /// `[n]`: these numbers.
    #[track_caller]
    pub(crate) fn table(&self, values: &[f64]) -> Var {
        match values {
            [first, rest @ ..] if rest.iter().any(|v| v != first) => {
                let f = Expr::of(1, |x| vec![choose(&x[0], 0, values)]);
                self.counts(values.len()).op(Op::Map(f), &[])
            }
            _ => self.constant(values.first().copied().unwrap_or(0.0), [values.len()]),
        }
    }
}

/// `values[x - first]`, by halves: as deep as the logarithm of how many there are.
fn choose(x: &Scalar, first: usize, values: &[f64]) -> Scalar {
    if let [v] = values {
        return (*v).into();
    }
    let (low, high) = values.split_at(values.len() / 2);
    let middle = first + low.len();
    x.less(middle as f64 - 0.5).select(choose(x, first, low), choose(x, middle, high))
}

/// Whether a table is [`Builder::counts`]: what is taken from it are class labels.
pub(crate) fn is_counts(g: &Graph, v: Value) -> bool {
    let node = &g.nodes[v.node];
    let sums = |v: &Value| {
        matches!(g.nodes[v.node].op, Op::CumSum { .. }) && matches!(g.nodes[g.nodes[v.node].inputs[0].node].op, Op::Constant { .. })
    };
    matches!(node.op, Op::Map(_)) && node.inputs.iter().all(sums)
}

impl Var {
    /// Class numbers as f32: labels (u32) below `classes`. A label beyond gives NaN; labels that come straight from the data are looked at
    /// before a step runs.
    #[track_caller]
    pub(crate) fn class_numbers(&self, classes: usize) -> Var {
        if self.dtype() == DType::U32 { self.builder().counts(classes).take(self) } else { self.clone() }
    }
}
