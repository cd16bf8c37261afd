//! Where arenas lie in several buffers: the pieces of a flat range in them.

use super::buffer_id::{ArenaId, BufferId};
use std::ops::Range;

/// The borders between the shards of each arena, in words; none where an arena is one buffer. Gradients, moments and sums are cut as the
/// parameters are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cuts {
    pub(super) trainable: Vec<usize>,
    pub(super) frozen: Vec<usize>,
    pub(super) buffers: Vec<usize>,
    pub(super) half_copies: Vec<usize>,
}

/// A part of a flat range that lies in one buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The buffer.
    pub buffer: BufferId,
    /// Its first word there.
    pub offset: usize,
    /// Its words.
    pub len: usize,
}

impl Cuts {
    /// The borders of an arena.
    fn borders(&self, arena: ArenaId) -> &[usize] {
        match arena {
            ArenaId::Parameters | ArenaId::Gradients | ArenaId::Moment(_) | ArenaId::Sums => &self.trainable,
            ArenaId::Frozen => &self.frozen,
            ArenaId::Buffers => &self.buffers,
            ArenaId::HalfCopy => &self.half_copies,
        }
    }

    /// The buffers that hold `words` words of an arena, each with its range of them. One that holds no words is among them: it may grow.
    pub(super) fn shards(&self, id: BufferId, words: usize) -> Vec<(BufferId, Range<usize>)> {
        let Some(arena) = id.as_arena() else { return vec![(id, 0..words)] };
        let borders = self.borders(arena);
        if borders.is_empty() {
            return vec![(id, 0..words)];
        }
        let ends = borders.iter().copied().chain([words]);
        let begins = std::iter::once(0).chain(borders.iter().copied());
        let range = |(n, (begin, end)): (usize, (usize, usize))| (BufferId::Shard(arena, n), begin.min(words)..end.min(words));
        begins.zip(ends).enumerate().map(range).collect()
    }

    /// The pieces of a range of words. A range that ends behind the arena ends behind its last buffer.
    pub fn pieces(&self, id: BufferId, offset: usize, len: usize) -> Vec<Piece> {
        let shards = self.shards(id, usize::MAX);
        if let [(buffer, _)] = shards[..] {
            return vec![Piece { buffer, offset, len }];
        }
        let end = offset.saturating_add(len);
        let piece = |(buffer, own): (BufferId, Range<usize>)| {
            let (from, to) = (own.start.max(offset), own.end.min(end));
            (from < to).then(|| Piece { buffer, offset: from - own.start, len: to - from })
        };
        shards.into_iter().filter_map(piece).collect()
    }

    /// The buffer that holds a word of an arena, and its place there.
    pub(super) fn place(&self, id: BufferId, word: usize) -> (BufferId, usize) {
        let Some(arena) = id.as_arena() else { return (id, word) };
        let borders = self.borders(arena);
        match borders.partition_point(|first| *first <= word) {
            _ if borders.is_empty() => (id, word),
            0 => (BufferId::Shard(arena, 0), word),
            n => (BufferId::Shard(arena, n), word - borders[n - 1]),
        }
    }
}
