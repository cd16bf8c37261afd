//! Mixed precision: every kernel that reads or stores f16, forward and backward, at odd sizes and by fours.
//!
//! The reference rounds where the plan says that a kernel stores, so a row's tolerance is that of f32, and a step of f16 where a rounding may turn
//! over. What is stored as f16 stands between two products; so the rows begin and end with one.

use crate::make::{Case, Make, Order, field};
use gradus::graph::{Field, Op, Precision, Var};
use gradus::tensor::DType;

/// A value `[rows, columns]` stored as f16: a product, of parameters' working copies.
fn half(m: &Make, rows: usize, columns: usize) -> Var {
    m.p([rows, 5]).matmul(&m.p([5, columns])) * 0.4
}

/// A loss behind a last product: what feeds it is stored as f16, and its gradient too.
fn end(m: &Make, y: &Var) -> Var {
    let last = y.shape().last();
    m.weigh(&y.matmul(&m.p([last, 3])))
}

fn swapped(x: &Var, swap: bool) -> Var {
    if swap { x.transpose(x.shape().rank() - 2, x.shape().rank() - 1) } else { x.clone() }
}

/// Operands and results of f16 in every layout: element by element, and by fours.
fn products() -> Vec<Case> {
    let mut out = Vec::new();
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        for (m, n, k) in [(9, 37, 15), (8, 68, 16)] {
            let t = |t| if t { 't' } else { 'n' };
            out.push(Case::new(format!("f16 {}{} {m} x {n} x {k}", t(ta), t(tb)), move |s| {
                // working copies, f16 too
                let a = if ta { s.p([k, m]) } else { s.p([m, k]) };
                let b = if tb { s.p([n, k]) } else { s.p([k, n]) };
                let y = swapped(&a, ta).matmul(&swapped(&b, tb));
                end(s, &(y * 0.3).tanh())
            }));
        }
    }
    // more rows, and more terms in their gradients, than the CPU widens at once
    out.push(
        Case::new("f16 products of many rows", |s| end(s, &((s.batch([6]).matmul(&s.p([6, 9])) + s.p([9])) * 0.3).tanh()))
            .over(Order::all(1101)),
    );
    // weights straight from their copies, a bias and a residual in the epilogue
    for (rows, wide) in [(7, 33), (8, 32)] {
        out.push(Case::new(format!("f16 layers [{rows}, {wide}]"), move |s| {
            let x = half(s, rows, wide);
            let h = (x.matmul(&s.p([wide, wide]).transpose(0, 1)) * 0.2 + s.p([wide])).relu();
            end(s, &(h + x))
        }));
    }
    // below 2^-14 the steps of f16 are 2^-24, on every machine: nothing is flushed to 0
    out.push(Case::new("f16 below the normal range", |s| {
        let x = s.p([7, 20]).matmul(&s.p([20, 33])) * 3e-5;
        end(s, &x)
    }));
    // beyond 65504 it is infinite, in memory and for the kernel's own readers
    out.push(
        Case::new("f16 beyond the largest", |s| {
            let x = s.positive([5, 8]).matmul(&s.positive([8, 9])) * 30_000.0;
            s.metric("largest", &x.max_axes(&[1]));
            s.metric("bounded", &x.minimum(&s.constant(1e6, [1])).max_axes(&[1]));
            s.metric("feeds", &x.matmul(&s.positive([9, 1])).max_axes(&[1]));
            s.p([3]).square().sum()
        })
        .evaluated(),
    );
    out.push(Case::new("f16 products of rank 3", |s| {
        let x = half(s, 6, 20).reshape([2, 3, 20]);
        let y = x.matmul(&half(s, 40, 7).reshape([2, 20, 7]));
        let y = y.transpose(1, 2).matmul(&x) * 0.1;
        end(s, &y.reshape([14, 20]))
    }));
    out
}

fn maps() -> Vec<Case> {
    let case = |name: &str, f: fn(&Make, &Var) -> Var| {
        [(7, 33), (8, 32)].map(|(r, c)| Case::new(format!("f16 {name} [{r}, {c}]"), move |s| end(s, &f(s, &half(s, r, c)))))
    };
    let mut out: Vec<Case> = vec![];
    // read twice and more, so that it is stored
    out.extend(case("chain", |_, x| (x.tanh() * x + x.sigmoid()).gelu()));
    out.extend(case("and a row", |s, x| x * s.p([x.shape().last()]) + x.square()));
    out.extend(case("and a column", |s, x| (x * s.p([x.shape()[0], 1])).tanh() + x));
    out.extend(case("with a product of its own", |_, x| {
        x * x.matmul(&x.transpose(x.shape().rank() - 2, x.shape().rank() - 1)).matmul(x) * 0.05
    }));
    out.extend(case("seen in part", |_, x| {
        let n = x.shape().last();
        (x.slice(1, 1..n) * x.slice(1, 0..n - 1)).tanh()
    }));
    out.extend(case("put together", |_, x| x.concat(&[&x.tanh()], 1)));
    out.extend(case("turned round", |_, x| x.transpose(x.shape().rank() - 2, x.shape().rank() - 1).tanh()));
    out
}

/// Statistics, softmax and the loss read f16 and give f32.
fn rows() -> Vec<Case> {
    let mut out = Vec::new();
    for (r, c) in [(7, 33), (8, 64), (5, 257)] {
        out.push(Case::new(format!("f16 normalised [{r}, {c}]"), move |s| {
            let x = half(s, r, c);
            let d = &x - x.mean_axes(&[1]).reshape([r, 1]);
            let v = d.square().mean_axes(&[1]).reshape([r, 1]);
            end(s, &(d / (v + 1.0).sqrt()))
        }));
        out.push(Case::new(format!("f16 softmax [{r}, {c}]"), move |s| {
            let x = half(s, r, c);
            end(s, &(x.softmax() * 3.0 + x.tanh()))
        }));
    }
    out.push(Case::new("f16 sums over rows [70, 33]", |s| {
        let x = half(s, 70, 33);
        end(s, &(x.sum_axes(&[0]) * 0.1 + &x).tanh())
    }));
    // one operand is read by fours and the other repeats
    let gates: [(&str, [usize; 3], usize); 3] =
        [("columns", [1, 8, 32], 1), ("the middle", [2, 6, 32], 1), ("a few long rows", [1, 3, 4100], 2)];
    for (name, shape @ [b, t, d], axis) in gates {
        out.push(Case::new(format!("f16 gated sums over {name} {shape:?}"), move |s| {
            let (x, gate) = (half(s, b * t, d).reshape(shape), half(s, b * t, 1).reshape([b, t, 1]));
            let y = (&x * &gate).sum_axes(&[axis]);
            end(s, &(x + gate).reshape([b * t, d])) + s.weigh(&y)
        }));
    }
    out.push(Case::new("f16 gated rows that are cut [16, 16400]", |s| {
        let (x, gate) = (half(s, 16, 16_400), half(s, 16, 1));
        let y = &x * &gate;
        let centred = &y - y.mean_axes(&[1]).reshape([16, 1]);
        end(s, &(x + gate).slice(1, 0..40)) + s.weigh(&centred)
    }));
    out.push(
        Case::new("f16 accuracy [32, 10]", |s| {
            let x = (s.batch([6]).matmul(&s.p([6, 10])) * 0.3).tanh();
            s.metric("accuracy", &x.accuracy(&s.classes(10)));
            end(s, &x)
        })
        .over(Order::all(32)),
    );
    // the gradient goes straight to a product
    for rows in [32, 300] {
        out.push(
            Case::new(format!("f16 slopes of a loss [{rows}, 10]"), |s| {
                let h = (s.batch([6]).matmul(&s.p([6, 12])) * 0.3).tanh();
                h.matmul(&s.p([12, 10])).cross_entropy(&s.classes(10))
            })
            .over(Order::all(rows)),
        );
    }
    for (smoothed, name) in [(0.0, ""), (0.1, ", smoothed")] {
        for (rows, classes) in [(32, 10), (9, 7), (65, 10)] {
            out.push(
                Case::new(format!("f16 cross_entropy [{rows}, {classes}]{name}"), move |s| {
                    let x = (s.batch([6]).matmul(&s.p([6, classes])) * 0.3).tanh();
                    let y = s.classes(classes);
                    // what the loss reads is stored as f16 where a product reads it, too
                    let deep = x.matmul(&s.p([classes, classes])) * 0.3;
                    s.metric("accuracy", &deep.accuracy(&y));
                    s.metric("shallow", &x.accuracy(&y));
                    x.cross_entropy_smoothed(&y, smoothed) + deep.cross_entropy_smoothed(&y, smoothed)
                })
                .over(Order::all(rows)),
            );
        }
    }
    out
}

/// Batches that feed a product, and labels that do not.
fn gathers() -> Vec<Case> {
    let bytes = |scale: f32, shift: f32| Field { scale, shift, ..field("x", DType::U8, [7]) };
    let case = |name: &str, f: Field, size: f64, draw: fn(f64) -> f64| {
        Case::new(format!("f16 {name}"), move |s: &Make| {
            let x = s.field(f.clone(), draw);
            let wide = x.shape().last();
            end(s, &(x.matmul(&s.p([wide, 9])) * size).tanh())
        })
        .over(Order::shuffled(5, 13))
    };
    vec![
        case("bytes", bytes(1.0, 0.0), 0.002, |u| (256.0 * u).floor()),
        case("bytes scaled and shifted", bytes(0.0123, -1.5), 0.2, |u| (256.0 * u).floor()),
        case("floats", field("x", DType::F32, [8]), 0.2, |u| 4.0 * u - 2.0),
        case("one-hot rows", Field { one_hot: Some(5), ..field("x", DType::U32, []) }, 0.4, |u| (5.0 * u).floor()),
        Case::new("f16 inputs, labels as they are", |s| {
            let (x, y) = (s.batch([6]), s.one_hot(4));
            let h = (x.matmul(&s.p([6, 9])) * 0.2).tanh();
            (h.matmul(&s.p([9, 4])) * 0.2).cross_entropy(&y)
        })
        .over(Order::all(12)),
        Case::new("f16 inputs, targets as they are", |s| {
            let (x, y) = (s.batch([6]), s.batch([4]));
            let h = (x.matmul(&s.p([6, 9])) * 0.2).tanh();
            (h.matmul(&s.p([9, 4])) * 0.2 - y).square().mean()
        })
        .over(Order::all(12)),
    ]
}

/// Layers that stay f32 read f16 and give f32; outputs are f32.
fn kept() -> Vec<Case> {
    vec![
        Case::new("f16 before a kept product", |s| {
            let x = half(s, 7, 33);
            let before = s.builder.enter("head");
            let y = (x.matmul(&s.p([33, 20])) * 0.2).tanh();
            s.builder.enter(&before);
            end(s, &y)
        })
        .precision(Precision::mixed().keep_f32("head")),
        Case::predict("f16 outputs", |s| {
            let x = half(s, 7, 33);
            let y = (x.matmul(&s.p([33, 20])) * 0.2).tanh();
            s.output("inner", &x);
            s.output("y", &y.matmul(&s.p([20, 3])));
        }),
    ]
}

pub fn cases() -> Vec<Case> {
    let mixed = |c: Case| if c.precision.is_mixed() { c } else { c.mixed() };
    [products(), maps(), rows(), gathers(), kept()].concat().into_iter().map(mixed).collect()
}

/// A row whose program stores nothing as f16 proves nothing.
pub fn stores_f16(case: &Case) -> Result<(), String> {
    let step = case.build()?.step.simplified().map_err(|e| e.to_string())?;
    let halves = |n: &gradus::graph::Node| !matches!(n.op, Op::Parameter(_)) && n.outputs.iter().any(|t| t.dtype == DType::F16);
    if step.graph.nodes.iter().any(halves) { Ok(()) } else { Err(format!("{}: nothing is stored as f16", case.name)) }
}
