//! How a product on cooperative matrices is cut, and what an adapter must have for it.

use crate::kernels::gemm::tile::TALL;
use std::fmt;

/// What an adapter's cooperative matrices can do: products of f16 with sums in f32 on square tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoopCaps {
    /// Rows, columns and terms of one cooperative matrix: 8 or 16.
    pub side: usize,
    /// Lanes of the subgroups that the kernel runs with.
    pub lanes: usize,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: usize,
    /// Invocations of a workgroup.
    pub threads: usize,
}

/// How a product on cooperative matrices is cut: a workgroup of `down x across` subgroups, each of which makes `rows x columns` matrices,
/// from slices of `depth` terms that are staged in workgroup memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoopTile {
    /// Rows, columns and terms of one cooperative matrix.
    pub side: usize,
    /// Lanes of a subgroup.
    pub lanes: usize,
    /// Subgroups along the rows.
    pub down: usize,
    /// Subgroups along the columns.
    pub across: usize,
    /// Matrices of a subgroup along the rows.
    pub rows: usize,
    /// Matrices of a subgroup along the columns.
    pub columns: usize,
    /// Terms that are staged at a time.
    pub depth: usize,
}

impl fmt::Display for CoopTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "coop {} x {} of {}", self.height(), self.width(), self.side)
    }
}

/// A rule: a tile for products of at least so many rows and columns and, so that there is work for all of a large GPU, elements.
struct CoopRule {
    rows: usize,
    columns: usize,
    elements: usize,
    tile: CoopTile,
}

const fn coop(side: usize, lanes: usize, [down, across]: [usize; 2], [rows, columns]: [usize; 2], depth: usize) -> CoopTile {
    CoopTile { side, lanes, down, across, rows, columns, depth }
}

/// The first rule that fits the product and the adapter. Not measured where it counts: no GPU was at hand. `cargo bench --bench gemm -- --device gpu
/// --coop --tiles` is the measurement. On lavapipe (Mesa 26.2.6, LLVM 22, one thread, 2026-11-25), which has 8 x 8 by 8 lanes and multiplies element
/// by element, 512 cubed nn takes 3.7 GFLOP/s where the barrier-free tile in f32 has 38: a device in software uses them only when it is told to.
const COOP: [CoopRule; 14] = [
    // NVIDIA: 16 x 16 by 32 lanes. The large tile reads the least memory for a product; it is worth it where it gives some hundred workgroups
    CoopRule { rows: 128, columns: 128, elements: 1 << 21, tile: coop(16, 32, [4, 2], [2, 4], 32) },
    CoopRule { rows: 48, columns: 48, elements: 0, tile: coop(16, 32, [2, 2], [2, 2], 32) },
    // a convolution's results: many rows, few columns
    CoopRule { rows: TALL, columns: 17, elements: 0, tile: coop(16, 32, [4, 1], [2, 2], 32) },
    CoopRule { rows: TALL, columns: 16, elements: 0, tile: coop(16, 32, [4, 1], [2, 1], 32) },
    CoopRule { rows: 16, columns: 16, elements: 0, tile: coop(16, 32, [2, 2], [1, 1], 32) },
    // AMD: 16 x 16 by 64 lanes, which its drivers take for most shaders. 4 x 4 matrices are 64 registers of sums there
    CoopRule { rows: 128, columns: 128, elements: 1 << 21, tile: coop(16, 64, [2, 2], [4, 4], 32) },
    CoopRule { rows: 48, columns: 48, elements: 0, tile: coop(16, 64, [2, 2], [2, 2], 32) },
    CoopRule { rows: TALL, columns: 17, elements: 0, tile: coop(16, 64, [4, 1], [2, 2], 32) },
    CoopRule { rows: TALL, columns: 16, elements: 0, tile: coop(16, 64, [2, 1], [4, 1], 32) },
    CoopRule { rows: 16, columns: 16, elements: 0, tile: coop(16, 64, [2, 2], [1, 1], 32) },
    // Apple: 8 x 8 by 32 lanes
    CoopRule { rows: 48, columns: 48, elements: 0, tile: coop(8, 32, [2, 2], [4, 4], 32) },
    CoopRule { rows: 16, columns: 16, elements: 0, tile: coop(8, 32, [2, 2], [2, 2], 32) },
    // lavapipe: 8 x 8 by 8 lanes
    CoopRule { rows: 24, columns: 24, elements: 0, tile: coop(8, 8, [2, 2], [2, 2], 16) },
    CoopRule { rows: 8, columns: 8, elements: 0, tile: coop(8, 8, [2, 2], [1, 1], 16) },
];

impl CoopTile {
    /// Halves between the rows of a staged slice, beyond its own: neighbouring rows begin in other banks.
    pub(crate) const PAD: usize = 8;

    /// Terms from which on a tile must make enough workgroups.
    const LONG: usize = 1024;
    /// Workgroups that are enough for most of a GPU.
    const ENOUGH: usize = 64;

    /// By the rules above, for so many matrices of `m x n` of `k` terms: the first that fits, and where sums are long the first of those that makes
    /// enough workgroups, or the most. `None` where the product is too small to be worth one, or the adapter has none that fits.
    pub fn choose(caps: &CoopCaps, [m, n, k]: [usize; 3], matrices: usize) -> Option<CoopTile> {
        let large = |r: &&CoopRule| m >= r.rows && n >= r.columns && m * n >= r.elements;
        let fitting = || COOP.iter().filter(large).map(|r| r.tile).filter(|t| t.runs_on(caps));
        let groups = |t: &CoopTile| m.div_ceil(t.height()) * n.div_ceil(t.width()) * matrices;
        let enough = |t: &CoopTile| k < Self::LONG || groups(t) >= Self::ENOUGH;
        fitting().find(enough).or_else(|| fitting().max_by_key(groups))
    }

    /// Every tile that the rules choose from on this adapter.
    pub fn all(caps: &CoopCaps) -> Vec<CoopTile> {
        COOP.iter().map(|r| r.tile).filter(|t| t.runs_on(caps)).collect()
    }

    /// Every tile of the table.
    pub fn table() -> Vec<CoopTile> {
        COOP.iter().map(|r| r.tile).collect()
    }

    /// Whether this adapter has its matrices, and room for it.
    pub(crate) fn runs_on(self, caps: &CoopCaps) -> bool {
        let same = self.side == caps.side && self.lanes == caps.lanes;
        same && self.threads() <= caps.threads && self.workgroup_bytes() <= caps.workgroup_bytes
    }

    /// Rows that a workgroup makes.
    pub fn height(self) -> usize {
        self.down * self.rows * self.side
    }

    /// Columns that a workgroup makes.
    pub fn width(self) -> usize {
        self.across * self.columns * self.side
    }

    /// Invocations of a workgroup.
    pub fn threads(self) -> usize {
        self.down * self.across * self.lanes
    }

    /// Halves from one row of a staged slice to the next.
    pub(crate) fn pitch(self) -> usize {
        self.depth + Self::PAD
    }

    /// Its matrices, row by row.
    pub(crate) fn cells(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.rows).flat_map(move |i| (0..self.columns).map(move |j| (i, j)))
    }

    /// Elements in f32 on their way to memory: a matrix for each subgroup, or the parts of the row sums.
    pub(crate) fn scratch(self) -> usize {
        (self.down * self.across * self.side * self.side).max(self.height() * self.depth / 4)
    }

    /// Bytes of workgroup memory: both slices twice, and the scratch.
    pub fn workgroup_bytes(self) -> usize {
        2 * 2 * (self.height() + self.width()) * self.pitch() + 4 * self.scratch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shader relies on: whole vectors for each thread, a row for each, and the workgroup memory that each adapter has.
    #[test]
    fn cooperative_tiles_are_whole() {
        for t in CoopTile::table() {
            assert!(t.depth % t.side == 0 && t.height() <= t.threads() && t.threads() <= 256, "{t}");
            // vectors of a row and blocks of 4 x 4: each thread has the same number of them, or some have one and the others none
            for rows in [t.height(), t.width()] {
                let (vectors, blocks) = (rows * t.depth / 4, rows * t.depth / 16);
                assert!(vectors % t.threads() == 0 && (blocks < t.threads() || blocks % t.threads() == 0), "{t}");
            }
            assert!(t.threads() % (t.depth / 4) == 0 && t.depth % 16 == 0, "{t}");
            let most = if t.side == 16 { 48 << 10 } else { 32 << 10 };
            assert!(t.workgroup_bytes() <= most, "{t}: {}", t.workgroup_bytes());
        }
    }

    #[test]
    fn cooperative_tiles_suit_product_and_adapter() {
        let nvidia = CoopCaps { side: 16, lanes: 32, workgroup_bytes: 48 << 10, threads: 1024 };
        let tile = |c: &CoopCaps, size, matrices| CoopTile::choose(c, size, matrices).map(|t| (t.height(), t.width()));
        let choose = |c: &CoopCaps, m, n| tile(c, [m, n, 784], 1);
        assert_eq!(choose(&nvidia, 4096, 4096), Some((128, 128)));
        assert_eq!(choose(&nvidia, 512, 1024), Some((64, 64)));
        assert_eq!(choose(&nvidia, 32, 1024), Some((32, 32)));
        assert_eq!(choose(&nvidia, 512, 10), None);
        assert_eq!(choose(&CoopCaps { workgroup_bytes: 32 << 10, ..nvidia }, 4096, 4096), Some((64, 64)));
        assert_eq!(choose(&CoopCaps { lanes: 64, ..nvidia }, 4096, 4096), Some((128, 128)));
        assert_eq!(choose(&CoopCaps { lanes: 128, ..nvidia }, 4096, 4096), None);
        // long sums of few elements: a convolution's weights. As one matrix nine workgroups would do all of it, as 32 pieces there are enough
        assert_eq!(tile(&nvidia, [64, 576, 784], 1), Some((64, 64)));
        assert_eq!(tile(&nvidia, [64, 576, 65_536], 1), Some((32, 32)));
        assert_eq!(tile(&nvidia, [64, 576, 4096], 32), Some((64, 64)));
        assert_eq!(tile(&nvidia, [4096, 4096, 65_536], 1), Some((128, 128)));
    }
}
