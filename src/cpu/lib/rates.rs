//! What an update reads before the first parameter: rates, and whether it stands still.

use super::fork::{f32s, total};
use crate::expr::Evaluator;
use crate::kernels::words::{
    BLOCK, RATE_CLIP, RATE_RATIO, RATE_ROWS, RATE_UNSCALE, RATE_WIDTH, SKIP_PENDING, STATE_HALT, STATE_LOSS_SCALE, STATE_SKIP, STATE_UPDATE,
};
use crate::kernels::{RateTable, Shard, UpdateGuard, inverse};
use std::ops::Range;

/// The rates of one update, for whichever parameters: the twin of `turn_to` and `rate` in `kernels/lib/rates.rs`.
pub(crate) struct View<'a> {
    table: RateTable,
    words: &'a [u32],
    /// The first block of the shard that the kernel works on.
    first_block: usize,
    row: usize,
    clip: f32,
    unscale: f32,
    ratios: &'a [f32],
}

impl<'a> View<'a> {
    pub fn new(table: RateTable, words: &'a [u32], state: &[u32], clip: f32, ratios: &'a [f32]) -> Self {
        let row = (state[STATE_UPDATE] as usize % RATE_ROWS) * table.width();
        View { table, words, first_block: 0, row, clip, unscale: inverse(state[STATE_LOSS_SCALE]), ratios }
    }

    /// For a kernel that counts the elements of a shard, if it is one.
    pub fn of(self, shard: Option<Shard>) -> Self {
        View { first_block: shard.map_or(0, Shard::first_block), ..self }
    }

    /// Group and tensor of the block that this element lies in.
    fn owner(&self, element: usize) -> u32 {
        if self.table.blocks == 0 { 0 } else { self.words[self.table.table() + self.first_block + element / BLOCK] }
    }

    /// Where a chunk of at most `most` elements from this one on ends: all of them have one owner. Both are multiples of a block, or the end
    /// of the arena.
    pub fn chunk(&self, first: usize, most: usize) -> Range<usize> {
        if self.table.blocks == 0 {
            return first..first + most;
        }
        let owner = self.owner(first);
        let mut end = first + most.min(BLOCK);
        while end < first + most && self.owner(end) == owner {
            end = first + most.min(end - first + BLOCK);
        }
        first..end
    }

    /// Gives a formula the rates of this element, unless it has them: `last` is whose it has.
    pub fn turn_to(&self, e: &mut Evaluator, element: usize, last: &mut Option<u32>) {
        let owner = self.owner(element);
        if last.replace(owner) == Some(owner) {
            return;
        }
        let at = self.row + (owner >> 24) as usize * RATE_WIDTH;
        let mut rates = [0.0; RATE_WIDTH];
        rates.copy_from_slice(f32s(&self.words[at..at + RATE_WIDTH]));
        (rates[RATE_CLIP], rates[RATE_UNSCALE]) = (self.clip, self.unscale);
        if let Some(ratio) = self.ratios.get((owner & 0xff_ffff) as usize) {
            rates[RATE_RATIO] = *ratio;
        }
        e.set_rates(&rates);
    }
}

/// Whether the update stands still, and what clipping leaves of the gradient: the twin of `stopped` in `kernels/lib/update_guard.rs`.
pub(crate) fn stopped(guard: &UpdateGuard, state: &[u32], words: &[u32]) -> (bool, f32) {
    let halted = state[STATE_HALT] != 0;
    let squares = total(&f32s(words)[guard.span()], |v| v) as f32;
    let share = guard.clip.map_or(1.0, |max| max / (squares.sqrt() + 1e-6));
    let stop = halted || !squares.is_finite() || (guard.scaled && state[STATE_SKIP] == SKIP_PENDING);
    (stop, if share > 1.0 { 1.0 } else { share })
}
