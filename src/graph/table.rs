//! Numbers of classes as values, the ordinals 1, 2, 3 ..: the running sum of ones, so that no number is stored. And tables of fixed numbers, one
//! for each class.

use super::{Builder, Graph, Op, Value, Var, op};
use crate::expr::{Expr, Scalar};

impl Builder {
    /// `[n]`: 1, 2, 3 ..
    #[track_caller]
    pub(crate) fn ordinals(&self, n: usize) -> Var {
        self.constant(1.0, [n]).cumsum(0)
    }

    /// `[n]`: these numbers.
    #[track_caller]
    pub(crate) fn table(&self, values: &[f64]) -> Var {
        match values {
            [first, rest @ ..] if rest.iter().any(|v| v != first) => {
                let f = Expr::of(1, |x| vec![choose(&x[0], 1, values)]);
                self.ordinals(values.len()).op(op::Map(f), &[])
            }
            _ => self.constant(values.first().copied().unwrap_or(0.0), [values.len()]),
        }
    }
}

/// The formula `values[x - first]`. It cuts the values in halves, so that its depth is the logarithm of their number.
fn choose(x: &Scalar, first: usize, values: &[f64]) -> Scalar {
    if let [v] = values {
        return (*v).into();
    }
    let (low, high) = values.split_at(values.len() / 2);
    let middle = first + low.len();
    x.less(middle as f64 - 0.5).select(choose(x, first, low), choose(x, middle, high))
}

/// Whether a table is [`Builder::ordinals`]. Then the indices into it are class labels.
pub(crate) fn is_ordinals(g: &Graph, v: Value) -> bool {
    let node = &g.nodes[v.node];
    matches!(node.op, Op::CumSum(_)) && matches!(g.nodes[node.inputs[0].node].op, Op::Constant(_))
}

impl Var {
    /// Class numbers (u32) as ordinals: f32, 1 for the first of `classes`. A number beyond the last class gives NaN; labels that come straight
    /// from the data are checked before a step runs.
    #[track_caller]
    pub(crate) fn class_ordinals(&self, classes: usize) -> Var {
        self.builder().ordinals(classes).take(self)
    }

    /// Rows of 0 and 1 for ordinals `[..]`: `[.., classes]`. An ordinal that is no class makes its row NaN.
    #[track_caller]
    pub(crate) fn one_hot_rows(&self, classes: usize) -> Var {
        // 0 / 0 is NaN where the ordinal is no class
        let f = Expr::of(2, |x| vec![x[0].equal(&x[1]) / x[0].less(classes as f64 + 0.5)]);
        let column = [self.shape().dims(), &[1]].concat();
        self.reshape(column).op(op::Map(f), &[&self.builder().ordinals(classes)])
    }
}
