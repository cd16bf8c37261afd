//! Random shapes through a graph of every fused kind, by proptest with a fixed seed.

use crate::check::{Row, parity};
use crate::common::Job;
use crate::make::{Case, Order};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn graph(rows: usize, n: usize, k: usize, axis: usize) -> Case {
    Case::new(format!("random {rows} {n} {k} {axis}"), move |m| {
        let h = (m.batch([k]).matmul_with(&m.p([n, k]), false, true) + m.p([n])).tanh();
        let s = (&h * m.p([n])).sum_axes(&[axis]);
        m.weigh(&h.softmax()) + m.weigh(&s)
    })
    .over(Order::all(rows))
}

fn shapes() -> Result<(), String> {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = (1usize..80, 1usize..80, 1usize..80, 0usize..2);
    let one = |(rows, n, k, axis)| parity(&Row::from(graph(rows, n, k, axis))).map_err(TestCaseError::fail);
    runner.run(&strategy, one).map_err(|e| e.to_string())
}

pub fn jobs() -> Vec<Job> {
    vec![Job::new("24 random shapes", shapes)]
}
