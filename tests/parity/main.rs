//! Parity: GPU against CPU against the reference in f64, for every operation forward and backward, by every kind of kernels, some with
//! wgpu's checks and some without (`check::sites`). Rows stand in the tables of `cases.rs` and `gather.rs`; tolerances in `tolerance.rs`.

#![allow(clippy::neg_cmp_op_on_partial_ord, clippy::type_complexity)] // `!(a <= b)`: a NaN is a mismatch

#[path = "../common/mod.rs"]
mod common;

mod accumulate;
mod augmented;
mod beyond;
mod cases;
mod check;
mod convolutions;
#[path = "../coop/product.rs"]
mod coop_product;
mod corners;
mod counts;
mod custom;
mod draws;
mod edges;
mod folded;
mod formulas;
mod gather;
mod ignored;
mod indices;
mod long;
mod make;
mod mixed;
mod movement;
mod operands;
mod optimizers;
mod planted;
mod random;
mod rows;
mod scaled;
mod scaling;
mod shader;
mod shaders;
mod state;
mod steps;
mod tolerance;
mod turns;
mod unplanned;
mod updates;
mod variances;
mod window_tolerance;
mod windows;
mod worker;

use check::Row;
use common::{Job, Suite};
use std::rc::Rc;

/// A `#[test]` for each table; the suite knows them all.
macro_rules! tests {
    ($($name:ident = $jobs:expr;)*) => {
        const TESTS: &[fn() -> Vec<Job>] = &[$(|| $jobs),*];
        $(#[test] fn $name() { SUITE.test($jobs) })*
    };
}

static SUITE: Suite = Suite::new("parity", TESTS.len(), || TESTS.iter().map(|t| t().len()).sum(), true).reporting(report);

fn rows(table: Vec<impl Into<Row>>) -> Vec<Job> {
    let job = |row: Row| {
        let about = Rc::new(row.clone());
        Job::new(row.name.clone(), move || check::parity(&row)).about(about)
    };
    table.into_iter().map(Into::into).map(job).collect()
}

/// The products of one layout of A.
fn product_rows(transposed: bool) -> Vec<Job> {
    rows(cases::products().into_iter().filter(|c| c.name.starts_with('t') == transposed).map(with_lanes).collect())
}

/// By the kernels whose lanes share, too.
fn with_lanes(row: impl Into<Row>) -> Row {
    let row = row.into();
    Row { sites: check::sites(&row.name, true), ..row }
}

/// The first row of any table whose name is this, or begins so where it ends in `*`.
fn find_row(name: &str) -> Option<Row> {
    let fits = |r: &str| name.strip_suffix('*').map_or(r == name, |start| r.starts_with(start));
    let all = TESTS.iter().flat_map(|t| t()).filter_map(|j| j.about?.downcast::<Row>().ok());
    all.map(|r| (*r).clone()).find(|r| fits(&r.name))
}

fn report() -> Vec<String> {
    [planted::report(), counts::report()].concat()
}

tests! {
    maps = rows(cases::maps());
    formulas = rows(formulas::formulas());
    edges = edges::edges();
    broadcasts = rows(cases::broadcasts());
    reductions = rows(cases::reductions());
    products = product_rows(false);
    products_of_transposed = product_rows(true);
    convolutions = rows(convolutions::cases().into_iter().map(with_lanes).collect());
    layers = rows(cases::layers().into_iter().map(with_lanes).collect());
    views = rows(cases::views());
    classifiers = rows(cases::classifiers());
    ignored_labels = rows(ignored::cases());
    gathers = rows(gather::gathers());
    augmented_rows = rows(augmented::cases());
    indices = rows(indices::cases());
    custom_ops = rows(custom::cases());
    wrong_shaders = shader::jobs();
    indices_beyond = beyond::jobs();
    movements = rows(movement::movements());
    largest = rows(movement::largest());
    row_kernels = rows(movement::row_kernels());
    windows = rows(windows::cases());
    mixed_windows = rows(windows::mixed());
    mixed_windows_store_f16 = windows::mixed().into_iter().map(|c| Job::new(c.name.clone(), move || mixed::stores_f16(&c))).collect();
    along_rows = rows(rows::cases());
    batched = rows(movement::batched());
    operands = rows(operands::cases());
    unplanned = rows(unplanned::rows());
    long = rows(long::cases());
    folded = rows(folded::rows());
    long_and_known = turns::rows().into_iter().flat_map(|r| rows(vec![r])).collect();
    too_long = turns::jobs();
    mixed = rows(mixed::cases());
    mixed_stores_f16 = mixed::cases().into_iter().map(|c| Job::new(c.name.clone(), move || mixed::stores_f16(&c))).collect();
    integers = rows(movement::integers());
    corners = rows(corners::all());
    draws = rows(draws::draws());
    optimizers = rows(optimizers::all());
    accumulated = rows(accumulate::all());
    updates = rows(updates::all());
    mixed_updates = rows(updates::copied());
    sharded_updates = rows(updates::sharded());
    steps = rows(steps::all());
    workers = rows(worker::all());
    state = rows(state::all());
    scaled_gradients = rows(scaled::cases());
    scaled_updates = rows(scaling::all());
    planted_in_kernels = planted::in_kernels();
    planted_in_shaders = planted::in_shaders();
    random = random::jobs();
}
