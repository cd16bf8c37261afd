//! The shards of the trainable parameters: what runs over all of them is a launch for each.

use super::lowering::Lowering;
use super::unplaced::Symbol;
use crate::kernels::Shard;
use crate::plan::memory::{ArenaEntry, BufferId};
use std::ops::Range;

/// One of the buffers that the trainable parameters lie in: in most models the only one.
pub(super) struct OneShard {
    /// Its number.
    number: usize,
    /// How many there are.
    count: usize,
    /// Its elements in the arena.
    pub range: Range<usize>,
    /// What kernels are told of it; none of the only one.
    pub kernel: Option<Shard>,
}

impl OneShard {
    /// Its elements.
    pub fn size(&self) -> usize {
        self.range.len()
    }

    /// A launch's label, with the shard's number where there are several.
    pub fn label(&self, text: impl Into<String>) -> String {
        let text = text.into();
        if self.count == 1 { text } else { format!("{text}, shard {} of {}", self.number + 1, self.count) }
    }

    /// Whether a parameter that trains lies in it.
    pub fn holds(&self, e: &ArenaEntry) -> bool {
        self.range.contains(&e.offset)
    }
}

impl Lowering<'_> {
    /// The shards, in order.
    pub(super) fn shards(&self) -> Vec<OneShard> {
        let (ranges, whole) = (self.r.arena.shards(), self.r.arena.size);
        let count = ranges.len();
        let kernel = |first: usize| (count > 1).then_some(Shard { first, whole });
        let one = |(number, range): (usize, Range<usize>)| OneShard { number, count, kernel: kernel(range.start), range };
        ranges.into_iter().enumerate().map(one).collect()
    }

    /// The buffer of an arena that holds what belongs to a shard.
    pub(super) fn in_shard(&self, id: BufferId, shard: &OneShard) -> Symbol {
        Symbol::Fixed(self.r.arena.shard(id, shard.number))
    }
}
