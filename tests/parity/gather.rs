//! From what is stored to the batch: every dtype and use of a field, at the edges of words and chunks, in order and shuffled.

use crate::make::{Case, List, Order, field};
use gradus::graph::Field;
use gradus::tensor::DType;

/// What is stored, and what the gather makes of it.
const USES: &[(&str, DType, fn(Field) -> Field)] = &[
    ("bytes", DType::U8, |f| f),
    ("bytes / 255", DType::U8, |f| Field { scale: 1.0 / 255.0, ..f }),
    ("bytes, scaled and shifted", DType::U8, |f| Field { scale: 2.0 / 255.0, shift: -1.0, ..f }),
    ("bytes as integers", DType::U8, |f| Field { keep_integer: true, ..f }),
    ("bytes, one-hot", DType::U8, |f| Field { one_hot: Some(11), ..f }),
    ("floats", DType::F32, |f| f),
    ("floats, scaled and shifted", DType::F32, |f| Field { scale: -3.5, shift: 0.25, ..f }),
    ("integers as floats", DType::U32, |f| Field { scale: 0.5, ..f }),
    ("integers", DType::U32, |f| Field { keep_integer: true, ..f }),
    ("integers, one-hot", DType::U32, |f| Field { one_hot: Some(7), ..f }),
];

/// Row lengths: words of four bytes, chunks of 256 words.
const WIDTHS: &[usize] = &[1, 3, 4, 7, 33, 255, 256, 257, 1000, 1023, 1024, 1025];

fn orders() -> [(&'static str, Order); 5] {
    let middle = Order { rows: 10, cursor: 4, ..Order::all(3) };
    [
        ("all in order", Order::all(3)),
        ("from the middle", middle),
        ("one row, shuffled", Order::shuffled(1, 1)),
        ("two rows, shuffled", Order::shuffled(2, 2)),
        ("shuffled", Order::shuffled(33, 257)),
    ]
}

fn draw(f: &Field) -> impl Fn(f64) -> f64 {
    let (stored, classes) = (f.stored, f.one_hot);
    move |u| match (classes, stored) {
        // some labels lie outside: their rows are all 0
        (Some(n), _) => (u * (n as f64 + 2.0)).floor(),
        (None, DType::F32) => 4.0 * u - 2.0,
        (None, DType::U8) => (u * 256.0).floor(),
        (None, _) => (u * 100_000.0).floor(),
    }
}

pub fn gathers() -> Vec<Case> {
    let mut out = Vec::new();
    let mut one = |name: String, order: Order, f: Field| {
        let body = move |m: &crate::make::Make| m.output("rows", &m.field(f.clone(), draw(&f)));
        out.push(Case::predict(name, body).over(order));
    };
    for &(name, stored, with) in USES {
        for (order_name, order) in orders() {
            let f = with(field("x", stored, [5]));
            // a one-hot field is one label a row
            let f = if f.one_hot.is_some() { with(field("x", stored, [])) } else { f };
            one(format!("{name}, {order_name}"), order, f);
        }
    }
    for &width in WIDTHS {
        for (name, stored) in [("bytes", DType::U8), ("floats", DType::F32)] {
            one(format!("rows of {width} {name}"), Order::shuffled(7, 31), field("x", stored, [width]));
        }
    }
    // few rows have an order of their own, to 12
    for rows in 2..=13 {
        one(format!("{rows} rows, shuffled"), Order::shuffled(rows, rows), field("x", DType::U32, [5]));
    }
    for (name, list) in [("by a list", List::Named), ("of one class", List::Drawn(1)), ("of four classes", List::Drawn(4))] {
        let cut = Order { rows: 60, cursor: 11, epoch: 9, ..Order::all(33) };
        for (order_name, order) in [("in order", cut), ("shuffled", Order::shuffled(33, 257)), ("of few", Order::shuffled(4, 9))] {
            one(format!("bytes {name}, {order_name}"), order.by(list), field("x", DType::U8, [5]));
            one(format!("floats {name}, {order_name}"), order.by(list), field("x", DType::F32, [8]));
        }
    }
    // more rows than one axis of the grid takes
    one("32,769 rows".into(), Order::shuffled(32_769, 40_000), Field { keep_integer: true, ..field("y", DType::U8, []) });
    let two = |m: &crate::make::Make| {
        let image = Field { scale: 1.0 / 255.0, ..field("x", DType::U8, [5, 207]) };
        m.output("x", &m.field(image.clone(), draw(&image)));
        m.output("y", &m.classes(10));
        m.output("z", &m.batch([300]));
    };
    out.push(Case::predict("three fields of several chunks", two).over(Order::shuffled(33, 257)));
    out.push(Case::predict("three fields by a list", two).over(Order::shuffled(33, 257).by(List::Named)));
    out
}
