//! The part of an arena that a launch works on, where the arena lies in several buffers.

use super::dims::Dims;
use super::words::BLOCK;

/// The shard of an arena that a launch works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Its first element in the arena.
    pub first: usize,
    /// Elements of the whole arena.
    pub whole: usize,
}

impl Shard {
    /// Its first block in the table behind the rates.
    pub(crate) fn first_block(self) -> usize {
        self.first / BLOCK
    }

    /// A kernel's sizes with the first block of its shard behind them, if it works on one.
    pub(crate) fn dims(shard: Option<Shard>, own: Dims) -> Dims {
        match shard {
            Some(s) => own.u32("first_block", s.first_block()),
            None => own,
        }
    }
}
