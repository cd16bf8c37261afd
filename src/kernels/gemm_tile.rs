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
    /// A workgroup makes `side x side` from slices in workgroup memory. For GPUs.
    Square {
        /// Rows and columns of the tile.
        side: usize,
    },
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tile::Direct { rows, vectors } => write!(f, "direct {rows} x {}", 4 * vectors),
            Tile::Square { side } => write!(f, "square {side} x {side}"),
        }
    }
}

/// A rule: a tile for products of at least so many rows and columns.
struct Rule {
    rows: usize,
    columns: usize,
    tile: Tile,
}

/// The first rule that fits; the last one fits all. Measured on lavapipe (Mesa 22.3, LLVM 15, one thread, 2026-11-25) by `cargo bench
/// --bench gemm -- --device software --tiles`, in GFLOP/s, all tiles of a shape in one run whose control moved by 2 %.
const SOFTWARE: [Rule; 3] = [
    // 16 x 8 : 8 x 8 : 16 x 4 : 8 x 4. 512 cubed: nn 11.6 : 8.4 : 7.8 : 6.3, nt 11.2 : 8.8 : 7.7 : 6.5, tn 11.5 : 9.5 : 8.2 : 6.9;
    // nt 32 x 64 x 784 10.3 : 9.1 : 7.9 : 6.9; even tn 10 x 1024 x 512, where 6 of 16 rows are idle, 4.8 : 3.9 : 3.1 : 2.7
    Rule { rows: 9, columns: 64, tile: Tile::Direct { rows: 16, vectors: 2 } },
    // 16 x 4 : 8 x 4 : 16 x 8 : 8 x 8. nt 512 x 10 x 1024 4.1 : 3.5 : 3.2 : 2.8
    Rule { rows: 9, columns: 1, tile: Tile::Direct { rows: 16, vectors: 1 } },
    // few rows, as of a ragged batch: half of the taller tile would be idle. One tile for all widths: a pipeline less for each product
    Rule { rows: 1, columns: 1, tile: Tile::Direct { rows: 8, vectors: 1 } },
];

/// Not measured: no GPU was at hand. `cargo bench --bench gemm -- --device gpu --tiles` is the measurement.
const GPU: [Rule; 2] =
    [Rule { rows: 128, columns: 128, tile: Tile::Square { side: 64 } }, Rule { rows: 1, columns: 1, tile: Tile::Square { side: 32 } }];

impl Tile {
    /// By the rules above.
    pub fn choose(profile: Profile, m: usize, n: usize) -> Tile {
        let rules: &[Rule] = match profile {
            Profile::Software => &SOFTWARE,
            Profile::Gpu => &GPU,
        };
        let fits = |r: &&Rule| m >= r.rows && n >= r.columns;
        rules.iter().find(fits).unwrap_or(&rules[rules.len() - 1]).tile
    }

    /// Every tile that the rules choose from.
    pub fn all(profile: Profile) -> Vec<Tile> {
        match profile {
            Profile::Software => SOFTWARE.iter().map(|r| r.tile).collect(),
            Profile::Gpu => GPU.iter().map(|r| r.tile).collect(),
        }
    }

    pub(super) fn rows(self) -> usize {
        match self {
            Tile::Direct { rows, .. } => rows,
            Tile::Square { side } => side,
        }
    }

    pub(super) fn columns(self) -> usize {
        match self {
            Tile::Direct { vectors, .. } => 32 * vectors,
            Tile::Square { side } => side,
        }
    }
}
