//! Rows of a table by index, and the sums by index that are their gradient: repeated indices, rows that none names.

use crate::make::{Case, Make, Order, field};
use gradus::graph::{Field, Var};
use gradus::tensor::DType;

/// Indices `[batch, ..row]` into a table of `n` rows.
pub fn indices(m: &Make, name: &str, n: usize, row: &[usize]) -> Var {
    let stored = if n > 256 { DType::U32 } else { DType::U8 };
    m.field(Field { keep_integer: true, ..field(name, stored, row) }, move |u| (u * n as f64).floor())
}

/// Rows of the table, elements of a row, places.
const SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 4, 257),
    (3, 7, 255),
    (3, 64, 33),
    (255, 1, 3),
    (255, 4, 1000),
    (257, 7, 65),
    (257, 64, 3),
    (1000, 4, 255),
    (1000, 64, 1),
    (7, 7, 1000),
    (1000, 7, 2000),
];

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for &(n, width, places) in SIZES {
        let body = move |m: &Make| {
            let y = m.p([n, width]).take(&indices(m, "ix", n, &[]));
            m.output("rows", &y);
            m.weigh(&y)
        };
        out.push(Case::new(format!("{places} rows of [{n}, {width}]"), body).over(Order::all(places)));
    }
    let all = |m: &Make, row: &[usize], n: usize| indices(m, "ix", n, row);
    // in mid-graph: the table is made, the rows are read by maps, a product and a sum, and another reader adds to the gradient
    for (n, width) in [(11, 4), (257, 7)] {
        let body = move |m: &Make| {
            let table = m.p([n, width]).tanh();
            let h = table.take(&all(m, &[5], n)) * m.p([width]);
            let h = h.reshape([m.order.batch * 5, width]).matmul(&m.p([width, 9])).sigmoid();
            m.weigh(&h) + m.weigh(&table)
        };
        out.push(Case::new(format!("[batch, 5] of [{n}, {width}] in mid-graph"), body).over(Order::all(7)));
    }
    let twice = |m: &Make| {
        let table = m.p([5, 33]);
        m.weigh(&(table.take(&indices(m, "ix", 5, &[])) * table.take(&indices(m, "iy", 5, &[]))))
    };
    out.push(Case::new("one table under two lists", twice).over(Order::all(31)));
    let padded = |m: &Make| m.weigh(&m.p([5, 7]).take_padded(&indices(m, "ix", 5, &[3]), 2).tanh());
    out.push(Case::new("a row without a gradient", padded).over(Order::all(31)));
    out.push(Case::new("numbers by index", |m| m.weigh(&m.p([33]).take(&indices(m, "ix", 33, &[3])))).over(Order::all(31)));
    out.push(Case::new("rows of two axes", |m| m.weigh(&m.p([5, 3, 7]).take(&indices(m, "ix", 5, &[2])))).over(Order::all(3)));
    out.extend(numbers());
    // the mean over a sequence, as a text model begins
    let text = |m: &Make| {
        let h = m.p([50, 16]).take(&indices(m, "ix", 50, &[12])).mean_axes(&[1]);
        let logits = h.matmul_with(&m.p([10, 16]), false, true) + m.p([10]);
        logits.cross_entropy(&m.classes(10)) * m.order.batch as f64
    };
    let case = Case::new("a bag of words", text).over(Order::shuffled(32, 100));
    out.extend([case.clone(), case.evaluated()]);
    out
}

/// Numbers and comparisons of integers, and rows of 0 and 1: alone, on what rides on them, before a sum and a product.
fn numbers() -> Vec<Case> {
    let ids = |m: &Make, name: &str, row: &[usize]| indices(m, name, 5, row);
    let far = |m: &Make| m.field(Field { keep_integer: true, ..field("ix", DType::U32, [3]) }, |u| (u * 3e9).floor());
    let mut out = Vec::new();
    let mut case = |name: &str, rows: usize, body: fn(&Make, Var) -> Var, row: &[usize]| {
        let row = row.to_vec();
        out.push(Case::new(name, move |m| body(m, ids(m, "ix", &row))).over(Order::all(rows)));
    };
    case("integers as numbers", 31, |m, x| m.weigh(&(x.to_f32() * m.p([31, 3]))), &[3]);
    case("integers as numbers by fours", 8, |m, x| m.weigh(&(x.to_f32() * m.p([8, 4]))), &[4]);
    case("one integer as a number", 1, |m, x| m.weigh(&(x.to_f32() * m.p([33]))), &[]);
    case("a mask from integers", 7, |m, x| m.weigh(&(x.not_equal(0).unsqueeze(2) * m.p([7, 5, 4]))), &[5]);
    case("integers compared", 33, |m, x| m.weigh(&((x.less(&indices(m, "iy", 5, &[])) + x.greater_equal(2.5)) * m.p([33]))), &[]);
    case("the mean of integers", 31, |m, x| x.to_f32().mean() * m.weigh(&m.p([3])), &[3]);
    case("integers in a product", 7, |m, x| m.weigh(&x.to_f32().matmul(&m.p([5, 9]))), &[5]);
    case("a slice of integers as numbers", 7, |m, x| m.weigh(&(x.slice(1, 1..4).to_f32() * m.p([7, 3]))), &[5]);
    case("integers as numbers, in a frame", 7, |m, x| m.weigh(&(x.to_f32().pad(&[(1, 0), (0, 2)], 0.5) * m.p([8, 5]))), &[3]);
    case("integers as numbers, transposed", 7, |m, x| m.weigh(&(x.to_f32().t() * m.p([3, 7]))), &[3]);
    case("rows of 0 and 1", 7, |m, x| m.weigh(&(x.one_hot(5) * m.p([7, 3, 5]))), &[3]);
    case(
        "the largest's number",
        7,
        |m, _| {
            let p = m.p([7, 5]);
            m.weigh(&(p.argmax(1).to_f32().unsqueeze(1) * p))
        },
        &[],
    );
    case(
        "detached",
        7,
        |m, x| {
            let p = m.p([5, 4]);
            let h = p.take(&x);
            m.weigh(&(h.tanh().detach() * &h + p.detach().take(&x)))
        },
        &[],
    );
    let body = move |m: &Make| m.output("numbers", &far(m).to_f32());
    out.push(Case::predict("large integers as numbers", body).over(Order::all(31)));
    out
}
