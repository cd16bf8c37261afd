//! Each op at a hand-computed case; what a wrong feed gives. Gradients through whole graphs are in the rooms below.

mod checker;
mod convolution;
mod custom;
mod formulas;
mod gradients;
mod indices;
mod models;
mod movement;
mod norms;
mod random;
mod window;

use super::{Data, evaluate, evaluate_all, evaluate_node};
use crate::error::{Error, Result};
use crate::expr::{Expr, Scalar};
use crate::graph::{Builder, Graph, Labels, NodeId, Op, ReduceKind, op};
use crate::tensor::{DType, Shape};
use checker::field;
use std::panic::Location;

/// A graph of parameters and labels under one operation: its outputs in f64; f32 must agree.
fn one(op: impl Into<Op>, inputs: &[(&[usize], Data<f64>)]) -> Result<Vec<Vec<f64>>> {
    let mut g = Graph::default();
    let mut add = |op: Op, v: &[NodeId]| g.add(op, &v.iter().map(|&v| v.into()).collect::<Vec<_>>(), "", Location::caller());
    let mut leaves = Vec::new();
    for (i, (shape, data)) in inputs.iter().enumerate() {
        let leaf = match data {
            Data::Real(_) => op::Parameter { name: i.to_string(), shape: Shape::from(*shape) }.into(),
            Data::Integer(_) => op::Batch { batch: shape[0], field: field("labels", DType::U32, shape[1..].into(), None) }.into(),
        };
        leaves.push(add(leaf, &[])?);
    }
    let id = add(op.into(), &leaves)?;
    let wide: Vec<&Data<f64>> = inputs.iter().map(|(_, d)| d).collect();
    let narrow: Vec<Data<f32>> = wide.iter().map(|d| narrowed(d)).collect();
    let wide = evaluate_node(&g, id, &wide)?;
    let narrow = evaluate_node(&g, id, &narrow.iter().collect::<Vec<_>>())?;
    for (w, n) in wide.iter().zip(&narrow) {
        assert!(w.to_f64().iter().zip(n.to_f64()).all(|(w, n)| (w - n).abs() <= 1e-6 * (1.0 + w.abs())), "{wide:?} {narrow:?}");
    }
    Ok(wide.iter().map(Data::to_f64).collect())
}

fn narrowed(d: &Data<f64>) -> Data<f32> {
    match d {
        Data::Real(v) => Data::Real(v.iter().map(|&x| x as f32).collect()),
        Data::Integer(v) => Data::Integer(v.clone()),
    }
}

fn reals(v: &[f64]) -> Data<f64> {
    Data::Real(v.to_vec())
}

#[track_caller]
fn close(got: &[f64], want: &[f64]) {
    let same = got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-12);
    assert!(same, "{got:?} for {want:?}");
}

#[test]
fn constant_reshape_broadcast() -> Result<()> {
    close(&one(op::Constant { value: 2.5, shape: [2, 2].into() }, &[])?[0], &[2.5; 4]);
    close(&one(op::Reshape([3, 2].into()), &[(&[2, 3], reals(&[1., 2., 3., 4., 5., 6.]))])?[0], &[1., 2., 3., 4., 5., 6.]);
    close(&one(op::Broadcast([2, 2, 3].into()), &[(&[2, 1], reals(&[1., 2.]))])?[0], &[1., 1., 1., 2., 2., 2., 1., 1., 1., 2., 2., 2.]);
    close(&one(op::Broadcast([3].into()), &[(&[], reals(&[7.]))])?[0], &[7.; 3]);
    Ok(())
}

#[test]
fn map_broadcasts() -> Result<()> {
    let f = op::Map(Expr::of(2, |x| vec![&x[0] * 10.0 - &x[1]]));
    let (a, b) = (reals(&[1., 2.]), reals(&[3., 4., 5.]));
    close(&one(f.clone(), &[(&[2, 1], a), (&[3], b.clone())])?[0], &[7., 6., 5., 17., 16., 15.]);
    close(&one(f, &[(&[], reals(&[1.])), (&[3, 1], b)])?[0], &[7., 6., 5.]);
    Ok(())
}

#[test]
fn map_reads_no_rates() {
    let f = op::Map(Expr::of(1, |x| vec![&x[0] * Scalar::rate(0)]));
    assert!(matches!(one(f, &[(&[1], reals(&[1.]))]), Err(Error::Unsupported { .. })));
}

#[test]
fn reduce_over_any_axes() -> Result<()> {
    let x: Vec<f64> = (0..12).map(f64::from).collect(); // [2, 2, 3]
    let run = |kind, axes: &[usize], keep| one(op::Reduce { kind, axes: axes.to_vec(), keep }, &[(&[2, 2, 3], reals(&x))]);
    for keep in [false, true] {
        close(&run(ReduceKind::Sum, &[], keep)?[0], &x);
        close(&run(ReduceKind::Sum, &[2], keep)?[0], &[3., 12., 21., 30.]);
        close(&run(ReduceKind::Sum, &[1], keep)?[0], &[3., 5., 7., 15., 17., 19.]);
        close(&run(ReduceKind::Mean, &[0], keep)?[0], &[3., 4., 5., 6., 7., 8.]);
        close(&run(ReduceKind::Mean, &[2, 0], keep)?[0], &[4., 7.]);
        close(&run(ReduceKind::Mean, &[0, 1, 2], keep)?[0], &[5.5]);
    }
    Ok(())
}

#[test]
fn matmul_of_every_layout() -> Result<()> {
    // [[1, 2, 3], [4, 5, 6]] times [[1, 2], [3, 4], [5, 6]]
    let (a, at) = ([1., 2., 3., 4., 5., 6.], [1., 4., 2., 5., 3., 6.]);
    let (b, bt) = (a, [1., 3., 5., 2., 4., 6.]);
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        let x: (&[usize], _) = if ta { (&[3, 2], reals(&at)) } else { (&[2, 3], reals(&a)) };
        let y: (&[usize], _) = if tb { (&[2, 3], reals(&bt)) } else { (&[3, 2], reals(&b)) };
        close(&one(op::MatMul { ta, tb }, &[x, y])?[0], &[22., 28., 49., 64.]);
    }
    let two = one(op::MatMul { ta: false, tb: false }, &[(&[2, 1, 2], reals(&[1., 2., 3., 4.])), (&[2, 2, 1], reals(&[5., 6., 7., 8.]))])?;
    close(&two[0], &[17., 53.]);
    Ok(())
}

#[test]
fn softmax_of_rows() -> Result<()> {
    let ln2 = 2f64.ln();
    close(&one(op::Softmax { log: false }, &[(&[2, 3], reals(&[0., ln2, 0., 1e4, 1e4, -1e4]))])?[0], &[0.25, 0.5, 0.25, 0.5, 0.5, 0.]);
    Ok(())
}

#[test]
fn cross_entropy_of_classes() -> Result<()> {
    let x = reals(&[0., 2f64.ln(), 0., 5., 5., 5.]);
    let out =
        one(op::CrossEntropy { labels: Labels::Classes, smoothing: 0.0 }, &[(&[2, 3], x.clone()), (&[2], Data::Integer(vec![1, 2]))])?;
    close(&out[0], &[(2f64.ln() + 3f64.ln()) / 2.0]);
    close(&out[1], &[0.125, -0.25, 0.125, 1. / 6., 1. / 6., -1. / 3.]);
    close(&out[2], &[0.5]); // of three equal scores the first counts
    let labels = (&[2][..], Data::Integer(vec![1, 0]));
    close(&one(op::Accuracy(Labels::Classes), &[(&[2, 3], x), labels])?[0], &[1.0]);
    // no overflow, and a masked logit that is not the label's costs nothing
    let far = reals(&[1000., 0., f64::NEG_INFINITY]);
    let out = one(op::CrossEntropy { labels: Labels::Classes, smoothing: 0.0 }, &[(&[1, 3], far), (&[1], Data::Integer(vec![1]))])?;
    close(&out[0], &[1000.]);
    close(&out[1], &[1., -1., 0.]);
    Ok(())
}

#[test]
fn cross_entropy_of_probabilities() -> Result<()> {
    let (ln2, ln4) = (2f64.ln(), 4f64.ln());
    let x = || (&[2, 3][..], reals(&[0., ln2, 0., 0., 0., ln2]));
    // the second row sums to 2: its gradient is 2 softmax - p
    let p = || (&[2, 3][..], reals(&[0.5, 0.5, 0., 1., 0., 1.]));
    let out = one(op::CrossEntropy { labels: Labels::Probabilities, smoothing: 0.0 }, &[x(), p()])?;
    close(&out[0], &[(0.5 * ln4 + 0.5 * ln2 + ln4 + ln2) / 2.0]);
    close(&out[1], &[-0.125, 0., 0.125, -0.25, 0.25, 0.]);
    close(&out[2], &[0.]);
    close(&one(op::Accuracy(Labels::Probabilities), &[x(), (&[2, 3], reals(&[0., 1., 0., 0.6, 0.3, 0.1]))])?[0], &[0.5]);
    Ok(())
}

/// [[0.8, 0.1, 0.1]] for a class smoothed by 0.3, and the same by its one-hot row.
#[test]
fn cross_entropy_of_smoothed_labels() -> Result<()> {
    let x = || (&[1, 3][..], reals(&[0., 2f64.ln(), 0.]));
    let (ln2, ln4) = (2f64.ln(), 4f64.ln());
    for (labels, y) in [(Labels::Classes, (&[1][..], Data::Integer(vec![0]))), (Labels::Probabilities, (&[1, 3][..], reals(&[1., 0., 0.])))]
    {
        let out = one(op::CrossEntropy { labels, smoothing: 0.3 }, &[x(), y])?;
        close(&out[0], &[0.8 * ln4 + 0.1 * ln2 + 0.1 * ln4]);
        close(&out[1], &[0.25 - 0.8, 0.5 - 0.1, 0.25 - 0.1]);
        close(&out[2], &[0.]);
    }
    Ok(())
}

/// Rows of the ignored label, be it a class or none, have loss and gradient 0; the means are over the others, and 0 where there are none.
#[test]
fn cross_entropy_of_what_counts() -> Result<()> {
    let x = || (&[2, 2, 3][..], reals(&[0., 2f64.ln(), 0., 5., 5., 5., 1., 2., 3., 4., 5., 6.]));
    for ignored in [2, 99] {
        let y = |labels: [u32; 4]| (&[2, 2][..], Data::Integer(labels.to_vec()));
        let of = |smoothing| op::CrossEntropy { labels: Labels::ClassesBut(ignored), smoothing };
        let hits = op::Accuracy(Labels::ClassesBut(ignored));
        let two = || (&[][..], reals(&[2.]));
        let out = one(of(0.0), &[x(), y([1, 0, ignored, ignored]), two()])?;
        close(&out[0], &[(2f64.ln() + 3f64.ln()) / 2.0]);
        close(&out[1], &[0.125, -0.25, 0.125, -1. / 3., 1. / 6., 1. / 6., 0., 0., 0., 0., 0., 0.]);
        close(&out[2], &[1.0]);
        close(&one(hits, &[x(), y([1, 1, ignored, ignored]), two()])?[0], &[0.5]);
        for out in one(of(0.1), &[x(), y([ignored; 4]), (&[][..], reals(&[0.]))])? {
            close(&out, &vec![0.; out.len()]);
        }
        let e = one(of(0.0), &[x(), y([1, 0, 3, ignored]), two()]).unwrap_err();
        assert!(matches!(e, Error::LabelOutOfRange { label: 3.0, row: 2, classes: 3, .. }), "{e}");
    }
    Ok(())
}

#[test]
fn log_softmax_of_rows() -> Result<()> {
    let (ln2, ln4) = (2f64.ln(), 4f64.ln());
    let out = one(op::Softmax { log: true }, &[(&[2, 3], reals(&[0., ln2, 0., 1e4, 1e4, -1e4]))])?;
    close(&out[0], &[-ln4, -ln2, -ln4, -ln2, -ln2, -2e4 - ln2]);
    Ok(())
}

#[test]
fn labels_out_of_range() {
    for op in [Op::from(op::CrossEntropy { labels: Labels::Classes, smoothing: 0.0 }), op::Accuracy(Labels::Classes).into()] {
        let e = one(op, &[(&[2, 3], reals(&[0.; 6])), (&[2], Data::Integer(vec![2, 3]))]).unwrap_err();
        assert!(matches!(e, Error::LabelOutOfRange { label: 3.0, row: 1, classes: 3, .. }), "{e}");
    }
}

#[test]
fn empty_tensors_are_errors() {
    let e = one(op::Softmax { log: false }, &[(&[2, 0], reals(&[]))]).unwrap_err();
    assert!(matches!(e, Error::ShapeMismatch { .. }) && e.to_string().contains("[2, 0]"), "{e}");
}

#[test]
fn bad_feeds_are_errors() -> Result<()> {
    let b = Builder::new();
    let used = b.parameter("used", [2].into()).square();
    let unused = b.parameter("unused", [2].into()).square();
    let g = b.finish()?;
    let (used, unused) = (used.value().unwrap(), unused.value().unwrap());
    let is_used = |op: &Op| matches!(op, Op::Parameter(op::Parameter { name, .. }) if name == "used");
    let run = |data: Option<Data<f32>>| evaluate(&g, &|op| data.clone().filter(|_| is_used(op)), &[used]);
    assert_eq!(run(Some(Data::Real(vec![1., 3.])))?, [Data::Real(vec![1., 9.])]);
    assert!(matches!(run(None), Err(Error::NotFound { name, .. }) if name == "used"));
    assert!(matches!(run(Some(Data::Real(vec![1.]))), Err(Error::ShapeMismatch { .. })));
    assert!(matches!(run(Some(Data::Integer(vec![1, 2]))), Err(Error::DTypeMismatch { .. })));

    let ones = |_: &Op| Some(Data::Real(vec![1f32; 2]));
    let all = evaluate_all(&g, &ones, &[used])?;
    assert!(all[used.node].is_some() && all[unused.node].is_none());
    assert!(matches!(evaluate(&g, &ones, &[99.into()]), Err(Error::NotFound { .. })));
    let second = crate::graph::Value { node: used.node, output: 1 };
    assert!(matches!(evaluate(&g, &ones, &[second]), Err(Error::NotFound { .. })));
    assert!(matches!(evaluate_node::<f32>(&g, used.node, &[]), Err(Error::ShapeMismatch { .. })));
    assert!(matches!(evaluate_node::<f32>(&g, 0, &[]), Err(Error::Unsupported { .. })));
    Ok(())
}
