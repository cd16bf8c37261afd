//! How a product is cut, chosen by shape alone.

use super::Profile;
use std::fmt;

/// How the work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tile {
    /// No workgroup memory: a thread makes 8 or 16 rows of `4 * vectors` columns. For software adapters.
    Direct {
        /// Rows a thread.
        rows: usize,
        /// Vectors of four columns a thread.
        vectors: usize,
    },
    /// A workgroup makes `rows x columns` from slices in workgroup memory. For GPUs.
    Staged {
        /// Rows of the tile.
        rows: usize,
        /// Columns of the tile.
        columns: usize,
        /// Terms of a slice.
        depth: usize,
        /// Rows and columns a thread, 4 or 8 each.
        each: [usize; 2],
    },
    /// A workgroup makes 16 x 16, and 16 threads share the terms of each 4 x 4 of it. For GPUs, where few workgroups have long sums.
    Split,
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tile::Direct { rows, vectors } => write!(f, "direct {rows} x {}", 4 * vectors),
            Tile::Staged { rows, columns, .. } => write!(f, "staged {rows} x {columns}"),
            Tile::Split => write!(f, "split 16 x 16"),
        }
    }
}

/// A rule: a tile for products of at least so many rows, columns and terms and at most so many elements.
struct Rule {
    rows: usize,
    columns: usize,
    terms: usize,
    elements: usize,
    tile: Tile,
}

impl Rule {
    const ANY: Rule = Rule { rows: 1, columns: 1, terms: 0, elements: usize::MAX, tile: Tile::Split };
}

/// The first rule that fits; the last one fits all. Measured on lavapipe (Mesa 22.3, LLVM 15, one thread, 2026-11-25) by `cargo bench
/// --bench gemm -- --device software --tiles`, in GFLOP/s, all tiles of a shape in one run whose control moved by 2 %.
const SOFTWARE: [Rule; 3] = [
    // 16 x 8 : 8 x 8 : 16 x 4 : 8 x 4. 512 cubed: nn 11.6 : 8.4 : 7.8 : 6.3, nt 11.2 : 8.8 : 7.7 : 6.5, tn 11.5 : 9.5 : 8.2 : 6.9;
    // nt 32 x 64 x 784 10.3 : 9.1 : 7.9 : 6.9; even tn 10 x 1024 x 512, where 6 of 16 rows are idle, 4.8 : 3.9 : 3.1 : 2.7
    Rule { rows: 9, columns: 64, tile: Tile::Direct { rows: 16, vectors: 2 }, ..Rule::ANY },
    // 16 x 4 : 8 x 4 : 16 x 8 : 8 x 8. nt 512 x 10 x 1024 4.1 : 3.5 : 3.2 : 2.8
    Rule { rows: 9, columns: 1, tile: Tile::Direct { rows: 16, vectors: 1 }, ..Rule::ANY },
    // few rows, as of a ragged batch: half of the taller tile would be idle. One tile for all widths: a pipeline less for each product
    Rule { rows: 1, columns: 1, tile: Tile::Direct { rows: 8, vectors: 1 }, ..Rule::ANY },
];

/// Not measured: no GPU was at hand. `cargo bench --bench gemm -- --device gpu --tiles` is the measurement. Until then by count: a GPU has
/// some hundred places for workgroups, and a thread with 8 x 8 reads half as often from workgroup memory as one with 4 x 4.
const GPU: [Rule; 5] = [
    // 16 x 16 gives a layer of 32 x 64 eight workgroups and its 784 terms 16 threads each; 32 x 32 gave it two
    Rule { terms: 128, elements: 65_536, tile: Tile::Split, ..Rule::ANY },
    // from 2048 x 1024 on there are 128 workgroups
    Rule { rows: 2048, columns: 1024, tile: Tile::Staged { rows: 128, columns: 128, depth: 8, each: [8, 8] }, ..Rule::ANY },
    Rule { rows: 1024, columns: 2048, tile: Tile::Staged { rows: 128, columns: 128, depth: 8, each: [8, 8] }, ..Rule::ANY },
    // 512 x 1024 has 128 workgroups of 128 threads
    Rule { rows: 64, columns: 64, elements: usize::MAX, terms: 0, tile: Tile::Staged { rows: 64, columns: 64, depth: 16, each: [8, 4] } },
    Rule { tile: Tile::Staged { rows: 32, columns: 32, depth: 16, each: [4, 4] }, ..Rule::ANY },
];

impl Tile {
    /// By the rules above, for `m x n` of `k` terms.
    pub fn choose(profile: Profile, m: usize, n: usize, k: usize) -> Tile {
        let rules: &[Rule] = match profile {
            Profile::Software => &SOFTWARE,
            Profile::Gpu => &GPU,
        };
        let fits = |r: &&Rule| m >= r.rows && n >= r.columns && k >= r.terms && m.saturating_mul(n) <= r.elements;
        rules.iter().find(fits).unwrap_or(&rules[rules.len() - 1]).tile
    }

    /// Every tile that the rules choose from.
    pub fn all(profile: Profile) -> Vec<Tile> {
        let mut all: Vec<Tile> = match profile {
            Profile::Software => SOFTWARE.iter().map(|r| r.tile).collect(),
            Profile::Gpu => GPU.iter().map(|r| r.tile).collect(),
        };
        all.dedup();
        all
    }

    pub(super) fn rows(self) -> usize {
        match self {
            Tile::Direct { rows, .. } => rows,
            Tile::Staged { rows, .. } => rows,
            Tile::Split => 16,
        }
    }

    pub(super) fn columns(self) -> usize {
        match self {
            Tile::Direct { vectors, .. } => 32 * vectors,
            Tile::Staged { columns, .. } => columns,
            Tile::Split => 16,
        }
    }
}
