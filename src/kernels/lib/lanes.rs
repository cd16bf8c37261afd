//! How many lanes share a row.

use super::target::Target;

/// How many lanes share a row on a GPU, by its width: few classes, as each is a pipeline. Neighbouring lanes read neighbours.
pub(crate) struct Scale {
    /// Up to these widths so many.
    steps: &'static [(usize, usize)],
    /// Of wider rows.
    most: usize,
}

/// Formulas along rows: a group of eight is worth it early, as its lanes store results, too.
pub(crate) const FORMULAS: Scale = Scale { steps: &[(8, 1), (32, 8), (256, 32), (1024, 64)], most: 256 };
/// Sums alone, counted in what a lane reads at once.
pub(crate) const SUMS: Scale = Scale { steps: &[(63, 1), (511, 32), (2047, 64)], most: 256 };
/// The largest of a row, and losses: a workgroup has one row, unless a lane has one.
pub(crate) const CLASSES: Scale = Scale { steps: &[(63, 1), (512, 32), (2048, 64), (8192, 128)], most: 256 };

impl Scale {
    /// Lanes that share a row of this width on a GPU.
    pub(crate) fn lanes(&self, width: usize) -> usize {
        self.steps.iter().find(|s| width <= s.0).map_or(self.most, |s| s.1)
    }

    /// Lanes that share a row of this width; in software one, up to a width that turns `long`.
    pub(crate) fn lanes_for(&self, target: Target, width: usize, long: usize) -> usize {
        match target {
            Target::Gpu => self.lanes(width),
            Target::Software | Target::Lanes8 if width > long => 64,
            Target::Software | Target::Lanes8 => 1,
        }
    }
}

/// Lanes of a workgroup that share what [`shared`] tells.
pub(crate) const WG: usize = 256;

/// Lanes that share what is joined over the middle of `[.., length, inner]` on a GPU, and how far apart they stand: terms of a row, or columns.
pub(crate) fn shared(length: usize, inner: usize) -> (usize, usize) {
    if inner == 1 {
        return (SUMS.lanes(length), 1);
    }
    let step = match inner {
        ..=4 => 4,
        5..=16 => 16,
        _ => 64,
    };
    let group = WG / step;
    if length >= 4 * group { (group, step) } else { (1, 1) }
}
