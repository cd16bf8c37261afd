//! How the lanes of a kind of machine share sums: by the sums' shape alone.

use crate::kernels::Target;
use crate::kernels::lib::lanes::{WG, shared};

/// What a vector of four holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fours {
    /// There are none: numbers go one by one.
    No,
    /// Terms of four neighbouring sums.
    Columns,
    /// Four neighbouring terms of a sum.
    Terms,
}

/// How the lanes of a workgroup share sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lanes {
    /// Lanes that share a piece of a sum.
    pub group: usize,
    /// How far apart they stand: so many sums lie side by side between them.
    pub step: usize,
    /// Partial sums of a lane: of every so many terms one, joined in pairs at the end. A sum of few terms errs less, and a lane turns less often.
    pub parts: usize,
    /// What a vector of four holds.
    pub fours: Fours,
}

/// The longest sum of one lane. Whatever is longer is cut, however many there are, so that no lane turns long
/// ([`MOST_TURNS`](crate::kernels::MOST_TURNS)).
const LONG: usize = 16_384;
/// The most pieces of a sum.
const MOST_PIECES: usize = 1024;
/// Terms of a piece of a column, on the processor and on software adapters. Columns of less than four of them stay whole.
const PIECE: usize = 1024;

impl Lanes {
    /// One lane for each sum.
    pub const ALONE: Lanes = Lanes { group: 1, step: 1, parts: 1, fours: Fours::No };

    /// For sums over the middle of `[outer, length, inner]`, or over pieces of it of this length.
    pub fn of(target: Target, length: usize, inner: usize, fours: Fours) -> Lanes {
        let (length, inner) = match fours {
            Fours::No => (length, inner),
            Fours::Columns => (length, inner / 4),
            Fours::Terms => (length / 4, inner),
        };
        let (group, step) = if target == Target::Gpu { shared(length, inner) } else { (1, 1) };
        let few = if target == Target::Gpu { 16 } else { 64 };
        let parts = match length / group {
            n if n < few => 1,
            n if fours == Fours::Terms || (target == Target::Gpu && n <= 256) => 4,
            _ => 16,
        };
        Lanes { group, step, parts, fours }
    }

    /// Lanes of a workgroup.
    pub fn workgroup(&self) -> usize {
        if self.group > 1 { WG } else { 64 }
    }

    /// Into how many pieces the sums over the middle of `[outer, length, inner]` are cut.
    pub fn pieces(target: Target, [outer, length, inner]: [usize; 3], fours: Fours) -> usize {
        let least = length.div_ceil(LONG);
        let whole = Lanes::of(target, length, inner, fours);
        let cut = |pieces: usize| pieces.clamp(least.max(1), MOST_PIECES.max(least));
        if inner == 1 && outer < if target == Target::Gpu { 64 } else { 16 } {
            let piece = if target == Target::Gpu { 4096 } else { 512 };
            return if length <= 2 * piece { 1 } else { cut(length.div_ceil(piece)) };
        }
        let shared = whole.group * if fours == Fours::Terms { 4 } else { 1 };
        if inner == 1 {
            return if length <= LONG * shared { 1 } else { length.div_ceil(PIECE * shared).min(MOST_PIECES).max(least / shared) };
        }
        if target != Target::Gpu {
            return if length <= 4 * PIECE { 1 } else { cut(length.div_ceil(PIECE)) };
        }
        // enough workgroups to fill a large GPU, and lanes of 64 terms where there are as many
        let columns = outer * inner / if fours == Fours::Columns { 4 } else { 1 };
        let most = (4 * MOST_PIECES / columns.div_ceil(whole.step).max(1)).max(1);
        let pieces = length.div_ceil(64 * whole.group).min(most);
        if pieces < 4 { least.max(1) } else { cut(pieces) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::MOST_TURNS;

    /// Whatever their shape, no lane turns long, no workgroup is larger than the floor allows, and pieces are few.
    #[test]
    fn shapes_are_shared_out() {
        for target in [Target::Gpu, Target::Software, Target::Lanes8] {
            for length in [1, 3, 16, 63, 64, 1000, 4097, 16_384, 16_385, 131_072, 1 << 24] {
                for (outer, inner) in [(1, 1), (5, 1), (5000, 1), (1, 3), (1, 16), (1, 64), (1, 65), (9, 100), (1, 100_000)] {
                    for fours in [Fours::No, Fours::Columns, Fours::Terms] {
                        let pieces = Lanes::pieces(target, [outer, length, inner], fours);
                        let piece = length.div_ceil(pieces);
                        let l = Lanes::of(target, piece, inner, fours);
                        let shape = format!("{target:?} [{outer}, {length}, {inner}] {fours:?}: {pieces} of {l:?}");
                        assert!(l.group * l.step <= l.workgroup() && l.workgroup().is_multiple_of(l.group * l.step), "{shape}");
                        assert!(piece / l.group / l.parts + l.parts <= MOST_TURNS, "{shape}");
                        assert!(pieces <= MOST_PIECES.max(length.div_ceil(LONG)), "{shape}");
                    }
                }
            }
        }
    }
}
