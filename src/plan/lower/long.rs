//! Rows that are too long for one lane: they are cut into pieces by their shape, so that many lanes share a row and no lane's loops turn long
//! (`kernels::MOST_TURNS`). Short rows go in one launch.

use super::lowering::Lowering;
use super::unplaced::{Place, Symbol};
use crate::expr::Expr;
use crate::graph::Labels;
use crate::kernels::{Accuracy, ArgMax, CumSum, Fours, Join, Kernel, Lanes, Reduce, Term};

/// Rows of a value `[rows, width]`.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// How many.
    pub rows: usize,
    /// Elements of each.
    pub width: usize,
    /// Where the first begins.
    pub at: Place,
    /// Whether they are stored as f16.
    pub half: bool,
}

impl Lowering<'_> {
    /// Whether each row's largest score is the label's, one number a row.
    pub(super) fn hits(&mut self, labels: Labels, x: Rows, y: Place, label: &str) -> Symbol {
        let Rows { rows, width: classes, at: x, half } = x;
        let hits = self.temporary(rows);
        let group = Accuracy::group_for(self.r.target, classes);
        let kernel = Accuracy { labels, rows, classes, offsets: [x.1, y.1, 0], half, group };
        self.push(Kernel::Accuracy(kernel), vec![x.0, y.0, hits], label.into());
        hits
    }

    /// Where the largest stands along the middle of `[outer, length, inner]`: to a place or to a new one, in one launch or, where it is long, first
    /// in each piece.
    pub(super) fn largest(
        &mut self,
        [outer, length, inner]: [usize; 3],
        (x, offset): Place,
        half: bool,
        to: Option<Place>,
        label: &str,
    ) -> Place {
        let pieces = ArgMax::pieces(self.r.target, [outer, length, inner]);
        let lanes = |length: usize| ArgMax::lanes_for(self.r.target, length, inner);
        let items = outer * inner;
        let whole = ArgMax { outer, length, inner, pieces: 1, candidates: 0, offsets: [offset, 0], half, lanes: lanes(length) };
        let (mut buffers, mut last) = (vec![x], whole.clone());
        if pieces > 1 {
            let between = self.temporary(items * pieces);
            let first = ArgMax { pieces, lanes: lanes(length.div_ceil(pieces)), ..whole };
            last.lanes = lanes(pieces);
            self.push(Kernel::ArgMax(first), vec![x, between], format!("{label}, pieces"));
            last.candidates = pieces;
            buffers.push(between);
        }
        let to = to.unwrap_or_else(|| (self.temporary(items), 0));
        last.offsets[1] = to.1;
        buffers.push(to.0);
        self.push(Kernel::ArgMax(last), buffers, label.into());
        to
    }

    /// Running sums over rows; those of long ones in pieces, each from what all before it come to.
    pub(super) fn running(&mut self, reverse: bool, x: Rows, to: Place, label: &str) {
        let Rows { rows, width, at: (x, offset), .. } = x;
        let whole = CumSum { reverse, rows, width, pieces: 1, started: false, offsets: [offset, to.1] };
        if width <= CumSum::LONG {
            return self.push(Kernel::CumSum(whole), vec![x, to.0], label.into());
        }
        let pieces = width.div_ceil(CumSum::PIECE.max(width.div_ceil(CumSum::LONG)));
        let terms = vec![Term { offset, outer: width, along: 1, inner: 0 }];
        let mut sums = Reduce::new(self.r.target, Expr::identity(), vec![Join::Sum], [rows, width, 1], pieces, terms, vec![0]);
        // the running sums begin where these pieces do
        sums.spec.lanes = Lanes::of(self.r.target, width.div_ceil(pieces), 1, Fours::No);
        let (own, before) = (self.temporary(rows * pieces), self.temporary(rows * pieces));
        self.push(Kernel::Reduce(sums), vec![x, own], format!("{label}, pieces"));
        let starts = CumSum { width: pieces, offsets: [0, 0], ..whole.clone() };
        self.push(Kernel::CumSum(starts), vec![own, before], format!("{label}, over the pieces"));
        let last = CumSum { pieces, started: true, ..whole };
        self.push(Kernel::CumSum(last), vec![x, before, to.0], label.into());
    }
}
