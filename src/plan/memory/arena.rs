//! Where each parameter lies: flat buffers over all parameters of a model.

use super::buffer_id::BufferId;
use super::cuts::Cuts;
use crate::plan::human::human_bytes;
use crate::tensor::{Order, Shape};
use std::borrow::Cow;
use std::collections::HashMap;

/// Tensors of an arena start at multiples of this many elements: 256 bytes even for an f16 copy.
pub const ALIGN: usize = 128;

/// A parameter's place.
#[derive(Debug, Clone, PartialEq)]
pub struct ArenaEntry {
    /// Its full name.
    pub name: String,
    /// Its shape, in its own order.
    pub shape: Shape,
    /// Its first element.
    pub offset: usize,
    /// It does not train: it lies in the frozen arena.
    pub frozen: bool,
    /// The order of its axes in the arena.
    pub order: Order,
}

impl ArenaEntry {
    /// The arena that holds its values.
    pub fn buffer(&self) -> BufferId {
        if self.frozen { BufferId::Frozen } else { BufferId::Parameters }
    }

    /// Its elements as the arena holds them.
    pub fn store<'a, T: Copy>(&self, own: &'a [T]) -> Cow<'a, [T]> {
        self.order.store(&self.shape, own)
    }

    /// Its elements, of those that the arena holds.
    pub fn restore<'a, T: Copy>(&self, stored: &'a [T]) -> Cow<'a, [T]> {
        self.order.restore(&self.shape, stored)
    }
}

/// Where a piece of state lies that is not trained.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferEntry {
    /// Its full name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its first element in the arena of buffers.
    pub offset: usize,
}

/// Two flat f32 buffers over all parameters: those that train, whose gradients and moments use the same offsets, and the frozen ones.
/// A third holds the state that is not trained.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Arena {
    /// The parameters, in the order they were made.
    pub entries: Vec<ArenaEntry>,
    /// Elements of the trainable arena, gaps included: a multiple of [`ALIGN`].
    pub size: usize,
    /// Elements of the frozen arena, gaps included; 0 where nothing is frozen.
    pub frozen: usize,
    /// State that is not trained, in the order it was made.
    pub buffers: Vec<BufferEntry>,
    /// Elements of its arena, gaps included; 0 where there is none.
    pub buffered: usize,
    /// Elements of the f16 copies of all parameters, gaps included; 0 where there are none.
    pub half_copies: usize,
    /// Where it is cut into shards, if it is.
    pub cuts: Cuts,
    /// The numbers of `entries` by name.
    index: HashMap<String, usize>,
    /// The numbers of `buffers` by name.
    buffer_index: HashMap<String, usize>,
}

impl Arena {
    /// Lays parameters out one after another; all of them train.
    pub fn new(parameters: impl IntoIterator<Item = (String, Shape)>) -> Self {
        Self::with_frozen(parameters.into_iter().map(|(name, shape)| (name, shape, false)))
    }

    /// As [`Arena::new`]; those with `true` are frozen.
    pub fn with_frozen(parameters: impl IntoIterator<Item = (String, Shape, bool)>) -> Self {
        let mut arena = Arena::default();
        for (name, shape, frozen) in parameters {
            let end = if frozen { &mut arena.frozen } else { &mut arena.size };
            let offset = *end;
            *end += shape.size().next_multiple_of(ALIGN);
            arena.index.entry(name.clone()).or_insert(arena.entries.len());
            arena.entries.push(ArenaEntry { name, shape, offset, frozen, order: Order::default() });
        }
        arena.size = arena.size.max(ALIGN);
        arena
    }

    /// With the axes of these parameters in these orders: one for each, as far as they are given.
    #[must_use]
    pub fn in_orders(mut self, orders: impl IntoIterator<Item = Order>) -> Self {
        self.entries.iter_mut().zip(orders).for_each(|(e, order)| e.order = order);
        self
    }

    /// With state that is not trained, laid out as the parameters are.
    #[must_use]
    pub fn with_buffers(mut self, buffers: impl IntoIterator<Item = (String, Shape)>) -> Self {
        for (name, shape) in buffers {
            let offset = self.buffered;
            self.buffered += shape.size().next_multiple_of(ALIGN);
            self.buffer_index.entry(name.clone()).or_insert(self.buffers.len());
            self.buffers.push(BufferEntry { name, shape, offset });
        }
        self
    }

    /// With f16 copies of the parameters, for mixed precision.
    #[must_use]
    pub fn with_half_copies(mut self) -> Self {
        self.half_copies = self.size + self.frozen;
        self
    }

    /// The first element of a parameter's f16 copy.
    pub fn half_copy_offset(&self, e: &ArenaEntry) -> usize {
        if e.frozen { self.size + e.offset } else { e.offset }
    }

    /// The buffer of this name.
    pub fn find_buffer(&self, name: &str) -> Option<&BufferEntry> {
        self.buffers.get(*self.buffer_index.get(name)?)
    }

    /// Elements of all state that is not trained, without gaps.
    pub fn buffer_count(&self) -> usize {
        self.buffers.iter().map(|e| e.shape.size()).sum()
    }

    /// The parameter of this name.
    pub fn find(&self, name: &str) -> Option<&ArenaEntry> {
        self.entries.get(*self.index.get(name)?)
    }

    /// Elements of all parameters, without gaps.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|e| e.shape.size()).sum()
    }

    /// Elements of the frozen parameters, without gaps.
    pub fn frozen_count(&self) -> usize {
        self.entries.iter().filter(|e| e.frozen).map(|e| e.shape.size()).sum()
    }

    /// Elements of the parameters that train, without gaps.
    pub fn trainable_count(&self) -> usize {
        self.count() - self.frozen_count()
    }

    /// The largest parameters with their bytes, gradients and moments not counted.
    pub(crate) fn largest(&self, most: usize) -> Vec<String> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|e| std::cmp::Reverse(e.shape.size()));
        all.into_iter().take(most).map(|e| format!("{} {} ({})", e.name, e.shape, human_bytes(4 * e.shape.size() as u64))).collect()
    }
}
