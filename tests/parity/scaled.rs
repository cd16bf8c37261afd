//! Gradients of a loss that is scaled, through every kind of kernel that the scale may ride on.

use crate::make::{Case, Make, Order};
use gradus::graph::Distribution;

/// The scale of all of them.
pub const SCALE: f32 = 1024.0;

/// Gradients with the scale in them, wherever it rides.
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for (rows, n, one_hot) in [(31, 7, false), (32, 10, true), (257, 10, true), (257, 65, false), (3, 1000, true)] {
        let loss = move |m: &Make| {
            let labels = if one_hot { m.one_hot(n) } else { m.classes(n) };
            let x = m.p([rows, n]);
            m.metric("accuracy", &x.accuracy(&labels));
            x.cross_entropy_smoothed(&labels, 0.1) * rows as f64
        };
        out.push(Case::new(format!("cross_entropy [{rows}, {n}], scaled"), loss).over(Order::all(rows)));
        let weighed = move |m: &Make| {
            let (x, y) = (m.p([rows, n]), m.classes(n));
            x.tanh().cross_entropy(&y) * m.drawn([], move |u| rows as f64 * (0.5 + u)) + x.square().sum() * 0.3
        };
        out.push(Case::new(format!("cross_entropy [{rows}, {n}] among others, scaled"), weighed).over(Order::all(rows)));
    }
    for n in [1, 33, 256] {
        let squares = move |m: &Make| ((m.batch([8]).matmul(&m.p([8, n])) - m.p([1, n])).square() * 0.7).mean() * 3.0;
        out.push(Case::new(format!("mean of squares [7, {n}], scaled"), squares).over(Order::all(7)));
        let drawn = move |m: &Make| (m.p([7, n]) * m.draw(Distribution::Uniform, [7, n], "a#0")).sum() * 1.5;
        // other numbers in every step: one alone is run
        out.push(Case::new(format!("dropped out [7, {n}], scaled"), drawn).over(Order { rows: 2, ..Order::all(1) }));
        let summed = move |m: &Make| (m.p([1]) * m.batch([n]).square()).sum();
        out.push(Case::new(format!("a number for all of [7, {n}], scaled"), summed).over(Order::all(7)));
        out.push(Case::new(format!("the scale alone [{n}]"), move |m| m.p([n]).sum() * -0.3));
    }
    out.into_iter().map(|c| c.scaled(SCALE)).collect()
}
