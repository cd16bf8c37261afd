//! The formulas of `Var`, each in mid-graph.

use super::gradients::{parameter, pass};
use crate::graph::Var;

#[test]
fn of_one_value() {
    type Formula = fn(&Var) -> Var;
    let formulas: [(&str, Formula); 14] = [
        ("expm1", |x| x.expm1()),
        ("sin", |x| (x * 5.0).sin()),
        ("cos", |x| (x * 5.0).cos()),
        ("leaky_relu", |x| x.leaky_relu(-0.3)),
        ("elu", |x| x.elu(0.7)),
        ("clamp", |x| x.clamp(-0.45, 0.8)),
        ("clamp below", |x| x.clamp(-0.45, f64::INFINITY)),
        ("clamp above", |x| x.clamp(f64::NEG_INFINITY, 0.8)),
        ("pow 3", |x| x.pow(3.0)),
        ("pow -2", |x| x.pow(-2.0)),
        ("pow 0.5", |x| x.square().pow(0.5)),
        ("pow 1.7", |x| x.abs().pow(1.7)),
        ("sign", |x| x.sign() * x),
        ("floor", |x| (x * 4.0).floor() * x),
    ];
    for (name, f) in formulas {
        pass(name, |b| f(&parameter(b, "x", &[3, 4])));
    }
}

#[test]
fn of_two_values() {
    type Formula = fn(&Var, &Var) -> Var;
    let formulas: [(&str, Formula); 8] = [
        ("maximum", |x, y| x.maximum(y)),
        ("minimum", |x, y| x.minimum(y)),
        ("pow", |x, y| x.abs().pow_tensor(y)),
        ("less", |x, y| x.less(y) * x + y),
        ("less_equal", |x, y| x.less_equal(y) * x + y),
        ("equal", |x, y| x.equal(x) * y + x.not_equal(y) * x),
        ("select", |x, y| x.greater(y).select(&x.exp(), &(x * y))),
        ("select as a mask", |x, y| x.greater_equal(&x.number(0.0)).select(x, &x.number(1.0)).log() + y),
    ];
    for (name, f) in formulas {
        for (a, c) in [(&[3, 4][..], &[3, 4][..]), (&[2, 3], &[3]), (&[3, 1], &[4])] {
            pass(&format!("{name} {a:?} {c:?}"), |b| f(&parameter(b, "x", a), &parameter(b, "y", c)));
        }
    }
}
