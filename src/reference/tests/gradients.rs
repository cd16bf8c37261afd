//! Each op in mid-graph, so that its `grad_output` is neither 1 nor constant.

use super::checker::{Checked, check, field};
use crate::expr::Activation;
use crate::graph::{Builder, Var};
use crate::tensor::{DType, Shape};

/// The rest of a loss: reads the op's result twice.
fn mid(b: &Builder, y: &Var) -> Var {
    let w = b.parameter("w", y.shape());
    ((y * &w).tanh() * 3f64 + y * 0.5f64).mean()
}

#[track_caller]
pub(super) fn pass(name: &str, op: impl Fn(&Builder) -> Var) -> Checked {
    match check(name, |b| mid(b, &op(b))) {
        Ok(checked) => checked,
        Err(e) => panic!("{e}"),
    }
}

pub(super) fn parameter(b: &Builder, name: &str, shape: &[usize]) -> Var {
    b.parameter(name, Shape::from(shape))
}

#[test]
fn activations() {
    for a in Activation::ALL {
        pass(a.name(), |b| parameter(b, "x", &[3, 4]).activation(*a));
    }
}

#[test]
fn unary_functions() {
    let x = |b: &Builder| parameter(b, "x", &[2, 3]);
    pass("neg", |b| -x(b));
    pass("abs", |b| x(b).abs());
    pass("exp", |b| x(b).exp());
    pass("square", |b| x(b).square());
    pass("sqrt", |b| (x(b).square() + 0.5f64).sqrt());
    pass("log", |b| (x(b).square() + 0.5f64).log());
}

#[test]
fn binary_operators_broadcast() {
    let pairs: [(&[usize], &[usize]); 9] = [
        (&[2, 3], &[2, 3]),
        (&[3, 1], &[4]),
        (&[4], &[3, 1]),
        (&[], &[2, 3]),
        (&[2, 3], &[]),
        (&[], &[]),
        (&[1], &[3]),
        (&[2, 1, 3], &[4, 1]),
        (&[1, 1], &[2, 1, 2]),
    ];
    type Operator = fn(&Var, &Var) -> Var;
    let operators: [(&str, Operator); 4] = [("+", |x, y| x + y), ("-", |x, y| x - y), ("*", |x, y| x * y), ("/", |x, y| x / y)];
    for (name, f) in operators {
        for (l, r) in pairs {
            pass(&format!("{l:?} {name} {r:?}"), |b| f(&parameter(b, "l", l), &parameter(b, "r", r)));
        }
    }
}

#[test]
fn numbers() {
    let x = |b: &Builder| parameter(b, "x", &[2, 3]);
    pass("x + n", |b| x(b) + 1.5);
    pass("x - n", |b| x(b) - 1.5);
    pass("x * n", |b| x(b) * -1.0);
    pass("x / n", |b| x(b) / 0.7);
    pass("n + x", |b| 1.5 + x(b));
    pass("n - x", |b| 1.5 - x(b));
    pass("n * x", |b| 2.5 * x(b));
    pass("n / x", |b| 2.5 / x(b));
    pass("n / x / n - n", |b| 2.0 / x(b) / 3.0 - 0.25);
}

/// -1, 0 and 1 have short cuts in formulas: as numbers, and as constants that `simplify` puts into formulas.
#[test]
fn neutral_numbers() {
    type Formula = fn(&Var, f64, &Var) -> Var;
    let formulas: [(&str, Formula); 8] = [
        ("n + x", |x, n, c| (n + x).tanh() + (c + x)),
        ("x + n", |x, n, c| (x + n).tanh() + (x + c)),
        ("n - x", |x, n, c| (n - x).tanh() + (c - x)),
        ("x - n", |x, n, c| (x - n).tanh() + (x - c)),
        ("n * x", |x, n, c| (n * x).tanh() + (c * x) + x.exp()),
        ("x * n", |x, n, c| (x * n).tanh() + (x * c) + x.exp()),
        ("n / x", |x, n, c| (n / x).tanh() + (c / x) + x.exp()),
        ("x / n", |x, n, c| (x / (n + 2.0)).tanh() + (x / (c + 2.0))),
    ];
    for (name, f) in formulas {
        for n in [-1.0, 0.0, 1.0] {
            pass(&format!("{name}, {n}"), |b| f(&parameter(b, "x", &[2, 3]), n, &b.constant(n, [3])));
        }
    }
}

#[test]
fn constants() {
    let x = |b: &Builder| parameter(b, "x", &[2, 1]);
    pass("x * c", |b| x(b) * b.constant(1.5, [2, 3]));
    pass("c / x", |b| b.constant(1.5, [3]) / x(b));
    pass("c's reshape and broadcast", |b| {
        let c = b.constant(2.0, [1]).reshape([]).broadcast_to([2, 1]).sqrt();
        x(b) * &c + c
    });
}

#[test]
fn one_value_read_twice() {
    let x = |b: &Builder| parameter(b, "x", &[3, 3]);
    pass("x * x", |b| {
        let x = x(b);
        &x * &x
    });
    pass("x * x + exp(x)", |b| {
        let x = x(b);
        &x * &x + x.exp()
    });
    pass("x matmul x", |b| {
        let x = x(b);
        x.matmul(&x)
    });
    pass("x matmul x transposed", |b| {
        let x = x(b);
        x.matmul_with(&x, false, true) / (x.square().sum() + 1.0)
    });
}

#[test]
fn reductions_over_every_subset() {
    let subsets: [&[usize]; 9] = [&[], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2], &[2, 0]];
    for axes in subsets {
        // small, so that the sum of 24 does not saturate what follows
        let x = |b: &Builder| parameter(b, "x", &[2, 3, 4]).sigmoid() * 0.1f64;
        pass(&format!("sum {axes:?}"), |b| x(b).sum_axes(axes));
        pass(&format!("mean {axes:?}"), |b| x(b).mean_axes(axes));
    }
    pass("sum of all", |b| parameter(b, "x", &[2, 3]).sum());
    pass("sum of a scalar", |b| parameter(b, "x", &[]).sum());
    pass("sum over an axis of 1", |b| parameter(b, "x", &[2, 1, 3]).sum_axes(&[1]));
}

#[test]
fn matmul_of_every_layout() {
    let lead: [&[usize]; 3] = [&[], &[2], &[2, 2]];
    for lead in lead {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            // square ones too: there a wrong flag gives no wrong shape
            for (m, k, n) in [(2, 3, 4), (3, 3, 3)] {
                let shape = |t: bool, r, c| [lead, if t { [c, r] } else { [r, c] }.as_slice()].concat();
                pass(&format!("matmul {lead:?} {m} {k} {n} {ta} {tb}"), |b| {
                    let (x, y) = (parameter(b, "x", &shape(ta, m, k)), parameter(b, "y", &shape(tb, k, n)));
                    x.matmul_with(&y, ta, tb)
                });
            }
        }
    }
}

#[test]
fn movement() {
    let x = |b: &Builder, s: &[usize]| parameter(b, "x", s);
    pass("reshape", |b| x(b, &[2, 6]).tanh().reshape([3, 4]));
    pass("reshape twice", |b| x(b, &[2, 6]).reshape([3, 4]).reshape([12]).tanh());
    pass("reshape to a scalar", |b| x(b, &[1, 1]).reshape([]));
    pass("broadcast", |b| x(b, &[3, 1]).broadcast_to([2, 3, 4]));
    pass("broadcast of a scalar", |b| x(b, &[]).broadcast_to([2, 2]));
    pass("broadcast to the same", |b| x(b, &[2, 2]).broadcast_to([2, 2]));
    pass("broadcast of a map", |b| x(b, &[1, 3]).exp().broadcast_to([2, 3]).matmul(&b.parameter("y", [3, 2].into())));
    pass("map of a broadcast", |b| x(b, &[3]).broadcast_to([2, 3]).tanh().softmax());
}

#[test]
fn softmax() {
    for shape in [&[4][..], &[2, 3], &[2, 2, 3]] {
        pass(&format!("softmax {shape:?}"), |b| parameter(b, "x", shape).softmax());
    }
    for shape in [&[4][..], &[2, 3], &[2, 2, 3]] {
        pass(&format!("log_softmax {shape:?}"), |b| parameter(b, "x", shape).log_softmax());
    }
    pass("softmax of a product", |b| parameter(b, "x", &[2, 3]).matmul(&parameter(b, "y", &[3, 4])).softmax().square());
}

/// In mid-graph, and the logits have a second consumer.
fn penalised(b: &Builder, labels: &Var, smoothing: f64) -> Var {
    let x = b.batch(4, field("x", DType::F32, [5].into(), None));
    let logits = x.matmul(&b.parameter("weight", [5, 3].into())) + b.parameter("bias", [3].into());
    logits.cross_entropy_smoothed(labels, smoothing) * 0.5 + logits.square().mean() * 0.1
}

#[test]
fn cross_entropy() {
    let labels = [
        ("classes", field("y", DType::U32, [].into(), None)),
        ("probabilities", field("y", DType::U8, [].into(), Some(3))),
        // rows that do not sum to 1, some below 0: the formula holds for these too
        ("any weights", field("y", DType::F32, [3].into(), None)),
    ];
    for ((name, y), s) in labels.into_iter().flat_map(|l| [0.0, 0.1].map(|s| (l.clone(), s))) {
        check(&format!("{name}, smoothed by {s}"), |b| penalised(b, &b.batch(4, y.clone()), s)).unwrap_or_else(|e| panic!("{e}"));
        check(&format!("{name}, squared"), |b| penalised(b, &b.batch(4, y.clone()), s).square()).unwrap_or_else(|e| panic!("{e}"));
        check(&format!("{name}, a weight of the loss"), |b| {
            let share = b.parameter("share", [2].into()).sigmoid();
            (penalised(b, &b.batch(4, y.clone()), s) * share).sum()
        })
        .unwrap_or_else(|e| panic!("{e}"));
    }
}

/// Some of the labels drawn are ignored; positions of sequences are rows as those of a batch are.
#[test]
fn cross_entropy_of_what_counts() {
    for s in [0.0, 0.1] {
        let f = |b: &Builder| {
            let labels = b.batch(4, field("y", DType::U32, [].into(), None)).reshape([2, 2]);
            let x = b.batch(4, field("x", DType::F32, [5].into(), None)).reshape([2, 2, 5]);
            let logits = x.matmul(&b.parameter("weight", [5, 3].into()));
            let (loss, counted) = logits.cross_entropy_ignoring(&labels, s, 1);
            (loss * (counted + 1.0)).square() + logits.square().mean() * 0.1
        };
        check(&format!("smoothed by {s}"), f).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn labels_get_no_gradient() {
    let e = check("labels", |b| penalised(b, &b.parameter("p", [4, 3].into()).softmax(), 0.0)).unwrap_err();
    assert!(e.contains("labels"), "{e}");
}

#[test]
fn an_ignored_parameter_has_none() {
    let seen = check("ignored", |b| {
        let (used, beside, _) = (b.parameter("used", [2].into()), b.parameter("beside", [2].into()), b.parameter("alone", [2].into()));
        let _metric = (&used * &beside).mean();
        used.tanh().sum()
    });
    assert_eq!(seen.unwrap().ignored, ["beside", "alone"]);
}
