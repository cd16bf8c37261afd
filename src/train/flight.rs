//! The batches of one call of `steps`, while they are under way.

use super::mean::Mean;
use crate::error::Error;
use crate::inspect::diagnose::LayerReport;
use crate::kernels::words::LOG_ROWS;
use crate::plan::LogLine;
use std::collections::VecDeque;

/// Batches of one call, queued and seen.
pub(super) struct Flight {
    pub want: usize,
    /// The first of them: of the epoch, of all batches; and the update that it begins.
    pub first: usize,
    pub first_update: u64,
    pub first_batch: u64,
    pub queued: usize,
    pub under_way: VecDeque<usize>,
    /// Batches of whole updates that were seen.
    pub seen: usize,
    /// The lines of an update of which some batches were seen.
    pub open: Vec<LogLine>,
    /// The loss of each update, and the last one's norm.
    pub losses: Vec<f32>,
    pub grad_norm: f32,
    /// Which updates were skipped.
    pub skipped: Vec<usize>,
    pub mean: Mean,
    pub rows: usize,
    pub diagnostics: Vec<LayerReport>,
    /// What kept further steps from being queued.
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
