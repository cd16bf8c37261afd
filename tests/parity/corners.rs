//! Rows at edges that no table has by itself: most were asked for by an error that the mutation suite planted and nothing noticed.

use crate::make::{Case, Make, Order, field};
use gradus::graph::{Field, Var};
use gradus::tensor::DType;
use std::cell::Cell;

/// Few distinct scores, so that many are equal: the first of them counts.
fn equal_scores(m: &Make, rows: usize, n: usize) -> Var {
    m.drawn([rows, n], |u| (3.0 * u).floor())
}

/// A parameter whose columns are minus infinity where one before a multiple of `step`.
fn masked(m: &Make, rows: usize, n: usize, step: usize) -> Var {
    let at = Cell::new(0);
    m.drawn([rows, n], |u| {
        let column = at.replace(at.get() + 1) % n;
        if (column + 1).is_multiple_of(step) { f64::NEG_INFINITY } else { 4.0 * u - 2.0 }
    })
}

pub fn all() -> Vec<Case> {
    let mut out = vec![
        // a map whose elements are no multiple of four, and sums of which several share a workgroup
        Case::predict("more workgroups than one axis takes", |m| {
            let x = m.p([65_537, 65]);
            m.output("map", &(&x * 0.3));
            m.output("sums", &x.sum_axes(&[1]));
        }),
        Case::new("softmax of large scores", |m| m.weigh(&m.drawn([33, 10], |u| 240.0 * u - 120.0).softmax())),
        // the gradient of b fills its place in the arena to the last element, and is made after that of a, which lies behind it
        Case::new("rows beyond the edge", |m| {
            let b = m.p([12, 32]);
            m.weigh(&m.p([40, 12]).matmul(&b))
        }),
        // one launch makes both, side by side in the gradients' arena: a product's epilogue, work along rows
        Case::new("two gradients of one product", |m| m.weigh(&(m.p([9, 7]).tanh() + m.p([9, 7]).sigmoid()).matmul(&m.p([7, 12])))),
        // too wide to be a single row with its sum
        Case::new("two gradients of one map", |m| m.weigh(&(m.p([50, 90]).tanh() + m.p([50, 90]).sigmoid()).tanh())),
        Case::new("two gradients along rows", |m| m.weigh(&(m.p([5, 9]).tanh() + m.p([5, 9]).sigmoid()).softmax())),
        // what is summed fills its place, too: past its last row stands another parameter
        Case::new("a row sum beside another parameter", |m| {
            let (x, y) = (m.p([24, 16]), m.p([24, 20]));
            m.weigh(&x.matmul_with(&y, true, false)) + m.weigh(&x.sum_axes(&[0]))
        }),
    ];
    let own = |m: &Make| {
        let x = m.p([5, 257]);
        let y = x.detach().argmax(1);
        let loss = x.cross_entropy(&y) * 5.0;
        m.metric("accuracy", &x.accuracy(&y));
        loss
    };
    out.push(Case::new("wide rows that are their own labels", own));
    for one_hot in [false, true] {
        let kind = if one_hot { "probabilities" } else { "classes" };
        let labels = move |m: &Make, n: usize| if one_hot { m.one_hot(n) } else { m.classes(n) };
        let rows = 257;
        let large = move |m: &Make| m.drawn([rows, 10], |u| 240.0 * u - 120.0).cross_entropy(&labels(m, 10)) * rows as f64;
        out.push(Case::new(format!("cross_entropy of large scores, {kind}"), large).over(Order::all(rows)));
        // no label is the masked class
        let mask = move |m: &Make| {
            let y = if one_hot {
                m.field(Field { one_hot: Some(10), ..field("y", DType::U32, []) }, |u| (9.0 * u).floor())
            } else {
                m.classes(9)
            };
            masked(m, rows, 10, 10).cross_entropy(&y) * rows as f64
        };
        out.push(Case::new(format!("cross_entropy with a masked class, {kind}"), mask).over(Order::all(rows)));
        let equal = move |m: &Make| {
            let (x, y) = (equal_scores(m, rows, 10), labels(m, 10));
            m.metric("accuracy", &x.accuracy(&y));
            m.weigh(&x)
        };
        out.push(Case::new(format!("accuracy with equal scores, {kind}"), equal).over(Order::all(rows)));
        let equal = move |m: &Make| {
            let (x, y) = (equal_scores(m, rows, 10), labels(m, 10));
            let loss = x.cross_entropy(&y) * rows as f64;
            m.metric("accuracy", &x.accuracy(&y));
            loss
        };
        out.push(Case::new(format!("cross_entropy with equal scores, {kind}"), equal).over(Order::all(rows)));
        // lanes share a row; its first largest score stands early, and so do the labels
        let wide = move |m: &Make| {
            let n = 300;
            let y = match one_hot {
                true => m.field(field("y", DType::F32, [n]), |u| 0.01 * (3.0 * u).floor()),
                false => m.field(Field { keep_integer: true, ..field("y", DType::U32, []) }, |u| (3.0 * u).floor()),
            };
            let x = equal_scores(m, 65, n);
            m.metric("alone", &x.accuracy(&y));
            let loss = x.cross_entropy(&y) * 65.0;
            m.metric("accuracy", &x.accuracy(&y));
            loss
        };
        out.push(Case::new(format!("wide rows with equal scores, {kind}"), wide).over(Order::all(65)));
        // all that one of 32 lanes sees
        let mask = move |m: &Make| {
            let y = match one_hot {
                true => m.field(Field { one_hot: Some(300), ..field("y", DType::U32, []) }, |u| (31.0 * u).floor()),
                false => m.classes(31),
            };
            masked(m, 65, 300, 32).cross_entropy(&y) * 65.0
        };
        out.push(Case::new(format!("wide rows with masked classes, {kind}"), mask).over(Order::all(65)));
    }
    out
}
