//! How a product is cut, chosen by shape alone.

use crate::kernels::lib::target::{Registers, Target};
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
    /// Of Intel's registers, which hold few numbers a thread, a kernel of it needed more than there are.
    many: bool,
    tile: Tile,
}

impl Rule {
    const ANY: Rule = Rule { rows: 1, columns: 1, terms: 0, elements: usize::MAX, many: false, tile: Tile::Split };
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

/// Rows of many workgroups, however few the columns.
pub(crate) const TALL: usize = 8192;

const fn staged([rows, columns]: [usize; 2], depth: usize, each: [usize; 2]) -> Tile {
    Tile::Staged { rows, columns, depth, each }
}

/// Not measured: no GPU was at hand. `cargo bench --bench gemm -- --device gpu --tiles` is the measurement. Until then by count: a GPU has
/// some hundred places for workgroups, and a thread with 8 x 8 reads half as often from workgroup memory as one with 4 x 4.
const GPU: [Rule; 15] = [
    // long sums are cut into pieces: then large tiles are many enough, and read less
    Rule { rows: 64, columns: 64, terms: 2048, elements: 65_536, tile: staged([64, 64], 8, [8, 4]), ..Rule::ANY },
    // the gradient of a convolution's weights
    Rule { rows: 17, columns: 64, terms: 4096, elements: 65_536, tile: staged([32, 64], 8, [8, 4]), ..Rule::ANY },
    Rule { rows: 9, columns: 64, terms: 4096, elements: 65_536, tile: staged([16, 64], 16, [4, 4]), ..Rule::ANY },
    // 16 x 16 gives a layer of 32 x 64 eight workgroups and its 784 terms 16 threads each; 32 x 32 gave it two
    Rule { terms: 128, elements: 65_536, tile: Tile::Split, ..Rule::ANY },
    // from 2048 x 1024 on there are 128 workgroups
    Rule { rows: 2048, columns: 1024, many: true, tile: staged([128, 128], 8, [8, 8]), ..Rule::ANY },
    Rule { rows: 1024, columns: 2048, many: true, tile: staged([128, 128], 8, [8, 8]), ..Rule::ANY },
    // a convolution's results: many rows, few columns
    Rule { rows: TALL, columns: 49, many: true, tile: staged([128, 64], 8, [8, 8]), ..Rule::ANY },
    Rule { rows: TALL, columns: 49, tile: staged([128, 64], 16, [8, 4]), ..Rule::ANY },
    Rule { rows: TALL, columns: 17, many: true, tile: staged([64, 32], 8, [8, 4]), ..Rule::ANY },
    Rule { rows: TALL, columns: 17, tile: Tile::SMALL, ..Rule::ANY },
    Rule { rows: TALL, columns: 9, tile: staged([64, 16], 16, [4, 4]), ..Rule::ANY },
    // where threads have too few registers for those
    Rule { rows: 2048, columns: 1024, tile: staged([128, 64], 16, [8, 4]), ..Rule::ANY },
    Rule { rows: 1024, columns: 2048, tile: staged([128, 64], 16, [8, 4]), ..Rule::ANY },
    // 512 x 1024 has 128 workgroups of 128 threads
    Rule { rows: 64, columns: 64, tile: staged([64, 64], 8, [8, 4]), ..Rule::ANY },
    Rule { tile: Tile::SMALL, ..Rule::ANY },
];

impl Tile {
    /// The smallest that a workgroup makes from slices.
    pub(super) const SMALL: Tile = staged([32, 32], 16, [4, 4]);

    /// By the rules above, for `m x n` of `k` terms.
    pub fn choose(target: Target, registers: Registers, [m, n, k]: [usize; 3]) -> Tile {
        let rules = Self::rules(target);
        let large = |r: &Rule| m >= r.rows && n >= r.columns && k >= r.terms && m.saturating_mul(n) <= r.elements;
        let fits = |r: &&Rule| large(r) && (registers == Registers::Many || !r.many);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shader relies on: whole vectors of a slice for each thread, a thread for each row, and the threads and workgroup memory that all
    /// adapters have.
    #[test]
    fn staged_tiles_are_whole() {
        for t in Tile::all(Target::Gpu) {
            let Tile::Staged { rows, columns, depth, each: [rm, rn] } = t else { continue };
            let threads = rows * columns / (rm * rn);
            assert!(rows % rm == 0 && columns % rn == 0 && rm % 4 == 0 && rn % 4 == 0 && depth % 4 == 0, "{t}");
            assert!([rows, columns].iter().all(|side| side * depth % (4 * threads) == 0), "{t}");
            // all vectors of a thread are of the same rows, or of the same terms
            assert!([rows, columns, depth].iter().all(|side| threads % (side / 4) == 0), "{t}");
            let bytes = 16 * depth * (rows / 4 + 1 + columns / 4 + 1);
            assert!(threads <= 256 && rows <= threads && bytes <= 16 << 10, "{t}: {threads} threads, {bytes} bytes");
        }
    }

    #[test]
    fn few_registers_hold_no_wide_tile() {
        let choose = |registers, size| {
            let t = Tile::choose(Target::Gpu, registers, size);
            (t.rows(), t.columns())
        };
        assert_eq!(choose(Registers::Many, [4096, 4096, 4096]), (128, 128));
        assert_eq!(choose(Registers::Few, [4096, 4096, 4096]), (128, 64));
        assert_eq!(choose(Registers::Few, [1024, 2048, 9]), (128, 64));
        assert_eq!(choose(Registers::Few, [512, 1024, 784]), choose(Registers::Many, [512, 1024, 784]));
    }
}
