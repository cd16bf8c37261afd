//! The primitives at their edges: values against C's and PyTorch's, slices against the plain evaluation, slopes against differences and,
//! at kinks, against what PyTorch 2.15 printed.

use super::{Binary, Evaluator, Expr, Scalar, Unary};

const UNARY: [Unary; 16] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sign,
    Unary::Floor,
    Unary::Exp,
    Unary::Expm1,
    Unary::Log,
    Unary::Sqrt,
    Unary::Sin,
    Unary::Cos,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Softplus,
    Unary::Erf,
    Unary::Relu,
    Unary::Positive,
];
const BINARY: [Binary; 10] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Max,
    Binary::Min,
    Binary::Pow,
    Binary::Less,
    Binary::LessEqual,
    Binary::Equal,
];
const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const EDGES: [f64; 18] = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1e-3, -1e-3, 90.0, -90.0, 1e30, INF, -INF, NAN];

fn one(f: impl FnOnce(&Scalar) -> Scalar) -> Expr {
    Expr::of(1, |x| vec![f(&x[0])])
}

fn two(f: impl FnOnce(&Scalar, &Scalar) -> Scalar) -> Expr {
    Expr::of(2, |x| vec![f(&x[0], &x[1])])
}

/// As f32, so that both sides overflow alike.
fn same(a: f64, b: f64) -> bool {
    let (a, b) = (f64::from(a as f32), f64::from(b as f32));
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-6 + 1e-5 * b.abs()
}

#[track_caller]
fn slices(f: &Expr, args: &[f64]) {
    let args32: Vec<f32> = args.iter().map(|&a| a as f32).collect();
    let mut e = Evaluator::new(f);
    e.chunk(|i, row| row.fill(args32[i]));
    let got = f64::from(e.output(0)[0]);
    let want = f.eval::<f64>(&args32.iter().map(|&a| f64::from(a)).collect::<Vec<_>>(), &[])[0];
    assert!(same(got, want), "{f:?} at {args:?}: {got} for {want}");
    let plain = f64::from(f.eval::<f32>(&args32, &[])[0]);
    assert!(same(plain, want), "{f:?} at {args:?} in f32: {plain} for {want}");
}

#[test]
fn slices_equal_scalars_at_the_edges() {
    let mut tape = super::Tape::default();
    let (x, y, c) = (tape.input(0), tape.input(1), tape.input(2));
    for u in UNARY {
        let v = tape.unary(u, x);
        EDGES.iter().for_each(|&a| slices(&tape.finish(1, &[v]), &[a]));
    }
    for b in BINARY {
        let v = tape.binary(b, x, y);
        EDGES.iter().for_each(|&p| EDGES.iter().for_each(|&q| slices(&tape.finish(2, &[v]), &[p, q])));
    }
    let v = tape.select(c, x, y);
    for condition in EDGES {
        slices(&tape.finish(3, &[v]), &[NAN, 2.0, condition]);
        slices(&tape.finish(3, &[v]), &[INF, NAN, condition]);
    }
}

#[test]
fn nan_comes_through() {
    for u in UNARY.into_iter().filter(|u| !matches!(u, Unary::Sign | Unary::Positive)) {
        assert!(u.apply(NAN).is_nan(), "{u:?}");
    }
    for (x, y) in [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (NAN, -INF), (INF, NAN)] {
        for b in [Binary::Max, Binary::Min] {
            assert!(b.apply(x, y).is_nan(), "{b:?} of {x} and {y}");
        }
        for b in [Binary::Less, Binary::LessEqual, Binary::Equal] {
            assert_eq!(b.apply(x, y), 0.0, "{b:?} of {x} and {y}");
        }
    }
    for f in [one(|x| x.clamp(-1.0, 1.0)), one(|x| x.leaky_relu(0.1)), one(|x| x.elu(2.0)), one(|x| x.not_equal(1.0).select(x, 0.0))] {
        slices(&f, &[NAN]);
        assert!(f.eval::<f64>(&[NAN], &[])[0].is_nan());
    }
}

#[test]
fn constants_fold() {
    let select = |c: f64| one(|x| Scalar::from(c).select(x, 7.0));
    assert!(select(2.0).is_identity() && select(NAN).is_identity());
    assert_eq!(select(0.0).eval::<f64>(&[1.0], &[]), [7.0]);
    assert_eq!(one(|x| x.pow(0.0)).eval::<f64>(&[NAN], &[]), [1.0]);
    assert!(one(|x| x.pow(1.0)).is_identity());
    assert!(one(|x| x.clamp(-INF, INF)).is_identity());
    for n in -8..=8 {
        let f = one(|x| x.pow(f64::from(n)));
        assert!(!f.nodes().iter().any(|n| matches!(n, super::Node::Binary(Binary::Pow, ..))), "{f:?}");
        assert!(same(f.eval::<f64>(&[-1.3], &[])[0], (-1.3f64).powi(n)));
    }
    assert!(one(|x| x.greater(2.0) + Scalar::from(1.0).less(2.0)).eval::<f64>(&[3.0], &[]) == [2.0]);
}

/// Central differences in f64, away from kinks.
#[test]
fn slopes_of_two_match_differences() {
    let formulas: [(&str, Expr); 6] = [
        ("maximum", two(|x, y| x.maximum(y))),
        ("minimum", two(|x, y| x.minimum(y))),
        ("pow", two(|x, y| (x.abs() + 0.1).pow(y))),
        ("negative base", two(|x, y| x.pow(3.0) + y.pow(-2.0) + y.pow(7.0) * 1e-3)),
        ("select", two(|x, y| x.less(y).select(x * y, x.exp() + y))),
        ("mix", two(|x, y| (x.sin() * y.cos()).expm1() + (x * y).softplus() + x.floor() * y.sign() + x.clamp(-0.5, 2.0) * y.square())),
    ];
    for (name, f) in formulas {
        for (i, j) in (-6..7).flat_map(|i| (-6..7).map(move |j| (i, j))) {
            let at = [f64::from(i) * 0.4 + 0.0317, f64::from(j) * 0.4 + 0.0519];
            let value = |p: [f64; 2]| f.eval::<f64>(&p, &[])[0];
            for k in 0..2 {
                let (mut up, mut down) = (at, at);
                (up[k], down[k]) = (at[k] + 1e-6, at[k] - 1e-6);
                let want = (value(up) - value(down)) / 2e-6;
                let got = f.gradient(k).unwrap().eval::<f64>(&[at[0], at[1], value(at), 1.0], &[])[0];
                assert!((want - got).abs() < 1e-6 * (1.0 + want.abs()), "{name} at {at:?}, input {k}: {got} for {want}");
            }
        }
    }
}

/// Values and slopes in f32 that are small and not 0: `mish`, and what comes of `exp(x) - 1`.
#[test]
fn far_below_0_little_is_left_and_not_nothing() {
    use super::Activation::{Elu, Mish, Selu};
    let f32s = |f: &Expr, args: &[f64]| {
        let mut e = Evaluator::new(f);
        e.chunk(|i, row| row.fill(args[i] as f32));
        f64::from(e.output(0)[0])
    };
    let near = |got: f64, want: f64| (got - want).abs() <= 1e-5 * want.abs();
    for x in [-87.0, -50.0, -20.0, -5.0, -0.1, 0.1, 5.0, 9.0, 20.0, 20.1, 50.0, 1e30] {
        let (got, want) = (f32s(&Mish.expr(), &[x]), x * Unary::Softplus.apply(x).tanh());
        // in f64 log(1 + e) is e
        assert!(near(got, if x < -20.0 { x * x.exp() } else { want }), "mish({x}): {got} for {want}");
    }
    for x in [-80.0f64, -30.0, -18.0, -5.0, -0.1] {
        for (f, scale) in [(Elu.expr(), 1.0), (Selu.expr(), 1.050_700_987_355_480_5 * 1.673_263_242_354_377_2), (one(|x| x.expm1()), 1.0)] {
            let got = f32s(&f.gradient(0).unwrap(), &[x, f32s(&f, &[x]), 1.0]);
            assert!(near(got, scale * x.exp()), "{f:?} at {x}: {got} for {}", scale * x.exp());
        }
    }
}

#[test]
fn kinks_are_as_in_pytorch() {
    let slope = |f: &Expr, x: f64| f.gradient(0).unwrap().eval::<f64>(&[x, f.eval::<f64>(&[x], &[])[0], 1.0], &[])[0];
    type Row<'a> = (&'a str, Expr, &'a [(f64, f64)]);
    let table: [Row<'_>; 9] = [
        ("leaky_relu", one(|x| x.leaky_relu(0.01)), &[(0.0, 0.01)]),
        ("elu", one(|x| x.elu(0.5)), &[(0.0, 0.5), (100.0, 1.0), (INF, 1.0), (-INF, 0.0)]),
        ("relu6", one(|x| x.relu6()), &[(0.0, 0.0), (6.0, 0.0), (3.0, 1.0)]),
        ("hardsigmoid", super::Activation::Hardsigmoid.expr(), &[(-3.0, 0.0), (3.0, 0.0)]),
        ("hardswish", super::Activation::Hardswish.expr(), &[(-3.0, 0.0), (3.0, 1.0), (0.0, 0.5)]),
        ("softplus", one(|x| x.softplus()), &[(0.0, 0.5), (100.0, 1.0), (INF, 1.0), (-INF, 0.0)]),
        ("abs", one(|x| x.abs()), &[(0.0, 0.0), (NAN, 0.0)]),
        ("clamp", one(|x| x.clamp(-1.0, 1.0)), &[(-1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (2.0, 0.0)]),
        ("square root", one(|x| x.pow(0.5)), &[(0.0, INF), (4.0, 0.25)]),
    ];
    for (name, f, points) in &table {
        for &(x, want) in *points {
            let got = slope(f, x);
            assert!(same(got, want), "{name} at {x}: {got} for {want}");
        }
    }
    let crossed = one(|x| x.clamp(2.0, 1.0));
    assert_eq!(crossed.eval::<f64>(&[5.0], &[]), [1.0]);
    assert_eq!(crossed.eval::<f64>(&[-5.0], &[]), [1.0]);
}

/// Base, exponent, value, gradients: as printed by `torch.pow`.
#[test]
fn pow_is_as_in_pytorch() {
    let table = [
        (0.0, 0.0, 1.0, [0.0, 0.0]),
        (0.0, 2.0, 0.0, [0.0, 0.0]),
        (0.0, 1.0, 0.0, [1.0, 0.0]),
        (0.0, -1.0, INF, [-INF, -INF]),
        (0.0, 0.5, 0.0, [INF, 0.0]),
        (-2.0, 3.0, -8.0, [12.0, NAN]),
        (-2.0, 2.0, 4.0, [-4.0, NAN]),
        (-2.0, 0.5, NAN, [NAN, NAN]),
        (NAN, 0.0, 1.0, [0.0, NAN]),
        (1.0, NAN, 1.0, [NAN, 0.0]),
        (2.0, 3.0, 8.0, [12.0, 8.0 * std::f64::consts::LN_2]),
        (INF, 2.0, INF, [INF, INF]),
        (-INF, 3.0, -INF, [INF, NAN]),
        (-2.0, INF, INF, [INF, NAN]),
        (2.0, -INF, 0.0, [NAN, 0.0]),
    ];
    let f = two(|x, y| x.pow(y));
    for (x, y, value, slopes) in table {
        assert!(same(f.eval::<f64>(&[x, y], &[])[0], value), "{x} ^ {y}");
        for (k, want) in slopes.into_iter().enumerate() {
            let got = f.gradient(k).unwrap().eval::<f64>(&[x, y, value, 1.0], &[])[0];
            assert!(same(got, want), "{x} ^ {y}, gradient {k}: {got} for {want}");
        }
    }
}

#[test]
fn equal_ones_share_the_gradient() {
    for f in [two(|x, y| x.maximum(y)), two(|x, y| x.minimum(y))] {
        let grads = |x: f64, y: f64| [0, 1].map(|k| f.gradient(k).unwrap().eval::<f64>(&[x, y, 0.0, 1.0], &[])[0]);
        assert_eq!(grads(1.5, 1.5), [0.5, 0.5]);
        assert_eq!(grads(NAN, 1.0), [1.0, 1.0]);
        assert_eq!(grads(1.0, 2.0).iter().sum::<f64>(), 1.0);
    }
}

/// Comparisons, signs and steps give no gradient at all: nothing is launched for them.
#[test]
fn steps_have_no_gradient() {
    for f in [one(|x| x.sign()), one(|x| x.floor()), one(|x| x.less(1.0)), one(|x| x.greater_equal(1.0)), one(|x| x.equal(x))] {
        assert!(f.gradient(0).is_none(), "{f:?}");
    }
}
