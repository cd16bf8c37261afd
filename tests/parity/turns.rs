//! Results by closed form, where the reference would take squares of these sizes: beyond the 65,535 turns that all loops of a lane take
//! together on software Vulkan. And what is refused there.

use crate::check::{Fail, Ready, Row, Site, on};
use crate::common::{self, Job, MACHINES, Machine};
use crate::counts;
use crate::make::{Built, Case, Make, Order, field};
use crate::tolerance::Known;
use gradus::graph::{Field, Var};
use gradus::kernels::Target;
use gradus::tensor::DType;
use std::cell::Cell;

/// A result's value at each element, of how many, and how far off it may be, as a part of it.
type Result1 = (&'static str, usize, fn(usize) -> f64, f64);

fn row(name: &'static str, make: impl Fn() -> Result<Built, String> + 'static, want: &'static [Result1]) -> Row {
    Row::new(name, move || {
        let built = make()?;
        let known = |&(what, size, value, part): &Result1| {
            let value: Vec<f64> = (0..size).map(value).collect();
            let tol = value.iter().map(|v| part * v.abs()).collect();
            (what.to_string(), Known { value, tol })
        };
        let facts = counts::facts(&built);
        Ok(Ready { truth: want.iter().map(known).collect(), run: Box::new(move |site| on(site, &built)), facts })
    })
}

/// The norm of 1 to n twice.
fn root(n: f64) -> f64 {
    (2.0 * n * (n + 1.0) * (2.0 * n + 1.0) / 6.0).sqrt()
}

const N: usize = 70_000;
const TENTH: f64 = 0.1f32 as f64;

pub fn rows() -> Vec<Row> {
    let training = |name: &'static str, body: fn(&Make) -> Var| move || Case::new(name, body).build();
    let outputs = |name: &'static str, body: fn(&Make)| move || Case::predict(name, body).build();
    vec![
        row(
            "cumsum of [2, 70000], known",
            training("sums of ones", |m| {
                let sums = m.drawn([2, N], |_| 1.0).cumsum(1);
                m.output("sums", &sums);
                sums.sum()
            }),
            &[
                ("loss", 1, |_| (N * (N + 1)) as f64, 2e-6),
                ("gradient norm", 1, |_| root(N as f64), 1e-5),
                ("gradient of p0", 2 * N, |e| (N - e % N) as f64, 0.0),
                ("output sums", 2 * N, |e| (e % N + 1) as f64, 0.0),
            ],
        ),
        row(
            "argmax of [2, 70000], known",
            outputs("rising", |m| {
                // whole numbers that rise; the last three are equal
                let at = Cell::new(0);
                let rising = m.drawn([2, N], |_| (at.replace(at.get() + 1) % N).min(N - 3) as f64);
                m.output("along rows", &rising.argmax(1));
                m.output("along columns", &rising.t().argmax(0));
                m.output("of negatives", &(-&rising).argmax(1));
            }),
            &[
                ("output along rows", 2, |_| (N - 3) as f64, 0.0),
                ("output along columns", 2, |_| (N - 3) as f64, 0.0),
                ("output of negatives", 2, |_| 0.0, 0.0),
            ],
        ),
        row(
            "softmax of [2, 70000], known",
            outputs("equal scores", |m| {
                let x = m.drawn([2, N], |_| 3.0);
                m.output("probabilities", &x.softmax());
                m.output("logarithms", &x.log_softmax());
            }),
            &[("output probabilities", 2 * N, |_| 1.0 / N as f64, 1e-6), ("output logarithms", 2 * N, |_| -(N as f64).ln(), 1e-6)],
        ),
        row(
            "sums of 300000 equal terms, known",
            outputs("equal terms", |m| {
                let x = m.drawn([300_000, 2], |_| 0.1);
                m.output("columns", &x.sum_axes(&[0]));
                m.output("means", &x.mean_from_first(&[0]));
                m.output("products", &x.matmul_with(&x, true, false));
                m.output("largest", &x.max_axes(&[0]));
            }),
            &[
                ("output columns", 2, |_| 3e5 * TENTH, 2e-6),
                ("output means", 2, |_| TENTH, 0.0),
                ("output products", 4, |_| 3e5 * TENTH * TENTH, 3e-5),
                ("output largest", 2, |_| TENTH, 0.0),
            ],
        ),
        row(
            "80000 places of one index",
            // the last place alone has another
            || looked_up("80000 places", 80_000, |i| f64::from(u8::from(i == 79_999))),
            &[
                ("loss", 1, |_| 80_000.0, 1e-5),
                ("gradient norm", 1, |_| (2.0 * (39_999.5f64.powi(2) + 0.25)).sqrt(), 1e-6),
                ("gradient of p0", 6, |e| [39_999.5, 39_999.5, 0.5, 0.5, 0.0, 0.0][e], 0.0),
            ],
        ),
    ]
}

/// A table of three rows of ones, whose gradients are 1/2 for each place that names a row.
fn looked_up(name: &'static str, places: usize, index: fn(usize) -> f64) -> Result<Built, String> {
    let body = move |m: &Make| {
        let (at, half) = (Cell::new(0), m.field(field("half", DType::F32, [2]), |_| 0.5));
        let ix = m.field(Field { keep_integer: true, ..field("ix", DType::U32, []) }, |_| index(at.replace(at.get() + 1)));
        (m.drawn([3, 2], |_| 1.0).take(&ix) * half).sum()
    };
    Case::new(name, body).over(Order::all(places)).build()
}

/// What would turn too often all the same is refused where it would go wrong, and runs on the CPU.
fn refused() -> Result<(), String> {
    let built = looked_up("a chain", 1_100_000, |_| 1.0)?;
    let software = common::gpu::target().is_some_and(|p| p != Target::Gpu);
    for machine in MACHINES {
        let site = Site { machine, target: Target::Software, planted: None };
        match (machine, on(&site, &built)) {
            (Machine::Cpu, Some(Ok(found))) if found[2].1 == [0.0, 0.0, 550_000.0, 550_000.0, 0.0, 0.0] => {}
            (Machine::Gpu { .. }, Some(Err(Fail::Refused(e))))
                if software && e.contains("the launch scatter_links") && e.contains("cpu") => {}
            (Machine::Gpu { .. }, None) => {}
            (Machine::Gpu { .. }, _) if !software => {}
            (_, other) => return Err(format!("{site}: {:?}", other.map(|r| r.map(|f| f.len()).map_err(|e| e.to_string())))),
        }
    }
    Ok(())
}

pub fn jobs() -> Vec<Job> {
    vec![Job::new("a chain too long for software Vulkan", refused)]
}
