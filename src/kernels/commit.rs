//! New values of state that is not trained, from their slots to the arena of buffers.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};

const WG: usize = 64;

/// A piece of state on its way from a slot to the arena of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferCopy {
    /// First element in the slot.
    pub from: usize,
    /// First element in the arena.
    pub to: usize,
    /// Elements.
    pub len: usize,
}

/// New values of state that is not trained, to their arena, behind the tick: nothing moves if that has halted or skipped the step. Buffers: state,
/// arena, new values.
#[derive(Debug, Clone)]
pub struct Commit {
    /// What is copied, at most [`Commit::MOST`].
    pub parts: Vec<BufferCopy>,
}

impl Commit {
    /// Parts that fit in a launch's sizes.
    pub const MOST: usize = 20;

    /// Elements that are copied.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|p| p.len).sum()
    }
}

impl Archetype for Commit {
    fn name(&self) -> String {
        "commit".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG);
        s.finish(shader!("commit.wgsl"))
    }

    /// State, arena, new values.
    fn bindings(&self) -> Vec<Binding> {
        let end = |end: fn(&BufferCopy) -> usize| self.parts.iter().map(end).max().unwrap_or(0);
        let arena = Binding::write("buffers", Element::F32, 0..end(|p| p.to + p.len)).moving(self.size());
        let values = Binding::read("values", Element::F32, 0..end(|p| p.from + p.len)).moving(self.size());
        vec![Binding::state(), arena, values]
    }

    /// Its sizes. The lists have room for the most parts, so that all commits share a pipeline.
    fn dims(&self) -> Dims {
        let list = |of: fn(&BufferCopy) -> usize| self.parts.iter().map(of);
        let d = Dims::new().u32("parts", self.parts.len()).list("lengths", Self::MOST / 4, list(|p| p.len));
        d.list("sources", Self::MOST / 4, list(|p| p.from)).list("targets", Self::MOST / 4, list(|p| p.to))
    }

    /// A thread for every element.
    fn grid(&self) -> [u32; 3] {
        fold(self.size().div_ceil(WG))
    }

    fn turns(&self) -> usize {
        self.parts.len()
    }

    fn flops(&self) -> u64 {
        0
    }
}
