//! Work along rows that becomes one launch: normalisations and formulas of a user's own, at widths around every number of lanes.

use crate::make::{Case, Make};
use gradus::graph::Var;

/// Rows and widths: one lane, 8, 32, 64 and 256 of them, one value less and one more; with partial sums and without.
const SHAPES: &[[usize; 2]] = &[[7, 3], [65, 8], [3, 9], [5, 31], [33, 32], [2, 33], [3, 64], [3, 255], [17, 257], [2, 1000], [3, 1025]];

fn normalised(m: &Make, x: &Var, axes: &[usize]) -> Var {
    let own = x.shape().dims()[axes[0]..].to_vec();
    let centred = x - x.mean_from_first(axes);
    let y = &centred / (centred.square().mean_keep(axes) + 1e-3).sqrt();
    y * m.p(own.clone()) + m.p(own)
}

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for &[r, w] in SHAPES {
        out.push(Case::new(format!("normalised rows [{r}, {w}]"), move |m| m.weigh(&normalised(m, &m.p([r, w]), &[1]))));
    }
    for [r, w] in [[1, 5], [3, 255], [5, 300]] {
        out.push(Case::new(format!("log-sum-exp of rows [{r}, {w}]"), move |m| {
            let x = m.p([r, w]) - 3.0;
            let top = x.max_keep(&[1]).detach();
            m.output("largest", &top.reshape([r]));
            m.weigh(&((&x - &top).exp().sum_axes(&[1]).log() + top.reshape([r])))
        }));
    }
    out.push(Case::predict("a softmax alone [65, 10]", |m| m.output("p", &(m.p([65, 10]) * 200.0).softmax())));
    let mut case = |name: &str, body: fn(&Make) -> Var| out.push(Case::new(name, body));
    case("rows from their first [3, 33]", |m| {
        let x = m.p([3, 33]) + 7.0;
        m.output("means", &x.mean_from_first(&[1]).reshape([3]));
        m.weigh(&(&x - x.mean_from_first(&[1])).tanh())
    });
    case("root mean squares of rows [9, 65]", |m| {
        let x = m.p([9, 65]);
        m.weigh(&(&x / (x.square().mean_keep(&[1]) + 1e-3).sqrt() * m.p([65])))
    });
    case("rows of two axes [5, 3, 11]", |m| m.weigh(&normalised(m, &m.p([5, 3, 11]), &[1, 2])));
    case("rows with numbers and columns [5, 31]", |m| {
        let x = m.p([5, 31]) * m.p([5, 1]) + m.p([31]);
        let total = (&x * 0.1).sum_keep(&[1]) * m.p([]) + m.p([5, 1]);
        m.output("totals", &total);
        m.weigh(&(x.tanh() * total))
    });
    case("two sums of rows [3, 1000]", |m| {
        let x = m.p([3, 1000]);
        let (sum, squares) = (x.mean_keep(&[1]), x.square().mean_keep(&[1]));
        m.weigh(&(&x * sum + x.square() * squares))
    });
    case("as many rows as columns [31, 31]", |m| {
        let x = m.p([31, 31]);
        m.weigh(&(&x + x.sum_axes(&[1]) * x.sum_axes(&[1]).reshape([31, 1])))
    });
    // numbers of rows whose last axis is as long as a row is wide
    case("numbers of rows with what lies along them [3, 4, 4]", |m| {
        let sums = m.p([3, 4, 4]).sum_axes(&[2]);
        m.output("sums", &(&sums + m.p([4])));
        m.weigh(&(sums * m.p([3, 1])))
    });
    case("a softmax, what it is made of and what follows [9, 40]", |m| {
        let x = (m.p([9, 40]) * m.p([9, 1])).tanh() * 3.0;
        m.output("before", &x);
        let y = x.softmax();
        m.weigh(&(y.square() * 5.0 - &y * y.square().sum_keep(&[1])))
    });
    case("rows in turn [5, 40]", |m| {
        let y = normalised(m, &(m.p([5, 40]) * 2.0), &[1]);
        m.weigh(&normalised(m, &(y.relu() + m.p([5, 40])), &[1]))
    });
    out
}
