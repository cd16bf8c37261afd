//! Where each number stands in the device's `State`, `Log` and rate table. One table for both machines.

use crate::portable::STORAGE_BUFFERS;

pub use super::state::*;

/// A bit of a line's last head word: the step has halted.
pub const LOG_HALTED: u32 = 1;
/// Another: its update was skipped.
pub const LOG_SKIPPED: u32 = 2;
/// From this bit on stand eight of the loss scale's exponent; 0 where the loss is not scaled.
pub const LOG_SCALE: u32 = 8;

/// Most lines of the log, a ring over the batches: see [`LogShape`](crate::kernels::LogShape) for wide lines.
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
