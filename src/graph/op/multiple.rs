//! Values that are a constant multiple of a number of the state: a formula reads that number, and takes the constant into itself.

use super::{Map, Op};
use crate::expr::{Binary, Expr, Node as Term, Tape, Unary};
use crate::graph::{Graph, Node, Value};

/// The number of the state that a value of one element is a constant multiple of, with that constant.
///
/// A formula in a simplified graph reads the number itself: what stood between the two went into the formula. So no chain of formulas is walked.
pub(super) fn multiple(g: &Graph, mut v: Value) -> Option<(Value, f64)> {
    loop {
        let is_state = |v: &Value| matches!(g.nodes[v.node].op, Op::State(_));
        match &g.nodes[v.node] {
            Node { op: Op::State(_), .. } => return Some((v, 1.0)),
            Node { op: Op::Reshape(_) | Op::Broadcast(_), inputs, .. } => v = inputs[0],
            Node { op: Op::Map(Map(f)), inputs, .. } if inputs.len() == 1 && is_state(&inputs[0]) => {
                return linear(f, 1.0).map(|c| (inputs[0], c));
            }
            _ => return None,
        }
    }
}

/// `c * x`, folded in f64 as a constant is: a loss that is not scaled has the same constants, so that its gradients have the same bits.
pub(super) fn times(tape: &mut Tape, x: usize, c: f64) -> usize {
    let c = tape.constant(c);
    tape.binary(Binary::Mul, c, x)
}

/// A formula's value at `x`, if it is a constant times `x`, however it is written.
fn linear(f: &Expr, x: f64) -> Option<f64> {
    // the power of x in each node that is a product
    let mut powers: Vec<Option<i32>> = Vec::with_capacity(f.nodes().len());
    for n in f.nodes() {
        powers.push(match *n {
            Term::Input(_) => Some(1),
            Term::Const(_) => Some(0),
            Term::Unary(Unary::Neg, a) => powers[a],
            Term::Binary(Binary::Mul, a, b) => powers[a].zip(powers[b]).map(|(a, b)| a + b),
            Term::Binary(Binary::Div, a, b) => powers[a].zip(powers[b]).map(|(a, b)| a - b),
            Term::Binary(Binary::Add | Binary::Sub, a, b) => powers[a].filter(|p| Some(*p) == powers[b]),
            _ => None,
        });
    }
    (f.outputs().len() == 1 && powers[f.outputs()[0]] == Some(1)).then(|| f.eval::<f64>(&[x], &[])[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Scalar;

    #[test]
    fn products_are_seen() {
        let of = |f: fn(&Scalar) -> Scalar| linear(&Expr::of(1, |x| vec![f(&x[0])]), 1.0);
        assert_eq!(of(|x| x.clone()), Some(1.0));
        assert_eq!(of(|x| 0.3 * x * 0.1), Some(0.3 * 0.1));
        assert_eq!(of(|x| -(x / 3.0) + x), Some(1.0 - 1.0 / 3.0));
        assert_eq!(of(|x| x * x), None);
        assert_eq!(of(|x| x + 1.0), None);
        assert_eq!(of(|x| 2.0 / x), None);
        assert_eq!(of(|x| x.exp()), None);
    }
}
