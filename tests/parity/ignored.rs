//! Losses and accuracies of classes of which one label does not count: alone, in batches of sequences, where nothing counts.

use crate::make::{Case, Make, Order, field};
use gradus::graph::{Field, Var};
use gradus::tensor::DType;

/// A part of the labels is the ignored one, be it a class or none.
fn ignoring(m: &Make, positions: &'static [usize], n: usize, ignored: u32, smoothing: f64) -> Var {
    let label = move |u: f64| if u < 0.3 { f64::from(ignored) } else { (u * n as f64).floor() };
    let y = m.field(Field { keep_integer: true, ..field("y", DType::U32, positions) }, label);
    let rows = [&[m.order.batch], positions].concat();
    let x = m.p([&rows[..], &[n]].concat());
    m.metric("hits alone", &x.accuracy_ignoring(&y, ignored).0);
    let (loss, counted) = x.cross_entropy_ignoring(&y, smoothing, ignored);
    m.metric("hits", &x.accuracy_ignoring(&y, ignored).0);
    m.metric("counted", &counted);
    loss * rows.iter().product::<usize>() as f64
}

pub fn cases() -> Vec<Case> {
    let none = 1 << 20;
    let sizes: [(usize, &[usize], usize, u32, f64); 7] = [
        (7, &[], 3, 1, 0.0),
        (600, &[], 33, none, 0.1),
        (31, &[5], 255, 200, 0.0),
        (3, &[7], 257, none, 0.1),
        (17, &[], 1000, none, 0.0),
        (3, &[], 8193, 8192, 0.0),
        (3, &[2], 8193, none, 0.1),
    ];
    let mut out: Vec<Case> = Vec::new();
    for (rows, positions, n, ignored, s) in sizes {
        let name = format!("cross_entropy [{rows}, {positions:?}, {n}] ignoring {ignored}");
        let case = Case::new(name, move |m: &Make| ignoring(m, positions, n, ignored, s)).over(Order::all(rows));
        out.extend([case.clone(), case.evaluated()]);
    }
    for (name, n) in [("nothing that counts", 3), ("nothing that counts, wide", 257)] {
        let nothing = move |m: &Make| {
            let y = m.field(Field { keep_integer: true, ..field("y", DType::U32, []) }, |_| 1.0);
            let x = m.p([m.order.batch, n]);
            m.metric("hits alone", &x.accuracy_ignoring(&y, 1).0);
            x.cross_entropy_ignoring(&y, 0.1, 1).0 + m.weigh(&x)
        };
        out.push(Case::new(name, nothing).over(Order::all(5)));
    }
    // positions of a sequence are rows, without an ignored label, too
    let sequences = |m: &Make| {
        let x = m.p([m.order.batch, 3, 65]);
        let y = m.field(Field { keep_integer: true, ..field("y", DType::U32, [3]) }, |u| (u * 65.0).floor());
        m.metric("hits alone", &x.accuracy(&y));
        (x.cross_entropy(&y) + (&x * 0.5).cross_entropy(&m.batch([3, 65]).softmax())) * 21.0
    };
    out.push(Case::new("cross_entropy of sequences", sequences).over(Order::all(7)));
    out.push(Case::new("cross_entropy ignoring, scaled", |m: &Make| ignoring(m, &[], 33, 5, 0.0)).over(Order::all(31)).scaled(64.0));
    out
}
