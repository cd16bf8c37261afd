//! The words of a model's parameters and buffers on the host.

use crate::plan::{Arena, ArenaEntry, BufferEntry};

/// The words of the arenas that hold parameters and buffers, on the host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParameterWords {
    pub(super) trainable: Vec<u32>,
    pub(super) frozen: Vec<u32>,
    pub(super) buffers: Vec<u32>,
}

impl ParameterWords {
    pub fn zeros(arena: &Arena) -> Self {
        ParameterWords { trainable: vec![0; arena.size], frozen: vec![0; arena.frozen], buffers: vec![0; arena.buffered] }
    }

    /// The words of a parameter, as its arena holds them.
    pub fn stored(&self, e: &ArenaEntry) -> &[u32] {
        let all = if e.frozen { &self.frozen } else { &self.trainable };
        &all[e.offset..e.offset + e.shape.size()]
    }

    /// Sets a parameter's values; as many as its shape has elements.
    pub fn set(&mut self, e: &ArenaEntry, values: &[f32]) {
        let all = if e.frozen { &mut self.frozen } else { &mut self.trainable };
        all[e.offset..e.offset + e.shape.size()].iter_mut().zip(&*e.store(values)).for_each(|(w, v)| *w = v.to_bits());
    }

    /// The words of a buffer.
    pub fn buffer(&self, e: &BufferEntry) -> &[u32] {
        &self.buffers[e.offset..e.offset + e.shape.size()]
    }

    /// Sets a buffer's values; as many as its shape has elements.
    pub fn set_buffer(&mut self, e: &BufferEntry, values: impl IntoIterator<Item = f32>) {
        self.buffers[e.offset..e.offset + e.shape.size()].iter_mut().zip(values).for_each(|(w, v)| *w = v.to_bits());
    }
}
