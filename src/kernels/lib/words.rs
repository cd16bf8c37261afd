//! Where each number stands in the device's `State`, `Log` and rate table. One table for both machines.

use crate::portable::STORAGE_BUFFERS;

/// Words of the state.
pub const STATE_WORDS: usize = 16;
/// Batches begun so far: keys random draws, indexes the log.
pub const STATE_BATCH: usize = 0;
/// Updates applied so far: indexes the rates.
pub const STATE_UPDATE: usize = 1;
/// The next row in the epoch's order.
pub const STATE_CURSOR: usize = 2;
/// Epochs ended so far: keys the order.
pub const STATE_EPOCH: usize = 3;
/// Rows of the data set.
pub const STATE_ROWS: usize = 4;
/// Whether the order is shuffled.
pub const STATE_SHUFFLE: usize = 5;
/// The seed of the order, lower half.
pub const STATE_SEED_LO: usize = 6;
/// The seed's upper half.
pub const STATE_SEED_HI: usize = 7;
/// Set by a loss that is not finite: nothing moves until the host has seen it.
pub const STATE_HALT: usize = 8;
/// Batches whose gradients are summed for the next update; 0 where each has an update of its own.
pub const STATE_MICRO: usize = 9;
/// Rows of those batches; the sum of their weights, as the bits of an f32, where the loss is a mean over these.
pub const STATE_SUMMED: usize = 10;
/// What the loss is multiplied by before its gradients are made, as the bits of an f32: a power of two. See [`Scaling`](crate::optim::Scaling).
pub const STATE_LOSS_SCALE: usize = 11;
/// Good updates in a row since the scale last moved; under a fixed scale skipped ones in a row.
pub const STATE_GROWTH: usize = 12;
/// Updates skipped so far.
pub const STATE_SKIPPED: usize = 13;
/// Whether a batch of the open update has gone wrong, or the last update was skipped: [`SKIP_NONE`] and so on.
pub const STATE_SKIP: usize = 14;

/// All went well.
pub const SKIP_NONE: u32 = 0;
/// The update that is open will be skipped.
pub const SKIP_PENDING: u32 = 1;
/// The last update was skipped.
pub const SKIP_DONE: u32 = 2;

/// The names that shaders use.
pub const STATE_NAMES: &[(&str, usize)] = &[
    ("STATE_BATCH", STATE_BATCH),
    ("STATE_UPDATE", STATE_UPDATE),
    ("STATE_CURSOR", STATE_CURSOR),
    ("STATE_EPOCH", STATE_EPOCH),
    ("STATE_ROWS", STATE_ROWS),
    ("STATE_SHUFFLE", STATE_SHUFFLE),
    ("STATE_SEED_LO", STATE_SEED_LO),
    ("STATE_SEED_HI", STATE_SEED_HI),
    ("STATE_HALT", STATE_HALT),
    ("STATE_MICRO", STATE_MICRO),
    ("STATE_SUMMED", STATE_SUMMED),
    ("STATE_LOSS_SCALE", STATE_LOSS_SCALE),
    ("STATE_GROWTH", STATE_GROWTH),
    ("STATE_SKIPPED", STATE_SKIPPED),
    ("STATE_SKIP", STATE_SKIP),
];

/// A bit of a line's last head word: the step has halted.
pub const LOG_HALTED: u32 = 1;
/// Another: its update was skipped.
pub const LOG_SKIPPED: u32 = 2;
/// From this bit on stand eight of the loss scale's exponent; 0 where the loss is not scaled.
pub const LOG_SCALE: u32 = 8;

/// Most lines of the log, a ring over the batches: see [`LogShape`](super::LogShape) for wide lines.
pub const LOG_ROWS: usize = 4096;
/// Words of the narrowest line: batch, loss, gradient norm, what became of the step, then the metrics.
pub const LOG_WIDTH: usize = 16;
/// Metrics that the tick binds one by one, beside state, log, loss and partial sums. More lie in one buffer.
pub const BOUND_METRICS: usize = STORAGE_BUFFERS - 4;

/// Rows of the rate table, a ring over the updates.
pub const RATE_ROWS: usize = 4096;
pub use crate::optim::rates::{RATE_CLIP, RATE_FIRST, RATE_RATIO, RATE_UNSCALE, RATE_WIDTH};
/// Elements of the arena that share a word of the table behind the rates: what tensors are aligned to.
pub const BLOCK: usize = 128;

/// Partial sums of squares that the optimizer leaves for the tick.
pub const PARTIALS: usize = 1024;
