//! How many lanes share a row.

use super::target::Target;

/// Rows that are narrower have a lane each on a GPU.
const WIDE: usize = 64;

/// Lanes that share a row of so many values: on a GPU by its width; in software one, up to a width that turns long.
pub(crate) fn lanes_of_row(target: Target, width: usize, long: usize) -> usize {
    match target {
        Target::Gpu => match width {
            0..WIDE => 1,
            WIDE..=512 => 32,
            513..=2048 => 64,
            2049..=8192 => 128,
            _ => 256,
        },
        Target::Software | Target::Lanes8 if width > long => 64,
        Target::Software | Target::Lanes8 => 1,
    }
}
