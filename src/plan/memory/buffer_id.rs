//! The names of a device's buffers.

use crate::plan::purpose::StateSet;

/// A buffer of the device.
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
}
