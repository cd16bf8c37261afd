//! The tables: every operation, forward and backward, at odd sizes and tile edges. Adding an operation's rows is a line here.
//!
//! Sizes stand in no kernel's source, so they are cheap; formulas, layouts and ranks cost a compilation each.

use crate::make::{Case, Make, Order};
use gradus::expr::Activation;
use gradus::graph::{ReduceKind, Var};
use gradus::nn::{Loss, Mse};
use gradus::tensor::Shape;

type Draw = fn(&Make, Shape) -> Var;
type Unary = fn(&Var) -> Var;
type Binary = fn(&Var, &Var) -> Var;

const ANY: Draw = |m, s| m.p(s);
const WIDE: Draw = |m, s| m.drawn(s, |u| 12.0 * u - 6.0);
const APART: Draw = |m, s| m.apart(s);
const POSITIVE: Draw = |m, s| m.positive(s);

const UNARY: &[(&str, Draw, Unary)] = &[
    ("neg", ANY, |x| -x),
    ("abs", APART, |x| x.abs()),
    ("exp", ANY, |x| x.exp()),
    ("log", POSITIVE, |x| x.log()),
    ("sqrt", POSITIVE, |x| x.sqrt()),
    ("square", ANY, |x| x.square()),
    ("x + 2", ANY, |x| x + 2.0),
    ("2 - x", ANY, |x| 2.0 - x),
    ("0.3 x", ANY, |x| x * 0.3),
    ("2 / x", APART, |x| 2.0 / x),
    ("a chain", ANY, |x| (x * 2.0).tanh() + x.square() * (x + 1.5)),
    ("a value read twice", ANY, |x| {
        let y = x.sigmoid();
        &y * &y + y
    }),
];

const ODD: &[usize] = &[1, 3, 7, 31, 33, 65, 255, 257];
const FOURS: &[usize] = &[4, 32, 64, 256, 1000];

/// A formula of one operand: one odd size, which goes element by element, and one that goes by fours.
pub fn maps() -> Vec<Case> {
    let activations =
        Activation::ALL.iter().map(|&a| (a.name(), WIDE, Box::new(move |x: &Var| x.activation(a)) as Box<dyn Fn(&Var) -> Var>));
    let rest = UNARY.iter().map(|&(name, draw, f)| (name, draw, Box::new(f) as Box<dyn Fn(&Var) -> Var>));
    let mut out = Vec::new();
    for (i, (name, draw, f)) in activations.chain(rest).enumerate() {
        let f = std::rc::Rc::new(f);
        // the first, relu, at every size
        let every: Vec<usize> = ODD.iter().chain(FOURS).copied().collect();
        for n in if i == 0 { every } else { vec![ODD[i % ODD.len()], FOURS[i % FOURS.len()]] } {
            let f = f.clone();
            out.push(Case::new(format!("{name} [{n}]"), move |m| m.weigh(&f(&draw(m, [n].into())))));
        }
    }
    out
}

const BINARY: &[(&str, Draw, Binary)] =
    &[("+", ANY, |a, b| a + b), ("-", ANY, |a, b| a - b), ("*", ANY, |a, b| a * b), ("/", APART, |a, b| a / b)];

/// Operands of an arithmetic operator: alike, repeated along rows, columns, both, neither, and from either side.
const PAIRS: &[(&[usize], &[usize])] = &[
    (&[257], &[257]),
    (&[7, 32], &[7, 32]),
    (&[7, 33], &[33]),
    (&[33], &[7, 33]),
    (&[7, 33], &[7, 1]),
    (&[31, 1], &[1, 65]),
    (&[], &[255]),
    (&[8, 32], &[]),
    (&[2, 3, 4], &[3, 1]),
    (&[3, 1, 5], &[4, 1]),
    (&[2, 1, 3, 1], &[5, 1, 7]),
];

pub fn broadcasts() -> Vec<Case> {
    let mut out = Vec::new();
    for &(name, draw, f) in BINARY {
        for &(a, b) in PAIRS {
            out.push(Case::new(format!("{a:?} {name} {b:?}"), move |m| m.weigh(&f(&m.p(a), &draw(m, b.into())))));
        }
    }
    for (from, to) in [(&[33][..], &[7, 33][..]), (&[7, 1], &[7, 33]), (&[1], &[255]), (&[], &[32]), (&[3, 1, 5], &[2, 3, 4, 5])] {
        out.push(Case::new(format!("{from:?} broadcast to {to:?}"), move |m| {
            let y = m.p(from).tanh().broadcast_to(to);
            m.output("repeated", &y);
            m.weigh(&y)
        }));
    }
    out
}

/// Kinds, shape, axes.
const BOTH: &[ReduceKind] = &[ReduceKind::Sum, ReduceKind::Mean];
const SUM: &[ReduceKind] = &[ReduceKind::Sum];
const MEAN: &[ReduceKind] = &[ReduceKind::Mean];
const REDUCTIONS: &[(&[ReduceKind], &[usize], &[usize])] = &[
    (BOTH, &[255], &[0]),
    (BOTH, &[7, 33], &[0]),
    (BOTH, &[7, 33], &[1]),
    (BOTH, &[7, 33], &[0, 1]),
    (BOTH, &[3, 5, 31], &[0]),
    (BOTH, &[3, 5, 31], &[1]),
    (BOTH, &[3, 5, 31], &[2]),
    (BOTH, &[3, 5, 31], &[0, 1]),
    (BOTH, &[3, 5, 31], &[0, 2]),
    (BOTH, &[3, 5, 31], &[1, 2]),
    (BOTH, &[3, 5, 31], &[0, 1, 2]),
    (SUM, &[1], &[0]),
    (SUM, &[1, 3], &[1]),
    (SUM, &[3, 1], &[1]),
    // a group of lanes shares sums of 64 terms and more
    (SUM, &[5, 63], &[1]),
    (SUM, &[5, 64], &[1]),
    (MEAN, &[5, 256], &[1]),
    (MEAN, &[5, 257], &[1]),
    (SUM, &[70, 700], &[1]),
    (SUM, &[1000, 3], &[0]),
    (SUM, &[2, 300, 65], &[1]),
    // few long sums are cut into pieces, whose own sum may be long enough to share
    (SUM, &[1025], &[0]),
    (MEAN, &[3, 5003], &[1]),
    (SUM, &[8193], &[0]),
    (MEAN, &[2, 20_003], &[1]),
    (SUM, &[300_001], &[0]),
    // columns by fours, whole and in pieces, and such as lanes share that fill no workgroup
    (SUM, &[300, 64], &[0]),
    (MEAN, &[1030, 255], &[0]),
    (SUM, &[2, 66, 12], &[1]),
    (MEAN, &[4099, 8], &[0]),
    // rows by fours, whose last piece is a short one
    (SUM, &[3, 5004], &[1]),
];

pub fn reductions() -> Vec<Case> {
    let mut out = Vec::new();
    for &(kinds, shape, axes) in REDUCTIONS {
        for &kind in kinds {
            let over = move |x: &Var| if kind == ReduceKind::Sum { x.sum_axes(axes) } else { x.mean_axes(axes) };
            out.push(Case::new(format!("{kind:?} of {shape:?} over {axes:?}"), move |m| m.weigh(&over(&m.p(shape)))));
        }
    }
    // maps ride on a reduction
    for (shape, axes) in [(&[7, 33][..], &[1][..]), (&[7, 33], &[0]), (&[3, 5000], &[1]), (&[3, 5, 31], &[0, 2])] {
        out.push(Case::new(format!("sum of products {shape:?} over {axes:?}"), move |m| {
            m.weigh(&(m.p(shape) * m.p(shape)).sum_axes(axes))
        }));
        out.push(Case::new(format!("mean of tanh {shape:?} over {axes:?}"), move |m| m.weigh(&m.p(shape).tanh().mean_axes(axes))));
    }
    for (shape, axis) in [(&[7, 33][..], 1), (&[7, 33], 0), (&[3, 5, 31], 1), (&[5, 257], 1), (&[1000, 3], 0)] {
        out.push(Case::new(format!("mean from the first of {shape:?} over {axis}"), move |m| {
            m.weigh(&(m.p(shape) + 3.0).mean_from_first(&[axis]))
        }));
    }
    out.push(Case::new("mean from the first of [7, 33]", |m| m.weigh(&(m.p([7, 33]) + 3.0).mean_from_first(&[1]))));
    out.extend(crate::variances::cases());
    out.extend(several());
    out.push(Case::new("sum, mean of everything", |m| m.p([7, 33]).sum() * m.p([3, 5]).mean()));
    out
}

/// Shape, axis, and the shape of what a whole axis has in common.
const SEVERAL: &[(&[usize], usize, &[usize])] = &[
    (&[257, 64], 0, &[64]),
    (&[7, 33], 0, &[7, 1]),
    (&[7, 33], 1, &[33]),
    (&[5, 256], 1, &[5, 1]),
    (&[4, 70, 5], 1, &[4, 1, 5]),
    (&[4100, 12], 0, &[12]),
    (&[3, 5003], 1, &[]),
];

/// Reductions of every kind that read one operand: one launch makes them.
fn several() -> Vec<Case> {
    let one = |&(shape, axis, common): &(&'static [usize], usize, &'static [usize])| {
        Case::new(format!("several sums of {shape:?} over {axis}"), move |m| {
            let (x, y, c) = (m.p(shape), m.p(shape), m.p(common));
            let (sum, products) = ((&x - c).sum_axes(&[axis]), (&x * y).sum_axes(&[axis]));
            m.weigh(&((&x + 3.0).mean_from_first(&[axis]).reshape(sum.shape()) * &products + sum * x.max_axes(&[axis])))
        })
    };
    SEVERAL.iter().map(one).collect()
}

const LAYOUTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// m, n, k: one; odd; a tile of either kind, one less and one more; each operand by fours or not; the large tile.
const PRODUCTS: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 33, 7),
    (31, 1, 65),
    (3, 7, 5),
    (7, 31, 4),
    (8, 32, 16),
    (9, 36, 15),
    (12, 5, 20),
    (32, 33, 32),
    (33, 65, 31),
    (64, 64, 64),
    (65, 64, 17),
    (66, 68, 3),
    (257, 3, 255),
    (2, 1000, 3),
    (3, 2, 1000),
    (130, 129, 33),
    (9, 33, 200),
];

/// Too large to be tried in every layout: where a GPU, or an adapter whose lanes share, takes its largest tile. Their gradients are products of
/// the other layouts.
const LARGE: &[(&str, usize, usize, usize)] = &[("nn", 2049, 1025, 9), ("nt", 1030, 2050, 7), ("nn", 130, 132, 129)];

fn stored(transposed: bool, rows: usize, columns: usize) -> [usize; 2] {
    if transposed { [columns, rows] } else { [rows, columns] }
}

pub fn products() -> Vec<Case> {
    let mut out = Vec::new();
    for (ta, tb) in LAYOUTS {
        let layout = format!("{}{}", if ta { 't' } else { 'n' }, if tb { 't' } else { 'n' });
        for &(m, n, k) in PRODUCTS {
            let (a, b) = (stored(ta, m, k), stored(tb, k, n));
            out.push(Case::new(format!("{layout} {m} x {n} x {k}"), move |make| make.weigh(&make.p(a).matmul_with(&make.p(b), ta, tb))));
        }
        for lead in [&[3][..], &[2, 3]] {
            let with = move |s: [usize; 2]| [lead, &s[..]].concat();
            out.push(Case::new(format!("{layout} of rank {}", lead.len() + 2), move |m| {
                m.weigh(&m.p(with(stored(ta, 9, 7))).matmul_with(&m.p(with(stored(tb, 7, 36))), ta, tb))
            }));
        }
    }
    for &(layout, m, n, k) in LARGE {
        let tb = layout == "nt";
        let b = stored(tb, k, n);
        out.push(Case::new(format!("{layout} {m} x {n} x {k}"), move |make| {
            make.weigh(&make.p([m, k]).matmul_with(&make.p(b), false, tb))
        }));
    }
    out.push(Case::new("a long product of rank 3", |m| m.weigh(&m.p([3, 9, 300]).matmul(&m.p([3, 300, 17])))));
    out.push(Case::new("a long row sum", |m| {
        let (x, y) = (m.p([203, 24]), m.p([203, 20]));
        m.weigh(&x.matmul_with(&y, true, false)) + m.weigh(&x.sum_axes(&[0]))
    }));
    out.push(Case::new("x times x transposed", |m| {
        let x = m.p([33, 7]);
        m.weigh(&x.matmul_with(&x, false, true))
    }));
    out.push(Case::new("of what kernels made", |m| m.weigh(&m.p([5, 33]).tanh().matmul(&m.p([33, 12]).square()))));
    out
}

/// What rides on a product: the second operand's shape is repeated to the product's.
const EPILOGUES: &[(&str, &[usize], &[usize], &[usize], Binary)] = &[
    ("row", &[9, 7], &[7, 33], &[33], |y, b| y + b),
    ("column", &[9, 7], &[7, 33], &[9, 1], |y, b| y * b),
    ("one", &[9, 7], &[7, 33], &[], |y, b| b - y),
    ("element", &[9, 7], &[7, 33], &[9, 33], |y, b| y * b + y),
    ("flat", &[9, 7], &[7, 33], &[297], |y, b| y.reshape([297]) * b),
    ("row of a batch", &[2, 9, 7], &[2, 7, 33], &[33], |y, b| y + b),
    ("batch of one", &[2, 9, 7], &[2, 7, 33], &[2, 1, 1], |y, b| y * b),
    ("element of a batch", &[2, 9, 7], &[2, 7, 33], &[2, 9, 33], |y, b| (y * b).tanh()),
    ("row of two batch axes", &[2, 3, 9, 7], &[2, 3, 7, 5], &[5], |y, b| y + b),
    ("element of two batch axes", &[2, 3, 9, 7], &[2, 3, 7, 5], &[2, 3, 9, 5], |y, b| y * b),
    // a launch each: a mask for each of the outer axis, one for each of the inner, a row behind a reshape, rows of one shared matrix
    ("mask of the outer batch axis", &[2, 3, 9, 7], &[2, 3, 7, 5], &[2, 1, 9, 5], |y, b| y + b),
    ("mask of the inner batch axis", &[2, 3, 9, 7], &[2, 3, 7, 8], &[3, 9, 8], |y, b| (y + b).tanh()),
    ("row behind a reshape", &[18, 7], &[7, 33], &[33], |y, b| y.reshape([2, 9, 33]) + b),
    ("row of images", &[2, 3, 4, 7], &[1, 1, 7, 5], &[5], |y, b| (y + b).relu()),
    ("row of single rows", &[6, 1, 7], &[1, 7, 5], &[6, 1, 1], |y, b| y * b),
];

/// `rows` samples of `sizes[0]` features through layers of PyTorch's layout.
fn network(m: &Make, sizes: &[usize], activation: Activation) -> Var {
    let mut x = m.batch([sizes[0]]);
    for (i, s) in sizes.windows(2).enumerate() {
        let bound = 1.0 / (s[0] as f64).sqrt();
        let small = |shape: &[usize]| m.drawn(shape, move |u| bound * (4.0 * u - 2.0));
        x = x.matmul_with(&small(&[s[1], s[0]]), false, true) + small(&[s[1]]);
        if i + 2 < sizes.len() {
            x = x.activation(activation);
        }
    }
    x
}

pub fn layers() -> Vec<Case> {
    let mut out = Vec::new();
    for &(name, a, b, c, f) in EPILOGUES {
        out.push(Case::new(format!("a product with one {name}"), move |m| m.weigh(&f(&m.p(a).matmul(&m.p(b)), &m.p(c)))));
    }
    for &a in Activation::ALL {
        out.push(Case::new(format!("layers with {}", a.name()), move |m| m.weigh(&network(m, &[7, 33, 5], a))).over(Order::all(31)));
    }
    for rows in [1, 3, 32, 65] {
        let body = |m: &Make| m.weigh(&network(m, &[12, 68, 32, 10], Activation::Relu));
        out.push(Case::new(format!("deep layers, batch {rows}"), body).over(Order::all(rows)));
    }
    let gap = |m: &Make| {
        // one tensor under two readers, a view in the middle, and a residual
        let x = m.batch([6, 5]);
        let h = x.reshape([m.order.batch, 30]).matmul(&m.p([30, 30])).tanh();
        m.weigh(&(h.matmul_with(&m.p([30, 30]), false, true) + &h).reshape([m.order.batch, 6, 5]))
    };
    out.push(Case::new("a residual over a view", gap).over(Order::all(33)));
    out.push(
        Case::new("a frozen input under two products", |m| {
            let x = m.batch([9]);
            m.weigh(&(x.matmul(&m.p([9, 4])) * x.matmul(&m.p([9, 4]))))
        })
        .over(Order::all(7)),
    );
    out
}

pub fn views() -> Vec<Case> {
    let mut out = Vec::new();
    for (from, to) in [(&[7, 33][..], &[33, 7][..]), (&[7, 33], &[231]), (&[255], &[3, 1, 85]), (&[1], &[]), (&[2, 3, 4], &[4, 6])] {
        out.push(Case::new(format!("{from:?} as {to:?}"), move |m| {
            let y = m.p(from).tanh().reshape(to);
            m.output("view", &y);
            m.weigh(&(y * m.p(to)))
        }));
    }
    out.push(Case::new("a parameter as an output", |m| {
        let x = m.p([33]);
        m.output("itself", &x);
        m.output("a view", &x.reshape([3, 11]));
        m.weigh(&x)
    }));
    out.push(Case::new("gradients that are constants, parameters, each other", |m| {
        let (a, b, c, d) = (m.p([7]), m.p([7]), m.p([7]), m.p([7]));
        m.output("a constant", &m.constant(0.5, [5]));
        (a * b + c + d).sum()
    }));
    out
}

const SOFTMAX: &[&[usize]] = &[&[7], &[1, 1], &[3, 1], &[3, 7], &[65, 10], &[257, 3], &[2, 1000], &[2, 3, 5]];

/// Rows, classes: one workgroup does up to 8,192 or 16,384 values, several do more.
const CLASSES: &[(usize, usize)] =
    &[(1, 2), (3, 7), (32, 10), (600, 33), (255, 3), (257, 10), (1000, 10), (5, 257), (3, 1000), (2, 2049), (257, 65)];

pub fn classifiers() -> Vec<Case> {
    let mut out = Vec::new();
    for &shape in SOFTMAX {
        out.push(Case::new(format!("softmax {shape:?}"), move |m| m.weigh(&m.p(shape).softmax())));
        out.push(Case::new(format!("log_softmax {shape:?}"), move |m| m.weigh(&m.p(shape).log_softmax())));
    }
    for &(rows, n) in CLASSES {
        for one_hot in [false, true] {
            let labels = move |m: &Make| if one_hot { m.one_hot(n) } else { m.classes(n) };
            let kind = if one_hot { "probabilities" } else { "classes" };
            // mid-graph, and near 1: a mean over many rows alone has slopes below every tolerance
            let loss = move |m: &Make| {
                let (x, y) = (m.p([rows, n]), labels(m));
                let loss = x.cross_entropy(&y);
                // after it: then its kernel counts the hits
                m.metric("accuracy", &x.accuracy(&y));
                loss * m.drawn([], move |u| rows as f64 * (0.5 + u))
            };
            let case = Case::new(format!("cross_entropy [{rows}, {n}], {kind}"), loss).over(Order::all(rows));
            out.extend([case.clone(), case.evaluated()]);
            let hits = move |m: &Make| {
                let x = m.p([rows, n]);
                m.metric("accuracy", &x.tanh().accuracy(&labels(m)));
                m.weigh(&x)
            };
            out.push(Case::new(format!("accuracy [{rows}, {n}], {kind}"), hits).over(Order::all(rows)));
        }
    }
    out.push(Case::new("log_softmax, far apart", |m| m.weigh(&m.drawn([7, 33], |u| 800.0 * u - 400.0).log_softmax())));
    for (rows, n, one_hot, s) in
        [(31, 7, false, 0.1), (31, 7, true, 0.1), (257, 10, false, 0.3), (3, 1000, true, 0.9), (257, 65, false, 0.2)]
    {
        let smoothed = move |m: &Make| {
            let labels = if one_hot { m.one_hot(n) } else { m.classes(n) };
            let x = m.p([rows, n]);
            m.metric("accuracy", &x.accuracy(&labels));
            x.cross_entropy_smoothed(&labels, s) * rows as f64
        };
        let case = Case::new(format!("cross_entropy [{rows}, {n}] smoothed by {s}"), smoothed).over(Order::all(rows));
        out.extend([case.clone(), case.evaluated()]);
    }
    let soft = |m: &Make| {
        let y = m.batch([5]).softmax() * 0.7;
        m.p([m.order.batch, 5]).cross_entropy(&y) * 31.0
    };
    out.push(Case::new("cross_entropy with soft labels that sum to 0.7", soft).over(Order::all(31)));
    for (row, labels) in [(&[3][..], &[3][..]), (&[1], &[]), (&[2, 33], &[2, 33])] {
        let mse = move |m: &Make| {
            let (rows, out) = (m.order.batch, [&[m.order.batch], row].concat());
            Loss::from(Mse::new()).build(&m.p(out).tanh(), &m.batch(labels)) * (rows * row.iter().product::<usize>()) as f64
        };
        out.push(Case::new(format!("mse {row:?}, labels {labels:?}"), mse).over(Order::all(31)));
    }
    // as many as the tick binds one by one, and more: these are brought together first
    for n in [4, 5, 12] {
        let metrics = move |m: &Make| {
            let x = m.p([7, n]);
            (0..n).for_each(|i| m.metric(&format!("m{i}"), &(x.square().mean() * (1.0 + i as f64))));
            m.weigh(&x)
        };
        let case = Case::new(format!("{n} metrics"), metrics);
        out.extend([case.clone(), case.evaluated()]);
    }
    // of several values: bound one by one, and in one buffer, where some are written at once and others copied
    for n in [1, 2] {
        let wide = move |m: &Make| {
            let (x, b) = (m.p([7, 300]), m.batch([3]));
            for i in 0..n {
                m.metric(&format!("columns {i}"), &(x.square().sum_axes(&[0]) * (1.0 + i as f64)));
                m.metric(&format!("rows {i}"), &(&x * &x.sum_keep(&[1])).sum_axes(&[1]));
                m.metric(&format!("field {i}"), &(&b + i as f64));
            }
            m.metric("mean", &x.mean());
            if n > 1 {
                m.metric("the parameter itself", &x);
                let read = x.max_axes(&[1]);
                m.metric("read again", &read);
                return m.weigh(&x) + m.weigh(&read);
            }
            m.weigh(&x)
        };
        let case = Case::new(format!("metrics of several values, {}", 3 * n + 2 * n - 1), wide).over(Order::all(5));
        out.extend([case.clone(), case.evaluated()]);
    }
    for (name, rows) in [("the article's network", 32), ("the article's network, ragged", 7)] {
        let article = |m: &Make| {
            let (logits, y) = (network(m, &[784, 64, 32, 10], Activation::Relu), m.classes(10));
            let loss = logits.cross_entropy(&y);
            m.metric("accuracy", &logits.accuracy(&y));
            loss * m.order.batch as f64
        };
        let case = Case::new(name, article).over(Order::shuffled(rows, 100));
        out.extend([case.clone(), case.evaluated()]);
    }
    out
}
