//! Products of more tiles than one axis of a grid has workgroups, 65,535: their tiles are counted along two axes. Cheap sizes: one element or a
//! few of each tile.

use crate::make::Case;

/// Against the reference, on every kind of tile: rows, columns and matrices beyond the axis.
pub fn cases() -> Vec<Case> {
    // 32 rows or columns a tile, of the largest for products this narrow
    const MANY: usize = 32 * 65_535 + 33;
    vec![
        Case::predict("a column of 2,097,153 rows and more", |m| m.output("y", &m.p([MANY, 1]).matmul(&m.p([1, 1])))),
        Case::predict("a row of as many columns", |m| m.output("y", &m.p([1, 1]).matmul(&m.p([1, MANY])))),
        Case::new("65,600 matrices of 2 x 3", |m| m.weigh(&(m.p([65_600, 2, 3]).matmul(&m.p([65_600, 3, 2])) + m.p([2])).tanh())),
        // terms enough for threads to share them
        Case::predict("65,537 matrices by one", |m| m.output("y", &m.p([65_537, 1, 128]).matmul(&m.p([1, 128, 1])))),
    ]
}
