//! Where the terms of a product are cut into pieces, whose results another launch adds up: where they are very many, and where a GPU would have
//! too few tiles to be busy. By shape alone.

use super::tile::Tile;
use super::{Gemm, Operand};
use crate::kernels::CoopTile;
use crate::kernels::lib::target::Target;

/// Terms of a piece of those, where there is room for as many results as that makes.
const PIECE: usize = 4096;
/// Terms of a piece at most.
const MOST: usize = 131_072;
/// Elements of all pieces' results, where a piece need not be longer for it.
const ROOM: usize = 1 << 22;

/// Positions of images that are a piece.
const POSITIONS: usize = 1024;

/// Workgroups that keep a GPU busy: of those that there are, the large ones have places for some hundred to some three hundred.
const BUSY: usize = 192;

impl Gemm {
    /// Most terms of a sum that are not cut, for its error and for the turns of a loop.
    pub(crate) const LONG: usize = 65_536;

    /// Terms of a piece: all of them where they are not cut. On matrices it is cut by that tile.
    pub fn piece(&self, target: Target, coop: Option<CoopTile>) -> usize {
        let (k, size) = (self.k, self.matrices() * self.m * self.n);
        let gpu = target == Target::Gpu;
        let long = if k <= Self::LONG { 1 } else { k.div_ceil(PIECE).min(ROOM / size.max(1)).max(k.div_ceil(MOST)) };
        // pieces of a batch would run one after the other
        let pieces = match self.matrices() {
            1 if gpu => long.max(self.idle_share(coop)),
            // a processor's threads share them, and each finds the rows of its piece in its cache
            1 if self.spec.b == Operand::Patches => long.max((k / POSITIONS).clamp(1, 16).min(ROOM / size.max(1))),
            _ => long,
        };
        // terms of others do not lie evenly
        let even = match (self.spec.a, self.spec.b) {
            (Operand::Matrix, Operand::Matrix) => true,
            (Operand::Matrix, Operand::Patches) => !self.spec.tb,
            _ => false,
        };
        if pieces <= 1 || !even {
            return k;
        }
        if !gpu {
            // whole images; whole vectors, so that each piece begins at one
            let whole = self.patches.map_or(64, |p| p.positions.max(64));
            return k.div_ceil(pieces).next_multiple_of(whole).min(k);
        }
        // pieces of whole slices and nothing left over, if there is such a number near; else as little as can be is left for a launch of its own
        let even = (pieces / 2 + 1..=pieces).rev().find(|p| k.is_multiple_of(32 * p));
        even.map_or(k / pieces / 4 * 4, |p| k / p)
    }

    /// Into how many pieces the terms would be cut to keep a GPU busy. A piece is long enough to be worth its part of another launch.
    fn idle_share(&self, coop: Option<CoopTile>) -> usize {
        let tile = self.spec.tile;
        let (rows, columns, least) = match coop {
            Some(t) => (t.height(), t.width(), 1024),
            // a workgroup of those has its terms shared among 16 threads
            None if tile == Tile::Split => (tile.rows(), tile.columns(), 2048),
            None => (tile.rows(), tile.columns(), 512),
        };
        let tiles = self.m.div_ceil(rows) * self.n.div_ceil(columns);
        (BUSY / tiles.max(1)).min(self.k / least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{GemmSpec, Registers};

    /// A GPU gets some hundred workgroups where terms are many and C is small; nothing else is cut.
    #[test]
    fn few_tiles_of_many_terms_are_cut() {
        let cut = |target, size: [usize; 3]| {
            let gemm = Gemm::new(GemmSpec::new([true, false], Tile::choose(target, Registers::Many, size)), size);
            let tile = gemm.spec.tile;
            let piece = gemm.piece(target, None);
            let tiles = size[0].div_ceil(tile.rows()) * size[1].div_ceil(tile.columns());
            (size[2].div_ceil(piece), tiles * size[2].div_ceil(piece), size[2] % piece)
        };
        // a convolution's weights
        assert_eq!(cut(Target::Gpu, [64, 576, 131_072]), (32, 288, 0));
        assert_eq!(cut(Target::Gpu, [128, 128, 4096]), (8, 32, 0));
        assert_eq!(cut(Target::Gpu, [512, 512, 2048]).0, 2);
        // no number of pieces leaves nothing over: what is left is little
        let (pieces, _, left) = cut(Target::Gpu, [64, 64, 100_003]);
        assert!(pieces > 100 && left > 0 && left < 5 * pieces, "{pieces} {left}");
        for size in [[32, 64, 784], [512, 1024, 784], [64, 784, 32], [1024, 784, 512], [4096, 4096, 4096]] {
            assert_eq!(cut(Target::Gpu, size).0, 1, "{size:?}");
        }
        assert_eq!(cut(Target::Software, [64, 576, 65_536]).0, 1);
        assert_eq!(cut(Target::Software, [3, 4, 66_000]).0, 17);
    }
}
