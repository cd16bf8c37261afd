//! The batches of a loop that are under way, and what those that were seen have come to.

use super::mean::Mean;
use crate::clock;
use crate::error::Error;
use crate::inspect::diagnose::LayerReport;
use crate::model::rate::Rate;
use crate::plan::{LogLine, Ticket};
use std::collections::VecDeque;

/// How far the batches of one call are: queued, and seen in the log.
#[derive(Debug)]
pub(super) struct Flight {
    pub want: usize,
    /// The number of the first batch in its epoch and among all batches, and the number of the update that begins with it.
    pub first: usize,
    pub first_update: u64,
    pub first_batch: u64,
    pub queued: usize,
    /// Submits whose log was not seen.
    pub under_way: VecDeque<UnderWay>,
    /// The rates of batches that a lost device has swallowed, up to these batches of the epoch: they are queued again at the same.
    pub again: VecDeque<(usize, Rate)>,
    /// Batches that were seen, as far as they make whole updates; how many updates that is, and how many of these were skipped.
    pub seen: usize,
    pub updates: usize,
    pub skipped: usize,
    /// The log lines of the update of which only some batches were seen.
    pub open: Vec<LogLine>,
    /// What was seen since the last report.
    pub report: Seen,
    /// The error that keeps further steps from being queued.
    pub failed: Option<Error>,
    /// How often the device was lost since the batch `since` was the last one seen.
    pub losses: usize,
    pub since: usize,
}

/// Batches of one submit, at one rate.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub ticket: Ticket,
    pub batches: usize,
    pub rate: Rate,
}

/// What updates have come to that no report has told of.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Since when they were awaited, on the clock.
    pub began: Option<f64>,
    /// The number of the first update.
    pub first_update: u64,
    /// The loss of each, and the norm of the last gradient.
    pub losses: Vec<f32>,
    pub grad_norm: f32,
    /// What the run has made of the schedule at the last of them.
    pub rate: Rate,
    /// Which of these updates were skipped.
    pub skipped: Vec<usize>,
    pub mean: Mean,
    pub rows: usize,
    pub diagnostics: Vec<LayerReport>,
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
            again: VecDeque::new(),
            seen: 0,
            updates: 0,
            skipped: 0,
            open: Vec::new(),
            report: Seen::from(first_update, clock::now()),
            failed: None,
            losses: 0,
            since: 0,
        }
    }

    /// The number of the next update that will be seen.
    pub fn next_update(&self) -> u64 {
        self.first_update + (self.updates - self.skipped) as u64
    }
}

impl Seen {
    /// Nothing yet; the next update has this number, and is awaited since then.
    pub fn from(first_update: u64, began: Option<f64>) -> Self {
        Seen { first_update, began, ..Seen::default() }
    }
}
