//! The batches of one call of `steps`, while they are under way.

use super::mean::Mean;
use crate::error::Error;
use crate::inspect::diagnose::LayerReport;
use crate::kernels::words::LOG_ROWS;
use crate::plan::LogLine;
use std::collections::VecDeque;

/// How far the batches of one call are: queued, and seen in the log.
pub(super) struct Flight {
    pub want: usize,
    /// The number of the first batch in its epoch and among all batches, and the number of the update that begins with it.
    pub first: usize,
    pub first_update: u64,
    pub first_batch: u64,
    pub queued: usize,
    pub under_way: VecDeque<usize>,
    /// Batches that were seen, as far as they make whole updates.
    pub seen: usize,
    /// The log lines of the update of which only some batches were seen.
    pub open: Vec<LogLine>,
    /// The loss of each update that was seen, and the norm of the last gradient.
    pub losses: Vec<f32>,
    pub grad_norm: f32,
    /// Which of these updates were skipped.
    pub skipped: Vec<usize>,
    pub mean: Mean,
    pub rows: usize,
    pub diagnostics: Vec<LayerReport>,
    /// The error that keeps further steps from being queued.
    pub failed: Option<Error>,
}

impl Flight {
    pub fn new(want: usize, first: usize, first_update: u64, first_batch: u64) -> Self {
        Flight {
            want,
            first,
            first_update,
            first_batch,
            queued: 0,
            under_way: VecDeque::new(),
            seen: 0,
            open: Vec::new(),
            losses: Vec::with_capacity(want.min(LOG_ROWS)),
            grad_norm: 0.0,
            skipped: vec![],
            mean: Mean::default(),
            rows: 0,
            diagnostics: vec![],
            failed: None,
        }
    }
}
