//! Movements, the largest, and products whose leading axes broadcast: each alone, between other operations, and as a view.

use crate::make::{Case, Make, Order, field};
use gradus::graph::{Field, Var};
use gradus::tensor::DType;

type Move = Box<dyn Fn(&Var) -> Var>;

fn boxed(f: impl Fn(&Var) -> Var + 'static) -> Move {
    Box::new(f)
}

/// Name, shape, movement.
fn table() -> Vec<(String, Vec<usize>, Move)> {
    let mut out: Vec<(String, Vec<usize>, Move)> = Vec::new();
    let orders: &[(&[usize], &[usize])] = &[
        (&[7, 33], &[1, 0]),
        (&[1, 257], &[1, 0]),
        (&[32, 64], &[1, 0]),
        (&[3, 5, 31], &[0, 2, 1]),
        (&[3, 5, 31], &[1, 0, 2]),
        (&[3, 5, 31], &[2, 1, 0]),
        (&[2, 3, 4, 5], &[0, 2, 1, 3]),
        (&[2, 3, 4, 5], &[3, 0, 2, 1]),
        (&[2, 1, 3, 1, 5], &[4, 3, 2, 1, 0]),
    ];
    for &(shape, axes) in orders {
        out.push((format!("permute {shape:?} by {axes:?}"), shape.into(), boxed(move |x| x.permute(axes))));
    }
    let ranges: &[(&[usize], usize, std::ops::Range<usize>)] = &[
        (&[255], 0, 0..1),
        (&[255], 0, 3..255),
        (&[257], 0, 4..256),
        (&[7, 33], 0, 2..5),
        (&[7, 33], 1, 1..33),
        (&[3, 5, 31], 1, 4..5),
        (&[2, 3, 4, 5], 2, 1..3),
    ];
    for (shape, axis, range) in ranges.iter().cloned() {
        out.push((format!("slice {range:?} of axis {axis} of {shape:?}"), shape.into(), boxed(move |x| x.slice(axis, range.clone()))));
    }
    let pads: &[(&[usize], &[(usize, usize)], f64)] = &[
        (&[1], &[(3, 0)], 1.5),
        (&[255], &[(0, 2)], 0.0),
        (&[7, 33], &[(1, 0), (0, 3)], -0.5),
        (&[7, 32], &[(0, 0), (2, 2)], 0.0),
        (&[7, 32], &[(2, 1), (0, 0)], 3.0),
        (&[3, 1, 31], &[(0, 1), (2, 2), (1, 0)], 0.25),
        (&[2, 3, 4, 5], &[(1, 1), (0, 0), (1, 2), (0, 0)], 1.0),
    ];
    for &(shape, padding, value) in pads {
        out.push((format!("pad {shape:?} by {padding:?}"), shape.into(), boxed(move |x| x.pad(padding, value))));
    }
    out
}

/// Parts that are put together, and along which axis.
const TOGETHER: &[(&[&[usize]], usize)] =
    &[(&[&[3, 7], &[5, 7]], 0), (&[&[7, 3], &[7, 1], &[7, 30]], 1), (&[&[2, 3, 5], &[2, 4, 5]], 1), (&[&[255], &[1]], 0)];

/// Alone; between a formula and a sum; twice in one formula beside what it was made of; in front of a product and of a softmax.
pub fn movements() -> Vec<Case> {
    let mut out = Vec::new();
    for (name, shape, f) in table() {
        let f = std::rc::Rc::new(f);
        let (g, s) = (f.clone(), shape.clone());
        out.push(Case::new(name.clone(), move |m| {
            let y = g(&m.p(s.clone()));
            m.output("moved", &y);
            m.weigh(&y)
        }));
        out.push(Case::new(format!("{name}, as a view"), move |m| {
            let x = m.p(shape.clone()).tanh();
            let y = f(&x);
            // the map reads it along strides, beside a value of its own and one repeated
            let z = (&y * m.p(y.shape()) + m.p([y.shape().last()])).sigmoid() * &y;
            m.weigh(&z) + m.weigh(&x)
        }));
    }
    let case = |name: &str, f: fn(&Make) -> Var| Case::new(name, f);
    out.extend([
        case("a permuted sum", |m| m.weigh(&m.p([5, 7, 9]).permute(&[2, 0, 1]).sum_axes(&[1]))),
        case("a softmax of a slice", |m| m.weigh(&m.p([9, 31]).slice(1, 3..20).softmax())),
        case("a slice of a softmax", |m| m.weigh(&m.p([9, 31]).softmax().slice(0, 2..7))),
        case("a slice of a permuted pad", |m| m.weigh(&m.p([5, 6]).pad(&[(1, 2), (0, 1)], 2.0).t().slice(1, 1..8).exp())),
        case("a view repeated", |m| m.weigh(&(m.p([4, 33]).slice(0, 1..2) * m.p([5, 33]) + m.p([7, 1]).t().slice(1, 2..3)))),
        case("a padded view repeated", |m| m.weigh(&(m.p([1, 5]).pad(&[(0, 0), (1, 1)], 0.5) * m.p([9, 7])))),
        case("a reshape of a permute", |m| m.weigh(&(m.p([4, 6]).t().reshape([8, 3]) * m.p([8, 3])))),
        case("a permute of a reshape", |m| m.weigh(&(m.p([4, 6]).tanh().reshape([8, 3]).t() * m.p([3, 8])))),
        case("a product of a transpose", |m| m.weigh(&m.p([33, 7]).t().matmul(&m.p([33, 5])))),
        case("a product by a transpose", |m| m.weigh(&m.p([7, 33]).matmul(&m.p([5, 33]).t()).tanh())),
        case("a view of a product", |m| {
            let h = m.p([7, 33]).matmul(&m.p([33, 12])) + m.p([12]);
            m.weigh(&(h.slice(1, 0..6).sigmoid() * h.slice(1, 6..12).tanh()))
        }),
        case("heads of an attention", |m| {
            let h = m.p([2, 5, 12]).tanh();
            let heads = |x: &Var| x.reshape([2, 5, 3, 4]).permute(&[0, 2, 1, 3]);
            let scores = heads(&h).matmul(&heads(&(&h * 0.5)).transpose(2, 3)).softmax();
            let y = scores.matmul(&heads(&h)).permute(&[0, 2, 1, 3]).reshape([2, 5, 12]);
            m.weigh(&y)
        }),
        case("one element of a higher rank behind a reshape", |m| {
            let h = m.p([4, 6]).tanh().reshape([4, 1, 6]) * m.p([1, 1, 1]);
            m.weigh(&h)
        }),
        case("a view as an output", |m| {
            let y = m.p([3, 5]).t();
            m.output("transposed", &y);
            m.weigh(&y.square())
        }),
        case("both ways at once", |m| {
            let x = m.p([33, 33]).tanh();
            m.weigh(&(&x + x.t() * 2.0))
        }),
    ]);
    for &(parts, axis) in TOGETHER {
        out.push(Case::new(format!("concat {parts:?} along {axis}"), move |m| {
            let all: Vec<Var> = parts.iter().map(|&s| m.p(s)).collect();
            let y = all[0].concat(&all[1..].iter().collect::<Vec<_>>(), axis);
            m.output("together", &y);
            m.weigh(&y)
        }));
    }
    out.push(Case::new("seven together, of four axes", |m| {
        let mut all: Vec<Var> = (0..6).map(|i| m.p([3, 1 + i % 3, 5, 4])).collect();
        all.push(m.p([3, 4, 2, 5]).permute(&[0, 2, 3, 1]));
        let y = all[6].concat(&all[..6].iter().collect::<Vec<_>>(), 1);
        m.output("together", &y);
        m.weigh(&y.tanh())
    }));
    out.push(Case::new("ten together, then apart", |m| {
        let all: Vec<Var> = (0..10).map(|i| m.p([3, 1 + i % 3]).tanh()).collect();
        let y = all[0].concat(&all[1..].iter().collect::<Vec<_>>(), 1).exp();
        let apart = y.split(1, &[4, y.shape()[1] - 4]);
        m.weigh(&apart[0]) + m.weigh(&apart[1].softmax())
    }));
    out.push(Case::new("a stack", |m| {
        let (a, b, c) = (m.p([3, 5]), m.p([3, 5]).tanh(), m.p([3, 5]));
        m.weigh(&a.stack(&[&b, &c], 1).sum_axes(&[0]))
    }));
    out
}

pub fn largest() -> Vec<Case> {
    let mut out = Vec::new();
    let shapes: &[(&[usize], &[usize])] = &[
        (&[1], &[0]),
        (&[255], &[0]),
        (&[7, 33], &[0]),
        (&[7, 33], &[1]),
        (&[3, 5, 31], &[0, 2]),
        (&[3, 5, 31], &[1]),
        (&[5, 257], &[1]),
        (&[2, 20_000], &[1]),
        (&[1000, 3], &[0]),
        (&[8193], &[0]),
    ];
    for &(shape, axes) in shapes {
        out.push(Case::new(format!("max of {shape:?} over {axes:?}"), move |m| m.weigh(&m.p(shape).max_axes(axes))));
    }
    out.push(Case::new("the largest of negatives", |m| m.weigh(&m.drawn([7, 65], |u| u - 3.0).max_axes(&[1]))));
    out.push(Case::new("the largest of negative columns", |m| m.weigh(&m.drawn([65, 7], |u| u - 3.0).max_axes(&[0]))));
    out.push(Case::new("min of [7, 33]", |m| m.weigh(&m.p([7, 33]).min_axes(&[1])) * m.p([9]).min()));
    // whole numbers: several are the largest, and share the gradient
    out.push(Case::new("equal ones", |m| m.weigh(&m.drawn([9, 31], |u| (3.0 * u).floor()).max_axes(&[1]))));
    out.push(Case::new("a softmax by hand", |m| {
        let x = m.p([9, 31]);
        let e = (&x - x.max_keep(&[1])).exp();
        m.weigh(&(&e / e.sum_keep(&[1])))
    }));
    out.push(Case::new("the last is the largest", |m| {
        let x = m.p([5, 9]);
        m.output("where", &x.pad(&[(0, 0), (0, 1)], 9.0).argmax(1));
        m.weigh(&x)
    }));
    out.push(Case::predict("argmax with NaN", |m| {
        let x = m.drawn([7, 300], |u| if u > 0.99 { f64::NAN } else { u });
        m.output("along rows", &x.argmax(1));
        m.output("along columns", &x.argmax(0));
    }));
    // a lane a result, 32, 64 and 256 of them, side by side and columns apart
    let shapes: [(&[usize], usize); 10] = [
        (&[7, 33], 1),
        (&[7, 33], 0),
        (&[3, 5, 31], 1),
        (&[257], 0),
        (&[9, 1], 1),
        (&[5, 300], 1),
        (&[3, 600], 1),
        (&[9, 2100], 1),
        (&[300, 3], 0),
        (&[2, 70, 70], 1),
    ];
    for (shape, axis) in shapes {
        out.push(Case::new(format!("argmax of {shape:?} along {axis}"), move |m| {
            let x = m.drawn(shape, |u| (40.0 * u).floor());
            m.output("where", &x.argmax(axis));
            m.weigh(&x)
        }));
    }
    out
}

/// Kernels that look at whole rows.
pub fn row_kernels() -> Vec<Case> {
    let mut out = Vec::new();
    for (shape, axis) in [(&[1][..], 0), (&[257], 0), (&[7, 33], 1), (&[65, 10], 1), (&[7, 33], 0), (&[3, 5, 31], 1)] {
        out.push(Case::new(format!("cumsum of {shape:?} along {axis}"), move |m| {
            let y = m.p(shape).tanh().cumsum(axis);
            m.output("sums", &y);
            m.weigh(&(y * 0.5))
        }));
    }
    out
}

/// Shapes of the two operands.
const PRODUCTS: &[(&[usize], &[usize])] = &[
    (&[3, 5, 7], &[7, 9]),
    (&[5, 7], &[3, 7, 9]),
    (&[1, 5, 7], &[3, 7, 9]),
    (&[2, 1, 5, 7], &[3, 7, 4]),
    (&[2, 3, 5, 4], &[1, 1, 4, 8]),
    (&[7], &[7, 9]),
    (&[5, 7], &[7]),
    (&[7], &[7]),
    (&[3, 5, 7], &[7]),
    (&[2, 33, 32], &[32, 64]),
];

pub fn batched() -> Vec<Case> {
    let product = |&(a, b): &(&'static [usize], &'static [usize])| {
        Case::new(format!("{a:?} x {b:?}"), move |m: &Make| m.weigh(&(m.p(a).tanh().matmul(&m.p(b)) * 0.5)))
    };
    let mut out: Vec<Case> = PRODUCTS.iter().map(product).collect();
    // more than an axis of the grid has workgroups, two for each matrix
    out.push(Case::predict("65,540 matrices", |m| m.output("products", &m.p([65_540, 1, 1]).matmul(&m.p([65_540, 1, 33])))));
    out.push(Case::new("one transposed matrix for all", |m| m.weigh(&m.p([3, 7, 5]).matmul_with(&m.p([1, 9, 7]), true, true))));
    out
}

/// Integers move too: their bits, not their values as reals.
pub fn integers() -> Vec<Case> {
    let codes = |m: &Make| {
        let f = Field { keep_integer: true, ..field("ix", DType::U32, [6]) };
        m.field(f, |u| (u * 3e6).floor())
    };
    let mut out = Vec::new();
    let mut case = |name: &str, f: fn(&Var) -> Var| {
        let body = move |m: &Make| m.output("moved", &f(&codes(m)));
        out.push(Case::predict(name, body).over(Order::all(7)));
    };
    case("integers transposed", |x| x.t());
    case("a slice of integers", |x| x.slice(1, 1..5));
    case("rows of integers", |x| x.slice(0, 2..6));
    case("integers in a frame", |x| x.pad(&[(1, 0), (2, 1)], 77.0));
    out
}
