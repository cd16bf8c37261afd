//! The names of a device's buffers.

use crate::plan::purpose::StateSet;

/// An arena: one flat row of numbers to the host, in one buffer of the device or in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArenaId {
    /// As [`BufferId::Parameters`].
    Parameters,
    /// As [`BufferId::Frozen`].
    Frozen,
    /// As [`BufferId::Buffers`].
    Buffers,
    /// As [`BufferId::HalfCopy`].
    HalfCopy,
    /// As [`BufferId::Gradients`].
    Gradients,
    /// As [`BufferId::Moment`].
    Moment(usize),
    /// As [`BufferId::Sums`].
    Sums,
}

/// A buffer of the device.
///
/// The name of an arena means the whole of it to reads and writes, wherever it lies. Launches bind it by that name where it is one buffer, and
/// by the names of its shards where it is several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BufferId {
    /// A reusable buffer for values that live within a step; shared by all programs of a model.
    Slot(usize),
    /// All trainable parameters.
    Parameters,
    /// All frozen parameters: read by launches, written by none.
    Frozen,
    /// State that is not trained: written at the end of a training step's forward and backward, and by nothing else.
    Buffers,
    /// The f16 copies of the parameters that products read, two to a word: the trainable ones at the same offsets, behind them the frozen
    /// ones. The optimizer writes them with the parameters, the host with whatever else sets those. Only where precision is mixed.
    HalfCopy,
    /// The gradients of the trainable ones, at the same offsets.
    Gradients,
    /// A moment of the optimizer, at the same offsets.
    Moment(usize),
    /// Sums of the gradients of an update's batches, at the same offsets. Made with the first program that uses it; empty between updates.
    Sums,
    /// Counters, cursor, halt.
    State(StateSet),
    /// Losses and metrics of the latest steps.
    Log(StateSet),
    /// Learning rates and corrections of the next updates.
    Rates,
    /// Partial sums of the gradient's squares.
    Partials,
    /// A field of the data set that the program runs over.
    Data(usize),
    /// Small words that the program's kernels look up, and nobody writes: [`Program::tables`](crate::plan::Program::tables). Made when the program is prepared.
    Tables,
    /// One of the buffers of an arena that is larger than the device binds.
    Shard(ArenaId, usize),
}

impl BufferId {
    /// The arena of this name.
    pub(super) fn as_arena(self) -> Option<ArenaId> {
        Some(match self {
            BufferId::Parameters => ArenaId::Parameters,
            BufferId::Frozen => ArenaId::Frozen,
            BufferId::Buffers => ArenaId::Buffers,
            BufferId::HalfCopy => ArenaId::HalfCopy,
            BufferId::Gradients => ArenaId::Gradients,
            BufferId::Moment(m) => ArenaId::Moment(m),
            BufferId::Sums => ArenaId::Sums,
            BufferId::Slot(_) | BufferId::State(_) | BufferId::Log(_) | BufferId::Rates => return None,
            BufferId::Partials | BufferId::Data(_) | BufferId::Tables | BufferId::Shard(..) => return None,
        })
    }

    /// The name of the whole arena for one of its shards; any other as it is.
    pub(crate) fn whole(self) -> BufferId {
        let BufferId::Shard(arena, _) = self else { return self };
        match arena {
            ArenaId::Parameters => BufferId::Parameters,
            ArenaId::Frozen => BufferId::Frozen,
            ArenaId::Buffers => BufferId::Buffers,
            ArenaId::HalfCopy => BufferId::HalfCopy,
            ArenaId::Gradients => BufferId::Gradients,
            ArenaId::Moment(m) => BufferId::Moment(m),
            ArenaId::Sums => BufferId::Sums,
        }
    }
}
