//! Random shapes through every operation, and random small graphs, by proptest. The seed is fixed; `GRADUS_PARITY_SEED` sets another, and a
//! failure names it.
//!
//! Formulas come from a small pool: sizes are free, and every new formula is a compilation.

use crate::check::{Row, parity};
use crate::common::{Job, Machine};
use crate::indices::indices;
use crate::make::{Case, Make, Order};
use gradus::graph::Var;
use gradus::kernels::Target;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::Cell;
use std::rc::Rc;

const SINGLE: u32 = 100;
const GRAPHS: u32 = 16;

fn seed() -> u64 {
    std::env::var("GRADUS_PARITY_SEED").ok().and_then(|s| s.trim().parse().ok()).unwrap_or(1)
}

/// Runs `cases` draws of a strategy, each on one kind of kernels, in turn, with and without the shaders' checks, in turn.
fn drawn<S: Strategy>(cases: u32, strategy: S, case: impl Fn(S::Value) -> Case) -> Result<(), String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 24, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (turn, weak) = (Cell::new(0), Cell::new(0));
    let run = |value| {
        let i: u32 = turn.replace(turn.get() + 1);
        let target = if i.is_multiple_of(2) { Target::Software } else { Target::Gpu };
        let checked = (i / 2).is_multiple_of(2);
        let mut row = Row::from(case(value));
        row.sites = Rc::new(move |m, p| p == target && (m == Machine::Cpu || m == Machine::Gpu { checked }));
        match parity(&row) {
            // by chance all its values may be small
            Err(e) if e.starts_with("a weak case") => {
                weak.set(weak.get() + 1);
                Ok(())
            }
            other => other.map_err(|e| TestCaseError::fail(format!("{}: {e}", row.name))),
        }
    };
    runner.run(&strategy, run).map_err(|e| format!("GRADUS_PARITY_SEED={}: {e}", seed()))?;
    if weak.get() > cases / 8 { Err(format!("{} of {cases} cases say nothing", weak.get())) } else { Ok(()) }
}

/// Mostly small sizes; some near the edges of tiles and groups.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..12, 2 => 12usize..70, 1 => prop_oneof![Just(32usize), Just(64), Just(65), Just(127), Just(256)]]
}

type Single = fn(&Make, [usize; 3], usize) -> Var;

/// One operation each, over three sizes and a choice of variant.
const OPERATIONS: &[(&str, Single)] = &[
    ("relu", |m, [a, b, _], _| m.p([a, b]).relu()),
    ("tanh of a sum", |m, [a, b, c], v| {
        let mut other = [vec![c], vec![b, 1], vec![a, 1, c], vec![]];
        let other = std::mem::take(&mut other[v % 4]);
        (m.p([a, b, c]) + m.p(other)).tanh()
    }),
    ("product", |m, [a, b, c], v| {
        let mut other = [vec![a, b, c], vec![b, c], vec![1, c], vec![a, 1, 1]];
        let other = std::mem::take(&mut other[v % 4]);
        m.p([a, b, c]) * m.p(other)
    }),
    ("sum", |m, [a, b, c], v| m.p([a, b, c]).sum_axes([&[0][..], &[1], &[2], &[0, 2], &[0, 1], &[1, 2], &[0, 1, 2]][v % 7])),
    ("mean", |m, [a, b, c], v| m.p([a, b, c]).mean_axes([&[0][..], &[1], &[2], &[0, 2], &[0, 1], &[1, 2], &[0, 1, 2]][v % 7])),
    ("matmul", |m, [a, b, c], v| {
        let (ta, tb) = (v % 2 == 1, v / 2 % 2 == 1);
        m.p(if ta { [c, a] } else { [a, c] }).matmul_with(&m.p(if tb { [b, c] } else { [c, b] }), ta, tb)
    }),
    ("matmul of a batch", |m, [a, b, c], v| {
        let (ta, tb) = (v % 2 == 1, v / 2 % 2 == 1);
        m.p(if ta { [3, c, a] } else { [3, a, c] }).matmul_with(&m.p(if tb { [3, b, c] } else { [3, c, b] }), ta, tb)
    }),
    ("a layer", |m, [a, b, c], _| (m.p([a, c]).matmul_with(&m.p([b, c]), false, true) + m.p([b])).tanh()),
    ("softmax", |m, [a, b, _], _| m.p([a, b]).softmax()),
    ("log_softmax", |m, [a, b, _], _| m.p([a, b]).log_softmax()),
    ("reshape", |m, [a, b, c], _| m.p([a, b, c]).tanh().reshape([c, a * b])),
    ("broadcast_to", |m, [a, b, c], _| m.p([b, 1]).tanh().broadcast_to([a, b, c])),
    ("permute", |m, [a, b, c], v| {
        let axes = [[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0], [2, 0, 1]][v % 5];
        m.p([a, b, c]).tanh().permute(&axes)
    }),
    ("slice", |m, [a, b, c], v| {
        let axis = v % 3;
        let n = [a, b, c][axis];
        let first = v % n;
        m.p([a, b, c]).tanh().slice(axis, first..first + (n - first).div_ceil(2))
    }),
    ("pad", |m, [a, b, _], v| m.p([a, b]).tanh().pad(&[(v % 3, v / 3), (v / 2, v % 2)], 0.5)),
    ("concat", |m, [a, b, c], v| {
        let (x, axis) = (m.p([a, b]).tanh(), v % 2);
        x.concat(&[&m.p(if axis == 0 { [c, b] } else { [a, c] })], axis)
    }),
    ("max", |m, [a, b, c], v| m.p([a, b, c]).max_axes([&[0][..], &[1], &[2], &[0, 1], &[1, 2]][v % 5])),
    ("take", |m, [a, b, _], v| m.p([a, b]).take(&indices(m, "ix", a, &[1 + v]))),
];

fn single((op, sizes, variant): (usize, [usize; 3], usize)) -> Case {
    let (name, f) = OPERATIONS[op % OPERATIONS.len()];
    let rows = sizes[2];
    Case::new(format!("random {name} {sizes:?} {variant}"), move |m| m.weigh(&f(m, sizes, variant))).over(Order::all(rows.min(33)))
}

/// Labels of both kinds over random rows and classes.
fn classified((rows, n, one_hot): (usize, usize, bool)) -> Case {
    let body = move |m: &Make| {
        let (x, y) = (m.p([rows, n + 1]), if one_hot { m.one_hot(n + 1) } else { m.classes(n + 1) });
        let loss = x.cross_entropy(&y) * rows as f64;
        m.metric("hits", &x.accuracy(&y));
        m.metric("hits of another", &x.tanh().accuracy(&y));
        loss
    };
    Case::new(format!("random classes [{rows}, {n}] {one_hot}"), body).over(Order::all(rows))
}

/// A step of a chain: what is done to the last value, and with which earlier one.
type Link = (usize, usize, usize);

fn link(m: &Make, all: &[Var], &(what, n, earlier): &Link) -> Var {
    let x = all[all.len() - 1].clone();
    let (rows, columns) = (x.shape()[0], x.shape()[1]);
    // an earlier value of the same shape, which then has two readers; else the value itself
    let alike: Vec<&Var> = all.iter().filter(|v| v.shape() == x.shape()).collect();
    let other = alike[earlier % alike.len()];
    let scale = 1.0 / (columns as f64).sqrt();
    match what % 13 {
        0 => x.tanh(),
        1 => x.sigmoid() + other,
        2 => x + m.p([columns]),
        3 => x * other,
        4 => x.matmul(&m.p([columns, n])) * scale,
        5 => x.matmul_with(&m.p([n, columns]), false, true) * scale,
        6 => x.softmax() * 2.0,
        7 => &x - x.mean_axes(&[earlier % 2]).reshape(if earlier % 2 == 0 { [1, columns] } else { [rows, 1] }),
        8 => x.reshape([columns, rows]),
        9 => x.t(),
        10 => x.slice(1, 0..columns.div_ceil(2)),
        11 => x.pad(&[(0, 1), (n % 3, 0)], 0.25),
        _ => x.take(&indices(m, &format!("ix{}", all.len()), rows, &[])),
    }
}

fn chain((rows, columns, links): (usize, usize, Vec<Link>)) -> Case {
    let body = move |m: &Make| {
        let mut all = vec![m.p([rows, columns]).tanh()];
        for l in &links {
            all.push(link(m, &all, l));
        }
        // the middle of the chain is an output, too
        m.output("middle", &all[all.len() / 2]);
        m.weigh(&all[all.len() - 1])
    };
    Case::new("a random chain", body).over(Order::all(rows))
}

fn chains() -> Result<(), String> {
    let links = prop::collection::vec((0usize..13, 1usize..20, 0usize..8), 3..9);
    drawn(GRAPHS, (1usize..40, 1usize..40, links), |drawn| {
        let name = format!("a random chain {drawn:?}");
        Case { name, ..chain(drawn) }
    })
}

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("random shapes of every operation", || drawn(SINGLE, (0..OPERATIONS.len(), [size(), size(), size()], 0usize..8), single)),
        Job::new("random classifications", || drawn(12, (size(), size(), any::<bool>()), classified)),
        Job::new("random chains", chains),
    ]
}
