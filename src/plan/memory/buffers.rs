//! The buffers of a model, in one list: what sessions make, what memory is counted by, what outlives a step. A new buffer is one row of
//! [`Layout::buffers`].

use super::arena::Arena;
use super::buffer_id::BufferId;
use super::cuts::Cuts;
use crate::kernels::words::{PARTIALS, STATE_WORDS};
use crate::kernels::{LogShape, RateTable};
use crate::optim::Rule;
use crate::plan::purpose::StateSet;

/// The sizes of a session's buffers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Elements of the trainable arena, of its gradients and of each moment.
    pub parameters: usize,
    /// Elements of the frozen arena.
    pub frozen: usize,
    /// Moments that the optimizer keeps.
    pub moments: usize,
    /// What the rates' buffer holds.
    pub rates: RateTable,
    /// Elements of the arena of state that is not trained.
    pub buffers: usize,
    /// Elements of the parameters' f16 copies.
    pub half_copies: usize,
    /// Elements of the sums of gradients; 0 until a program has several batches an update.
    pub sums: usize,
    /// Words of each set's log, for programs with lines that are wider than the least.
    pub logs: [usize; 2],
    /// Where arenas are cut into shards.
    pub cuts: Cuts,
}

/// A buffer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferSpec {
    /// Its name.
    pub id: BufferId,
    /// Its words; 0 where the model does not need it.
    pub words: usize,
    /// How kernels bind it.
    pub usage: Usage,
    /// How long its content counts.
    pub lasts: Lasts,
}

/// How kernels bind a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// As storage.
    Storage,
    /// As a uniform by those that read it, as storage by those that write it.
    Uniform,
}

/// How long the content of a buffer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Until the step ends: the next step writes it before it reads it.
    Step,
    /// Until the update is applied.
    Update,
    /// As long as the model: a checkpoint and the copy on the host hold it.
    Model,
    /// As long as the model, which can make it again from the rest.
    Derived,
}

impl Layout {
    /// The buffers for these parameters, with so many moments.
    pub fn of(arena: &Arena, moments: usize) -> Self {
        Layout {
            parameters: arena.size,
            frozen: arena.frozen,
            moments,
            buffers: arena.buffered,
            half_copies: arena.half_copies,
            cuts: arena.cuts.clone(),
            ..Layout::default()
        }
    }

    /// The buffers for these parameters under this rule.
    pub fn under(arena: &Arena, rule: &Rule) -> Self {
        Layout { rates: rule.rates(arena), ..Self::of(arena, rule.moments) }
    }

    /// Buffers large enough for both.
    #[must_use]
    pub fn join(self, other: Layout) -> Self {
        Layout {
            parameters: self.parameters.max(other.parameters),
            frozen: self.frozen.max(other.frozen),
            moments: self.moments.max(other.moments),
            rates: if self.rates.words() < other.rates.words() { other.rates } else { self.rates },
            buffers: self.buffers.max(other.buffers),
            half_copies: self.half_copies.max(other.half_copies),
            sums: self.sums.max(other.sums),
            logs: [0, 1].map(|set| self.logs[set].max(other.logs[set])),
            cuts: if self.cuts == Cuts::default() { other.cuts } else { self.cuts },
        }
    }

    /// Every buffer but slots and data, in the order that they are made in: of an arena that is cut each shard.
    pub fn buffers(&self) -> Vec<BufferSpec> {
        let shards = |b: BufferSpec| {
            let all = self.cuts.shards(b.id, b.words).into_iter();
            all.map(move |(id, range)| BufferSpec { id, words: range.len(), ..b })
        };
        self.whole().into_iter().flat_map(shards).collect()
    }

    /// As [`Layout::buffers`], each arena as a whole.
    fn whole(&self) -> Vec<BufferSpec> {
        use BufferId::*;
        let row = |id, words, usage, lasts| BufferSpec { id, words, usage, lasts };
        let storage = |id, words, lasts| row(id, words, Usage::Storage, lasts);
        let mut all = vec![
            storage(Parameters, self.parameters, Lasts::Model),
            storage(Gradients, self.parameters, Lasts::Update),
            row(State(StateSet::Train), STATE_WORDS, Usage::Uniform, Lasts::Model),
            row(State(StateSet::Eval), STATE_WORDS, Usage::Uniform, Lasts::Derived),
        ];
        all.extend((0..self.moments).map(|m| storage(Moment(m), self.parameters, Lasts::Model)));
        all.extend([
            storage(Frozen, self.frozen, Lasts::Model),
            storage(Buffers, self.buffers, Lasts::Model),
            storage(HalfCopy, self.half_copies / 2, Lasts::Derived),
            storage(Rates, self.rates.words(), Lasts::Derived),
            storage(Partials, PARTIALS, Lasts::Step),
            storage(Sums, self.sums, Lasts::Update),
            storage(Log(StateSet::Train), self.log(StateSet::Train), Lasts::Step),
            storage(Log(StateSet::Eval), self.log(StateSet::Eval), Lasts::Step),
        ]);
        all
    }

    /// The buffers that outlive a step and cannot be made again, with their words: those that a checkpoint holds. Each arena is one of them,
    /// wherever it lies.
    pub fn lasting(&self) -> Vec<BufferSpec> {
        self.whole().into_iter().filter(|b| b.lasts == Lasts::Model && b.words > 0).collect()
    }

    /// Bytes of all of them. What no memory holds is not miscounted.
    pub fn bytes(&self) -> u64 {
        self.whole().iter().fold(0, |sum: u64, b| sum.saturating_add((b.words as u64).saturating_mul(4)))
    }

    /// Words of a set's log.
    pub(crate) fn log(&self, set: StateSet) -> usize {
        self.logs[set as usize].max(LogShape::of(0).words())
    }
}

impl BufferId {
    /// Whether a session makes it, or makes it larger, for a program that it is given later.
    pub(crate) fn grows(self) -> bool {
        matches!(self.whole(), BufferId::Sums | BufferId::Log(_))
    }
}
