//! Movements and the largest: by hand, and by finite differences in mid-graph.

use super::gradients::{parameter, pass};
use super::{close, evaluate, one, reals};
use crate::error::{Error, Result};
use crate::graph::{Builder, Op, ReduceKind, Var, op};

const SIX: [f64; 6] = [1., 2., 3., 4., 5., 6.];

#[test]
fn by_hand() -> Result<()> {
    let x = || (&[2, 3][..], reals(&SIX));
    close(&one(op::Permute(vec![1, 0]), &[x()])?[0], &[1., 4., 2., 5., 3., 6.]);
    close(&one(op::Slice { start: vec![0, 1], shape: [2, 2].into() }, &[x()])?[0], &[2., 3., 5., 6.]);
    let frame = op::Pad { before: vec![1, 0], shape: [3, 4].into(), value: 9.0 };
    close(&one(frame, &[x()])?[0], &[9., 9., 9., 9., 1., 2., 3., 9., 4., 5., 6., 9.]);
    close(&one(op::Concat { axis: 1 }, &[x(), (&[2, 1], reals(&[7., 8.]))])?[0], &[1., 2., 3., 7., 4., 5., 6., 8.]);
    let max = |axes: &[usize]| op::Reduce { kind: ReduceKind::Max, axes: axes.to_vec(), keep: false };
    close(&one(max(&[0]), &[x()])?[0], &[4., 5., 6.]);
    close(&one(max(&[0, 1]), &[(&[2, 2], reals(&[-3., -1., -2., -5.]))])?[0], &[-1.]);
    let b = Builder::new();
    let largest = b.parameter("x", [3].into()).max().value();
    let nan = evaluate(&b.finish()?, &|_| Some(reals(&[1., f64::NAN, 2.])), &largest.into_iter().collect::<Vec<_>>())?;
    assert!(nan[0].to_f64()[0].is_nan());
    let place = |x: &[f64]| Ok::<_, Error>(one(op::ArgMax { axis: 0 }, &[(&[x.len()], reals(x))])?[0].clone());
    assert_eq!(place(&[1., 3., 3., 2.])?, [1.]);
    assert_eq!(place(&[1., 3., 5., 5.])?, [2.]);
    Ok(())
}

#[test]
fn what_cannot_move() {
    let x = || (&[2, 3][..], reals(&SIX));
    let bad: [Op; 7] = [
        op::Permute(vec![0, 0]).into(),
        op::Permute(vec![0]).into(),
        op::Slice { start: vec![0, 2], shape: [2, 2].into() }.into(),
        op::Slice { start: vec![0, 0], shape: [2, 0].into() }.into(),
        op::Pad { before: vec![0, 1], shape: [2, 3].into(), value: 0.0 }.into(),
        op::Concat { axis: 2 }.into(),
        op::ArgMax { axis: 2 }.into(),
    ];
    for op in bad {
        let name = op.name().to_string();
        assert!(matches!(one(op, &[x()]), Err(Error::ShapeMismatch { .. })), "{name}");
    }
}

/// Nothing has no elements: kernels divide by extents.
#[test]
fn nothing_is_empty() {
    for (i, f) in [
        |x: &Var| x.mean().broadcast_to([0, 4]),
        |x: &Var| x.reshape([24]).pad(&[(0, usize::MAX)], 0.0),
        |x: &Var| x.mean().broadcast_to([1 << 40, 1 << 40]),
    ]
    .iter()
    .enumerate()
    {
        let b = Builder::new();
        f(&b.parameter("x", [2, 3, 4].into())).softmax();
        assert!(matches!(b.finish(), Err(Error::ShapeMismatch { .. })), "{i}");
    }
}

/// A wrong call poisons its result; no later call on that may panic.
#[test]
fn a_poisoned_value_stays_one() {
    let wrong: [fn(&Var) -> Var; 8] = [
        |x| x.squeeze(0),
        |x| x.t(),
        |x| x.transpose(0, 5),
        |x| x.slice(3, 0..1),
        |x| x.pad(&[(1, 1)], 0.0),
        |x| x.split(0, &[1, 9])[1].clone(),
        |x| x.matmul(&x.reshape([24])),
        |x| x.reshape([24]).matmul(x),
    ];
    for (i, f) in wrong.iter().enumerate() {
        let b = Builder::new();
        let x = b.parameter("x", [2, 3, 4].into());
        let y = f(&x);
        for g in wrong {
            g(&y);
        }
        _ = y.concat(&[&y, &x], 0).stack(&[&y], 1).unsqueeze(9).max_axes(&[4]).argmax(3).flatten();
        assert!(matches!(b.finish(), Err(Error::ShapeMismatch { .. })), "{i}");
    }
}

#[test]
fn finite_differences() {
    let x = |b: &Builder, shape: &[usize]| parameter(b, "x", shape);
    pass("permute", |b| x(b, &[2, 3, 4]).permute(&[2, 0, 1]));
    pass("transpose", |b| x(b, &[2, 3]).tanh().t().exp());
    pass("slice", |b| x(b, &[3, 4]).slice(1, 1..3));
    pass("split", |b| {
        let parts = x(b, &[3, 4]).tanh().split(1, &[1, 3]);
        &parts[0] * &parts[1]
    });
    pass("pad", |b| x(b, &[2, 3]).pad(&[(1, 0), (0, 2)], 0.5).tanh());
    pass("concat", |b| {
        let x = x(b, &[2, 3]);
        x.concat(&[&parameter(b, "y", &[2, 1]), &x.exp()], 1).square()
    });
    pass("six together", |b| {
        let x = x(b, &[2, 1]);
        x.concat(&[&x.exp(), &x.tanh(), &x, &(&x * 2.0), &x.square()], 1)
    });
    pass("stack", |b| x(b, &[2, 3]).stack(&[&parameter(b, "y", &[2, 3])], 1));
    pass("max", |b| x(b, &[3, 4]).max_axes(&[1]));
    pass("max of three axes", |b| {
        let x = x(b, &[2, 3, 2]);
        x.max_keep(&[0, 2]) * x
    });
    pass("min", |b| x(b, &[3, 4]).tanh().min_axes(&[0]));
    pass("softmax by hand", |b| {
        let x = x(b, &[2, 4]);
        let e = (&x - x.max_keep(&[1])).exp();
        &e / e.sum_keep(&[1])
    });
    pass("cumsum", |b| x(b, &[3, 4]).cumsum(1));
    pass("cumsum of the first axis", |b| x(b, &[3, 4]).tanh().cumsum(0));
    for (l, r) in [
        (&[2, 3, 4][..], &[4, 5][..]),
        (&[3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[3, 4, 2]),
        (&[1, 3, 4], &[2, 4, 2]),
        (&[4], &[4, 3]),
        (&[2, 3, 4], &[4]),
        (&[4], &[4]),
    ] {
        pass(&format!("{l:?} matmul {r:?}"), |b| x(b, l).matmul(&parameter(b, "y", r)));
    }
}

/// Equal ones share the gradient, as PyTorch's `amax` does.
#[test]
fn equal_ones_share() -> Result<()> {
    let b = Builder::new();
    let x = b.parameter("x", [4].into());
    let (loss, at) = (x.max().value(), x.value());
    let (Some(loss), Some(at), mut g) = (loss, at, b.finish()?) else { return Ok(()) };
    let gradient = crate::graph::gradients(&mut g, loss, &[at])?[0];
    let feed = |_: &Op| Some(reals(&[3., 1., 3., 2.]));
    let found = evaluate(&g, &feed, &[gradient.unwrap()])?;
    close(&found[0].to_f64(), &[0.5, 0., 0.5, 0.]);
    Ok(())
}
