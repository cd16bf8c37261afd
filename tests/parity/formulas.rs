//! The table of formulas beyond the activations and the operators of `cases.rs`: forward and backward, at an odd size and by fours.

use crate::make::{Case, Make, Order};
use gradus::graph::Var;
use gradus::nn::loss;
use gradus::tensor::Shape;

type Draw = fn(&Make, Shape) -> Var;
type Unary = fn(&Var) -> Var;
type Binary = fn(&Var, &Var) -> Var;

const ANY: Draw = |m, s| m.p(s);
const WIDE: Draw = |m, s| m.drawn(s, |u| 12.0 * u - 6.0);
const FAR: Draw = |m, s| m.drawn(s, |u| 16_000.0 * u - 8_000.0);
const POSITIVE: Draw = |m, s| m.positive(s);
const APART: Draw = |m, s| m.apart(s);
/// Few values, so that many are equal, 0 or a bound.
const WHOLE: Draw = |m, s| m.drawn(s, |u| (7.0 * u).floor() - 3.0);

/// A step, that says nothing by itself: its gradient is 0.
fn beside(step: Var, x: &Var) -> Var {
    (step + 0.5) * x
}

const UNARY: &[(&str, Draw, Unary)] = &[
    ("sign", WHOLE, |x| beside(x.sign(), x)),
    ("floor", WIDE, |x| beside(x.floor(), x)),
    ("expm1", ANY, |x| x.expm1()),
    ("expm1 near 0", |m, s| m.drawn(s, |u| 1e-2 * u - 5e-3), |x| x.expm1() * 100.0),
    ("sin", WIDE, |x| x.sin()),
    ("cos", WIDE, |x| x.cos()),
    ("sin of thousands", FAR, |x| x.sin()),
    ("cos of thousands", FAR, |x| x.cos()),
    ("softplus of small ones", |m, s| m.drawn(s, |u| -20.0 * u), |x| x.softplus()),
    ("leaky_relu 0.2", WHOLE, |x| x.leaky_relu(0.2)),
    ("leaky_relu -0.5", ANY, |x| x.leaky_relu(-0.5)),
    ("elu 0.3", WIDE, |x| x.elu(0.3)),
    ("elu far below 0", |m, s| m.drawn(s, |u| -18.0 - 4.0 * u), |x| x.elu(1.0) * 1e8),
    ("mish far above 0", |m, s| m.drawn(s, |u| 30.0 * u), |x| x.mish()),
    ("relu6 at its kinks", |m, s| m.drawn(s, |u| (3.0 * u).floor() * 3.0), |x| x.relu6()),
    ("clamp", ANY, |x| x.clamp(-0.7, 1.1)),
    ("clamp at its bounds", WHOLE, |x| x.clamp(-1.0, 2.0)),
    ("clamp from below", ANY, |x| x.clamp(-0.7, f64::INFINITY)),
    ("pow 3", ANY, |x| x.pow(3.0)),
    ("pow -2", APART, |x| x.pow(-2.0)),
    ("pow 7", ANY, |x| x.pow(7.0)),
    ("pow 0.5", POSITIVE, |x| x.pow(0.5)),
    ("pow 1.7", POSITIVE, |x| x.pow(1.7)),
    ("pow -0.3", POSITIVE, |x| x.pow(-0.3)),
    ("pow 9 of both signs", |m, s| m.drawn(s, |u| 2.4 * u - 1.2), |x| x.pow(9.0)),
    ("a choice of constants", WHOLE, |x| beside(x.greater(&x.number(0.0)).select(&x.number(2.0), &x.number(-0.3)), x)),
];

const BINARY: &[(&str, Draw, Draw, Binary)] = &[
    ("maximum", ANY, ANY, |x, y| x.maximum(y)),
    ("minimum", ANY, ANY, |x, y| x.minimum(y)),
    ("maximum of equal ones", WHOLE, WHOLE, |x, y| x.maximum(y)),
    ("minimum of equal ones", WHOLE, WHOLE, |x, y| x.minimum(y)),
    ("pow of both", POSITIVE, ANY, |x, y| x.pow_tensor(y)),
    ("less", WHOLE, WHOLE, |x, y| beside(x.less(y), x) + y),
    ("less_equal", WHOLE, WHOLE, |x, y| beside(x.less_equal(y), x) + y),
    ("greater", WHOLE, WHOLE, |x, y| beside(x.greater(y), x) + y),
    ("greater_equal", WHOLE, WHOLE, |x, y| beside(x.greater_equal(y), x) + y),
    ("equal", WHOLE, WHOLE, |x, y| beside(x.equal(y), x) + y),
    ("not_equal", WHOLE, WHOLE, |x, y| beside(x.not_equal(y), x) + y),
    ("select", WHOLE, WHOLE, |x, y| x.less(y).select(&x.tanh(), &(y * 3.0))),
    // -1 to -inf have no logarithm, and are not chosen
    ("select without the other", WHOLE, WHOLE, |x, y| x.greater(&x.number(0.0)).select(x, &x.number(1.0)).log() * y),
];

const ODD: &[usize] = &[1, 3, 7, 31, 33, 65, 255, 257];
const FOURS: &[usize] = &[4, 32, 64, 256, 1000];

pub fn formulas() -> Vec<Case> {
    let mut out = Vec::new();
    for (i, &(name, draw, f)) in UNARY.iter().enumerate() {
        // an odd size large enough to meet each of a few values
        for n in [ODD[4 + i % 4], FOURS[1 + i % 4]] {
            out.push(Case::new(format!("{name} [{n}]"), move |m| m.weigh(&f(&draw(m, [n].into())))));
        }
    }
    for &(name, left, right, f) in BINARY {
        for (a, b) in [(&[257][..], &[257][..]), (&[8, 32], &[8, 32]), (&[7, 33], &[33])] {
            out.push(Case::new(format!("{name} {a:?} {b:?}"), move |m| m.weigh(&f(&left(m, a.into()), &right(m, b.into())))));
        }
    }
    // what rides on a product and on a reduction
    for (name, f) in [("softplus", (|x| x.softplus()) as Unary), ("elu", |x| x.elu(1.0)), ("pow", |x| x.square().pow(1.3))] {
        out.push(Case::new(format!("{name} on a product"), move |m| m.weigh(&f(&m.p([9, 7]).matmul(&m.p([7, 36]))))));
        out.push(Case::new(format!("{name} in a sum"), move |m| m.weigh(&f(&m.p([7, 33])).sum_axes(&[1]))));
    }
    // losses of one's own, on a small network
    let losses: [(&str, Binary); 3] = [
        ("charbonnier", |y, t| ((y - t).square() + 1e-6).sqrt().mean()),
        ("huber", |y, t| {
            let d = (y - t).abs();
            d.less(&d.number(1.0)).select(&(d.square() * 0.5), &(d - 0.5)).mean()
        }),
        ("quantile", |y, t| ((t - y) * 0.9).maximum(&((t - y) * -0.1)).mean()),
    ];
    for (name, f) in losses {
        let loss = loss::custom(name, f);
        let case = move |m: &Make| {
            let (x, t) = (m.batch([7]), m.batch([]));
            let h = (x.matmul_with(&m.p([33, 7]), false, true) + m.p([33])).mish();
            let y = h.matmul_with(&m.p([1, 33]), false, true) + m.p([1]);
            loss.build(&y, &t) * m.order.batch as f64
        };
        out.push(Case::new(format!("the loss {name}"), case).over(Order::all(31)));
    }
    out
}
