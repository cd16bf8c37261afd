//! Parity: GPU against CPU against the reference in f64, for every operation forward and backward, on both profiles' kernels, with wgpu's
//! checks and without. Rows stand in the tables of `cases.rs` and `gather.rs`; tolerances in `tolerance.rs`.

#![allow(clippy::neg_cmp_op_on_partial_ord, clippy::type_complexity)] // `!(a <= b)`: a NaN is a mismatch

#[path = "../common/mod.rs"]
mod common;

mod beyond;
mod cases;
mod check;
mod edges;
mod formulas;
mod gather;
mod indices;
mod make;
mod optimizers;
mod planted;
mod random;
mod tolerance;

use common::{Job, Suite};
use make::Case;

/// A `#[test]` for each table; the suite knows them all.
macro_rules! tests {
    ($($name:ident = $jobs:expr;)*) => {
        const TESTS: &[fn() -> Vec<Job>] = &[$(|| $jobs),*];
        $(#[test] fn $name() { SUITE.test($jobs) })*
    };
}

static SUITE: Suite = Suite::new("parity", TESTS.len(), || TESTS.iter().map(|t| t().len()).sum(), true);

fn rows(cases: Vec<Case>) -> Vec<Job> {
    cases.into_iter().map(|c| Job::new(c.name.clone(), move || check::parity(&c))).collect()
}

tests! {
    maps = rows(cases::maps());
    formulas = rows(formulas::formulas());
    edges = edges::edges();
    broadcasts = rows(cases::broadcasts());
    reductions = rows(cases::reductions());
    products = rows(cases::products());
    layers = rows(cases::layers());
    views = rows(cases::views());
    classifiers = rows(cases::classifiers());
    gathers = rows(gather::gathers());
    indices = rows(indices::cases());
    indices_beyond = beyond::jobs();
    optimizers = optimizers::jobs();
    planted = planted::jobs();
    random = random::jobs();
}
