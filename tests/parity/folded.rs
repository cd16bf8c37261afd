//! Products of more tiles, and sums of more workgroups, than one axis of a grid has workgroups, 65,535: they are counted along two axes. Cheap
//! sizes: one element or a few of each tile, one lane for each sum.

use crate::check::Row;
use crate::common::Machine;
use crate::make::Case;
use gradus::kernels::Target;
use std::rc::Rc;

/// Each kind of kernels once on a GPU, and once on the CPU, which has no grid: values and results by the million take their time everywhere.
pub fn rows() -> Vec<Row> {
    let sites = |m, p| match m {
        Machine::Cpu => p == Target::Software,
        Machine::Gpu { checked } => checked == (p == Target::Software),
    };
    cases().into_iter().map(|c| Row { sites: Rc::new(sites), ..c.into() }).collect()
}

/// Against the reference, on every kind of tile: rows and matrices beyond the axis. Columns are counted by the same lines as rows.
pub fn cases() -> Vec<Case> {
    // 32 rows a tile, of the largest for products this narrow
    const MANY: usize = 32 * 65_535 + 33;
    vec![
        Case::predict("a column of 2,097,153 rows", |m| m.output("y", &m.p([MANY, 1]).matmul(&m.p([1, 1])))),
        // 64 sums a workgroup, on every kind of machine
        Case::predict("4,194,305 sums of two", |m| m.output("y", &m.p([2, 64 * 65_535 + 65]).sum_axes(&[0]))),
        Case::predict("65,537 matrices", |m| m.output("y", &m.p([65_537, 1, 2]).matmul(&m.p([65_537, 2, 1])))),
    ]
}
