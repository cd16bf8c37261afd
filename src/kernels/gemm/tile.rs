//! How a product is cut, chosen by shape alone.

use crate::kernels::lib::target::Target;
use std::fmt;

/// How the work is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tile {
    /// No workgroup memory: a thread makes 8, 16 or 32 rows of `4 * vectors` columns. For software adapters.
    Direct {
        /// Rows a thread.
        rows: usize,
        /// Vectors of four columns a thread.
        vectors: usize,
        /// A workgroup is a subgroup of eight, whose lanes hand each other what they read of A.
        shared: bool,
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
            Tile::Direct { rows, vectors, shared } => write!(f, "{} {rows} x {}", if *shared { "shared" } else { "direct" }, 4 * vectors),
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

const fn direct(rows: usize, vectors: usize) -> Tile {
    Tile::Direct { rows, vectors, shared: false }
}

const fn shared(rows: usize, vectors: usize) -> Tile {
    Tile::Direct { rows, vectors, shared: true }
}

/// The first rule that fits; the last one fits all. Measured on lavapipe (Mesa 22.3, LLVM 15, one thread, 2026-11-25) by `cargo bench
/// --bench gemm -- --device software --tiles`, in GFLOP/s, all tiles of a shape in one run whose control moved by 2 %.
const SOFTWARE: [Rule; 3] = [
    // 16 x 8 : 8 x 8 : 16 x 4 : 8 x 4. 512 cubed: nn 11.6 : 8.4 : 7.8 : 6.3, nt 11.2 : 8.8 : 7.7 : 6.5, tn 11.5 : 9.5 : 8.2 : 6.9;
    // nt 32 x 64 x 784 10.3 : 9.1 : 7.9 : 6.9; even tn 10 x 1024 x 512, where 6 of 16 rows are idle, 4.8 : 3.9 : 3.1 : 2.7
    Rule { rows: 9, columns: 64, tile: direct(16, 2), ..Rule::ANY },
    // 16 x 4 : 8 x 4 : 16 x 8 : 8 x 8. nt 512 x 10 x 1024 4.1 : 3.5 : 3.2 : 2.8
    Rule { rows: 9, columns: 1, tile: direct(16, 1), ..Rule::ANY },
    // few rows, as of a ragged batch: half of the taller tile would be idle. One tile for all widths: a pipeline less for each product
    Rule { rows: 1, columns: 1, tile: direct(8, 1), ..Rule::ANY },
];

/// The same, where lanes share what they read of A: measured with the same command, driver and day, 512 cubed in GFLOP/s 32 x 8 : 16 x 8 :
/// 32 x 4 : 16 x 4, and 16 x 8 as above in an earlier run: nn 28.1 : 22.8 : 23.1 : 18.9 : 11.6, nt 27.6 : 21.3 : 24.2 : 18.5 : 11.2,
/// tn 27.5 : 21.3 : 23.0 : 17.6 : 11.5. With Mesa 26 (LLVM 22) 16 x 8 takes 42.3 where it took 36.7 unshared.
const LANES8: [Rule; 4] = [
    // LLVM 15 takes 2 s for each of these, and 0.3 s for 32 x 4: for products that are worth it
    Rule { rows: 128, columns: 128, terms: 128, tile: shared(32, 2), ..Rule::ANY },
    // nt 32 x 64 x 784 24.0 : 15.9 : 22.2 : 18.0; tn 64 x 784 x 32 15.5 : 13.1 : 13.8 : 11.7; nt 512 x 10 x 1024 4.5 : 3.6 : 7.5 : 5.8;
    // nn 512 x 1024 x 10 3.3 : 2.8 : 5.9 : 5.3
    Rule { rows: 17, columns: 1, tile: shared(32, 1), ..Rule::ANY },
    // tn 10 x 1024 x 512 7.5 : 8.8 : 6.0 : 9.0
    Rule { rows: 9, columns: 1, tile: shared(16, 1), ..Rule::ANY },
    Rule { rows: 1, columns: 1, tile: shared(8, 1), ..Rule::ANY },
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
    pub fn choose(target: Target, m: usize, n: usize, k: usize) -> Tile {
        let rules = Self::rules(target);
        let fits = |r: &&Rule| m >= r.rows && n >= r.columns && k >= r.terms && m.saturating_mul(n) <= r.elements;
        rules.iter().find(fits).unwrap_or(&rules[rules.len() - 1]).tile
    }

    fn rules(target: Target) -> &'static [Rule] {
        match target {
            Target::Software => &SOFTWARE,
            Target::Lanes8 => &LANES8,
            Target::Gpu => &GPU,
        }
    }

    /// Every tile that the rules choose from.
    pub fn all(target: Target) -> Vec<Tile> {
        let mut all: Vec<Tile> = Self::rules(target).iter().map(|r| r.tile).collect();
        all.dedup();
        all
    }

    pub(crate) fn rows(self) -> usize {
        match self {
            Tile::Direct { rows, .. } => rows,
            Tile::Staged { rows, .. } => rows,
            Tile::Split => 16,
        }
    }

    pub(crate) fn columns(self) -> usize {
        match self {
            Tile::Direct { vectors, .. } => 32 * vectors,
            Tile::Staged { columns, .. } => columns,
            Tile::Split => 16,
        }
    }
}

/// What an adapter's cooperative matrices can do: products of f16 with sums in f32 on square tiles, by subgroups of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoopCaps {
    /// Rows, columns and terms of one cooperative matrix: 8 or 16.
    pub side: usize,
    /// Lanes of a subgroup.
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
const COOP: [CoopRule; 7] = [
    // NVIDIA: 16 x 16 by 32 lanes. The large tile reads the least memory for a product; it is worth it where it gives some hundred workgroups
    CoopRule { rows: 128, columns: 128, elements: 1 << 21, tile: coop(16, 32, [4, 2], [2, 4], 32) },
    CoopRule { rows: 48, columns: 48, elements: 0, tile: coop(16, 32, [2, 2], [2, 2], 32) },
    CoopRule { rows: 16, columns: 16, elements: 0, tile: coop(16, 32, [2, 2], [1, 1], 32) },
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

    /// By the rules above; `None` where the product is too small to be worth one, or the adapter has none that fits.
    pub fn choose(caps: &CoopCaps, [ta, tb]: [bool; 2], [m, n]: [usize; 2]) -> Option<CoopTile> {
        let large = |r: &CoopRule| m >= r.rows && n >= r.columns && m * n >= r.elements;
        let fits = |r: &&CoopRule| large(r) && r.tile.runs_on(caps, ta, tb);
        COOP.iter().find(fits).map(|r| r.tile)
    }

    /// Every tile that the rules choose from on this adapter.
    pub fn all(caps: &CoopCaps) -> Vec<CoopTile> {
        let runs = |t: &CoopTile| [false, true].iter().all(|&ta| [false, true].iter().all(|&tb| t.runs_on(caps, ta, tb)));
        COOP.iter().map(|r| r.tile).filter(runs).collect()
    }

    /// Every tile of the table.
    pub fn table() -> Vec<CoopTile> {
        COOP.iter().map(|r| r.tile).collect()
    }

    /// Whether this adapter has its matrices, and room for it.
    pub(crate) fn runs_on(self, caps: &CoopCaps, ta: bool, tb: bool) -> bool {
        let same = self.side == caps.side && self.lanes == caps.lanes;
        same && self.threads() <= caps.threads && self.workgroup_bytes(ta, tb) <= caps.workgroup_bytes
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

    /// Rows and columns of A's and B's staged slices, in the order of memory.
    pub(crate) fn slices(self, ta: bool, tb: bool) -> [[usize; 2]; 2] {
        let turned = |[x, y]: [usize; 2], turn| if turn { [y, x] } else { [x, y] };
        [turned([self.height(), self.depth], ta), turned([self.depth, self.width()], tb)]
    }

    /// Bytes of workgroup memory: both slices twice, and one matrix of f32 for each subgroup.
    pub fn workgroup_bytes(self, ta: bool, tb: bool) -> usize {
        let slices = self.slices(ta, tb).iter().map(|[rows, columns]| rows * (columns + Self::PAD)).sum::<usize>();
        2 * 2 * slices + 4 * self.down * self.across * self.side * self.side
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
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                assert!(t.slices(ta, tb).iter().all(|[r, c]| r * c % (4 * t.threads()) == 0 && c % 8 == 0), "{t}");
                let most = if t.side == 16 { 48 << 10 } else { 32 << 10 };
                assert!(t.workgroup_bytes(ta, tb) <= most, "{t} {ta} {tb}: {}", t.workgroup_bytes(ta, tb));
            }
        }
    }

    #[test]
    fn cooperative_tiles_suit_product_and_adapter() {
        let nvidia = CoopCaps { side: 16, lanes: 32, workgroup_bytes: 48 << 10, threads: 1024 };
        let choose = |c: &CoopCaps, m, n| CoopTile::choose(c, [false, true], [m, n]).map(|t| (t.height(), t.width()));
        assert_eq!(choose(&nvidia, 4096, 4096), Some((128, 128)));
        assert_eq!(choose(&nvidia, 512, 1024), Some((64, 64)));
        assert_eq!(choose(&nvidia, 32, 1024), Some((32, 32)));
        assert_eq!(choose(&nvidia, 512, 10), None);
        assert_eq!(choose(&CoopCaps { workgroup_bytes: 32 << 10, ..nvidia }, 4096, 4096), Some((64, 64)));
        assert_eq!(choose(&CoopCaps { lanes: 64, ..nvidia }, 4096, 4096), None);
    }
}
