//! The shards of an arena that is larger than a device binds: buffers that end between tensors.

use super::arena::Arena;
use super::buffer_id::BufferId;
use super::cuts::Cuts;
use super::slots::GRAIN;
use crate::error::{Error, Result};
use crate::kernels::Direction;
use crate::kernels::words::BLOCK;
use crate::optim::Rule;
use crate::tensor::Shape;
use std::ops::Range;

impl Arena {
    /// This arena, cut between tensors such that no buffer of it has more than so many bytes: to be called last. Under a rule with norms of each
    /// tensor the directions, which have these norms between them, fit in a buffer, too.
    ///
    /// Fails where a single tensor is larger.
    pub fn in_shards(mut self, rule: &Rule, binding_bytes: usize) -> Result<Self> {
        let words = binding_bytes / 4;
        // directions lie in a slot
        let blocks = binding_bytes / GRAIN * GRAIN / 4 / Direction::STRIDE;
        let trained = if rule.apply.is_some() { blocks * BLOCK } else { words };
        let parameters = |frozen: bool| {
            let own = self.entries.iter().filter(move |e| e.frozen == frozen);
            own.map(|e| ("the parameter", e.name.as_str(), &e.shape, e.offset)).collect::<Vec<_>>()
        };
        let buffers = self.buffers.iter().map(|e| ("the buffer", e.name.as_str(), &e.shape, e.offset)).collect();
        let cut = |tensors, end, most| self.cut(tensors, end, most, binding_bytes);
        let trainable = cut(parameters(false), self.size, trained)?;
        let frozen = cut(parameters(true), self.frozen, words)?;
        let buffers = cut(buffers, self.buffered, words)?;
        let mut half_copies = Vec::new();
        if self.half_copies > 0 && trainable.len() + frozen.len() > 0 {
            // a shard for each of the parameters': two to a word
            let behind = (self.frozen > 0).then_some(self.size);
            let all = trainable.iter().copied().chain(behind).chain(frozen.iter().map(|f| self.size + f));
            half_copies.extend(all.map(|first| first / 2));
        }
        self.cuts = Cuts { trainable, frozen, buffers, half_copies };
        Ok(self)
    }

    /// The borders between shards of at most so many words, for tensors in the order in which they lie; the last one ends at `end`.
    fn cut(&self, tensors: Vec<(&str, &str, &Shape, usize)>, end: usize, most: usize, binding_bytes: usize) -> Result<Vec<usize>> {
        let mut borders = Vec::new();
        let mut first = 0;
        for (i, (kind, name, shape, offset)) in tensors.iter().enumerate() {
            let behind = tensors.get(i + 1).map_or(end, |next| next.3);
            if behind - offset > most {
                return Err(Error::OutOfMemory {
                    what: format!("one buffer of the device: {kind} `{name}` {shape}"),
                    needed: 4 * (behind - offset) as u64,
                    available: binding_bytes as u64,
                    biggest: self.largest(5),
                    help: "take a narrower layer, or two in its place: a tensor lies in one buffer; `cpu` has no such limit".into(),
                });
            }
            if behind - first > most {
                borders.push(*offset);
                first = *offset;
            }
        }
        Ok(borders)
    }

    /// How many buffers hold an arena of this kind.
    pub fn shard_count(&self, id: BufferId) -> usize {
        self.cuts.shards(id, 0).len()
    }

    /// Elements of the largest buffer that parameters, their f16 copies or other state lie in.
    pub(crate) fn largest_shard(&self) -> usize {
        let most = |id, words| self.cuts.shards(id, words).iter().map(|(_, range)| range.len()).max().unwrap_or(0);
        let copies = 2 * most(BufferId::HalfCopy, self.half_copies / 2);
        let all =
            [most(BufferId::Parameters, self.size), most(BufferId::Frozen, self.frozen), most(BufferId::Buffers, self.buffered), copies];
        all.into_iter().max().unwrap_or(0)
    }

    /// The shards of the trainable parameters: each with its range of elements.
    pub(crate) fn shards(&self) -> Vec<Range<usize>> {
        self.cuts.shards(BufferId::Parameters, self.size).into_iter().map(|(_, range)| range).collect()
    }

    /// The buffer of shard `n` of an arena that is cut as the parameters are, or of their f16 copies.
    pub(crate) fn shard(&self, id: BufferId, n: usize) -> BufferId {
        self.cuts.shards(id, 0).get(n).map_or(id, |(buffer, _)| *buffer)
    }

    /// The buffer that holds an element of an arena, and its place there. Of the f16 copies elements are half as wide as words.
    pub(crate) fn place(&self, id: BufferId, element: usize) -> (BufferId, usize) {
        if id == BufferId::HalfCopy {
            let (buffer, word) = self.cuts.place(id, element / 2);
            return (buffer, 2 * word + element % 2);
        }
        self.cuts.place(id, element)
    }
}

#[cfg(test)]
mod tests;
