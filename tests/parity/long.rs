//! Rows, columns, chains and products longer than one lane may go along: every archetype at sizes beyond the turns that a lane has on software
//! Vulkan, in each direction, forward and backward.

use crate::indices::indices;
use crate::make::{Case, Make, Order, field};
use gradus::graph::Var;
use gradus::tensor::DType;

/// Beyond what one lane does in one go: against the reference.
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let mut case = |name: &str, f: fn(&Make) -> Var| out.push(Case::new(name, f));
    // columns, which many rows make long, and rows, of which there are many
    case("sum of columns [70000, 3]", |m| m.weigh(&(m.p([70_000, 3]) * 0.5).sum_axes(&[0])));
    case("largest of columns [70000, 3]", |m| m.weigh(&m.p([70_000, 3]).max_axes(&[0])));
    case("sum of the middle [2, 66000, 2]", |m| m.weigh(&m.p([2, 66_000, 2]).sum_axes(&[1])));
    case("sum of 20 rows of 17000", |m| m.weigh(&m.p([20, 17_000]).sum_axes(&[1])));
    case("mean from the first of columns [20000, 3]", |m| m.weigh(&(m.p([20_000, 3]) + 3.0).mean_from_first(&[0])));
    case("mean from the first of [3, 5003]", |m| m.weigh(&(m.p([3, 5003]) * 0.5 + m.p([])).mean_from_first(&[1])));
    case("log_softmax [2, 70000]", |m| m.weigh(&m.p([2, 70_000]).log_softmax()));
    case("a product of 70001 terms", |m| m.weigh(&m.p([3, 70_001]).matmul_with(&m.p([5, 70_001]), false, true)));
    case("a product of 66000 terms with an ending", |m| {
        let y = (m.p([3, 66_000]).tanh().matmul(&m.p([66_000, 4])) * 0.01 + m.p([4])).tanh();
        m.weigh(&y) + m.weigh(&(&y * m.p([3, 4])))
    });
    case("a product of 66000 terms with its row sums", |m| {
        let (x, y) = (m.p([66_000, 3]), m.p([66_000, 4]));
        m.weigh(&x.matmul_with(&y, true, false)) + m.weigh(&x.sum_axes(&[0]))
    });
    // on a GPU there are too few tiles for so many terms
    case("a product in pieces with its row sums and an ending", |m| {
        let (x, y) = (m.p([2052, 70]), m.p([2052, 68]));
        m.weigh(&(x.matmul_with(&y, true, false) * 0.02 + m.p([68])).tanh()) + m.weigh(&x.sum_axes(&[0]))
    });
    case("a batch of products of 66000 terms", |m| m.weigh(&m.p([2, 3, 66_000]).matmul(&m.p([2, 66_000, 2]))));
    out.push(Case::predict("softmax [2, 17000]", |m| m.output("p", &(m.p([2, 17_000]) * 4.0).softmax())));
    out.extend([
        Case::new("cross_entropy [2, 25000], classes", |m| loss(m, 25_000, 0.0, true)).over(Order::all(2)),
        Case::new("cross_entropy [2, 9000], probabilities", |m| loss(m, 9_000, 0.0, false)).over(Order::all(2)),
        Case::new("cross_entropy [3, 17000], smoothed", |m| loss(m, 17_000, 0.1, true)).over(Order::all(3)),
        Case::new("cross_entropy [3, 9000], scaled", |m| loss(m, 9_000, 0.1, false)).over(Order::all(3)).scaled(1024.0),
        Case::new("cross_entropy [3, 9000], evaluated alone", |m| loss(m, 9_000, 0.0, false)).over(Order::all(3)).evaluated(),
        Case::new("33000 places of [5, 2]", |m| m.weigh(&m.p([5, 2]).take(&indices(m, "ix", 5, &[])))).over(Order::all(33_000)),
        Case::new("accuracy [3, 17000], probabilities", |m| {
            let x = m.p([3, 17_000]);
            m.metric("hits", &x.accuracy(&m.batch([17_000])));
            m.metric("its own", &x.accuracy(&(&x * 2.0)));
            m.weigh(&x.slice(1, 0..4))
        })
        .over(Order::all(3)),
    ]);
    out
}

fn loss(m: &Make, classes: usize, smoothing: f64, whole: bool) -> Var {
    let x = m.p([m.order.batch, classes]);
    let y = if whole { m.classes(classes) } else { m.field(field("y", DType::F32, [classes]), |u| u * 2e-4) };
    if !whole {
        // hits of their own; behind the loss they are its own
        m.metric("hits alone", &x.accuracy(&y));
    }
    let loss = if smoothing == 0.0 { x.cross_entropy(&y) } else { x.cross_entropy_smoothed(&y, smoothing) };
    m.metric("hits", &x.accuracy(&y));
    loss
}
