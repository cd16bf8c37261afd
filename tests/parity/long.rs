//! Rows, columns, chains and products longer than one lane may go along: every archetype at sizes beyond the turns that a lane has on software
//! Vulkan, in each direction, forward and backward.

use crate::check::{Fail, PROFILES, Site, on};
use crate::common::{self, Job, MACHINES, Machine};
use crate::make::{Built, Case, Make, Order, field};
use gradus::graph::{Field, Var};
use gradus::kernels::Profile;
use gradus::tensor::DType;
use std::cell::Cell;

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
    case("a batch of products of 66000 terms", |m| m.weigh(&m.p([2, 3, 66_000]).matmul(&m.p([2, 66_000, 2]))));
    out.push(Case::predict("softmax [2, 17000]", |m| m.output("p", &(m.p([2, 17_000]) * 4.0).softmax())));
    out.extend([
        Case::new("cross_entropy [2, 25000], classes", |m| loss(m, 25_000, 0.0, true)).over(Order::all(2)),
        Case::new("cross_entropy [2, 9000], probabilities", |m| loss(m, 9_000, 0.0, false)).over(Order::all(2)),
        Case::new("cross_entropy [3, 17000], smoothed", |m| loss(m, 17_000, 0.1, true)).over(Order::all(3)),
        Case::new("cross_entropy [3, 9000], scaled", |m| loss(m, 9_000, 0.1, false)).over(Order::all(3)).scaled(1024.0),
        Case::new("cross_entropy [3, 9000], evaluated alone", |m| loss(m, 9_000, 0.0, false)).over(Order::all(3)).evaluated(),
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

/// A result's value at each element, and how far off it may be, as a part of it.
type Known = (fn(usize) -> f64, f64);

/// By closed form, where the reference would take squares of these sizes. The bodies have outputs alone.
const KNOWN: &[(&str, fn(&Make), &[Known])] = &[
    (
        "cumsum of 70000",
        |m| {
            let ones = m.drawn([2, 70_000], |_| 1.0);
            m.output("on", &ones.cumsum(1));
        },
        &[(|e| (e % 70_000 + 1) as f64, 0.0)],
    ),
    (
        "argmax of 70000, the first of two",
        |m| {
            let (at, n) = (Cell::new(0), 70_000);
            // whole numbers that rise; the last three are equal
            let rising = m.drawn([2, n], |_| (at.replace(at.get() + 1) % n).min(n - 3) as f64);
            m.output("along rows", &rising.argmax(1));
            m.output("along columns", &rising.t().argmax(0));
            m.output("of negatives", &(-&rising).argmax(1));
        },
        &[(|_| 69_997.0, 0.0), (|_| 69_997.0, 0.0), (|_| 0.0, 0.0)],
    ),
    (
        "softmax of 70000 equal scores",
        |m| {
            let x = m.drawn([2, 70_000], |_| 3.0);
            m.output("probabilities", &x.softmax());
            m.output("logarithms", &x.log_softmax());
        },
        &[(|_| 1.0 / 70_000.0, 1e-6), (|_| -(70_000f64.ln()), 1e-6)],
    ),
    (
        "sums of 300000 equal terms",
        |m| {
            let x = m.drawn([300_000, 2], |_| 0.1);
            let tenth = |n: f64| m.constant(n, [1, 2]);
            m.output("columns", &(x.sum_keep(&[0]) + tenth(0.0)));
            m.output("means", &x.mean_from_first(&[0]));
            m.output("products", &x.matmul_with(&x, true, false));
            m.output("largest", &x.max_keep(&[0]));
        },
        // 0.1 as f32
        &[
            (|_| 300_000.0 * f64::from(0.1f32), 2e-6),
            (|_| 0.1f32.into(), 0.0),
            (|_| 300_000.0 * f64::from(0.1f32) * f64::from(0.1f32), 3e-5),
            (|_| 0.1f32.into(), 0.0),
        ],
    ),
];

/// A table of three rows, whose gradients so many places name: one row after another, by `index`.
fn looked_up(name: &'static str, places: usize, index: fn(usize) -> f64) -> Result<Built, String> {
    let body = move |m: &Make| {
        let (at, half) = (Cell::new(0), m.field(field("half", DType::F32, [2]), |_| 0.5));
        let ix = m.field(Field { keep_integer: true, ..field("ix", DType::U32, []) }, |_| index(at.replace(at.get() + 1)));
        (m.p([3, 2]).take(&ix) * half).sum()
    };
    Case::new(name, body).over(Order::all(places)).build()
}

fn scattered() -> Result<(), String> {
    let all_but_one = looked_up("80000 places", 80_000, |i| f64::from(u8::from(i == 79_999)))?;
    known(&all_but_one, "gradient of p0", &[(|e| [39_999.5, 39_999.5, 0.5, 0.5, 0.0, 0.0][e], 0.0)])
}

/// The outputs from this one on.
fn known(built: &Built, first: &str, want: &[Known]) -> Result<(), String> {
    for profile in PROFILES {
        for machine in MACHINES {
            let site = Site { machine, profile, planted: None };
            let Some(found) = on(&site, built) else { continue };
            let found = found.map_err(|e| format!("{site}: {e}"))?;
            let begin = found.iter().position(|(name, _)| name == first).ok_or_else(|| format!("no {first}"))?;
            for ((what, got), (want, part)) in found[begin..].iter().zip(want) {
                let bad = (0..got.len()).find(|&e| !((got[e] - want(e)).abs() <= part * want(e).abs()));
                if let Some(e) = bad {
                    return Err(format!("{site}: {what} [{e}] is {} for {}", got[e], want(e)));
                }
            }
        }
    }
    Ok(())
}

/// What would turn too often all the same is refused where it would go wrong, and runs on the CPU.
fn refused() -> Result<(), String> {
    let built = looked_up("a chain", 1_100_000, |_| 1.0)?;
    let software = common::gpu::profile().is_some_and(|p| p != Profile::Gpu);
    for machine in MACHINES {
        let site = Site { machine, profile: Profile::Software, planted: None };
        match (machine, on(&site, &built)) {
            (Machine::Cpu, Some(Ok(found))) if found[2].1 == [0.0, 0.0, 550_000.0, 550_000.0, 0.0, 0.0] => {}
            (Machine::Gpu { .. }, Some(Err(Fail::Refused(e)))) if software && e.contains("the launch scatter_links") && e.contains("cpu") => {}
            (Machine::Gpu { .. }, None) => {}
            (Machine::Gpu { .. }, _) if !software => {}
            (_, other) => return Err(format!("{site}: {:?}", other.map(|r| r.map(|f| f.len()).map_err(|e| e.to_string())))),
        }
    }
    Ok(())
}

pub fn jobs() -> Vec<Job> {
    let first = |found: &Built| format!("output {}", found.step.outputs[0].0);
    let one = move |&(name, body, want): &(&'static str, fn(&Make), &'static [Known])| {
        Job::new(name, move || {
            let built = Case::predict(name, body).build()?;
            known(&built, &first(&built), want)
        })
    };
    let mut out: Vec<Job> = KNOWN.iter().map(one).collect();
    out.push(Job::new("80000 places of one index", scattered));
    out.push(Job::new("a chain too long for software Vulkan", refused));
    out
}
