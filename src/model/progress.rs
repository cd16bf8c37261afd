//! How far a model has been trained: what was counted since its weights were drawn.

use super::loss_scale::Scaler;
use crate::plan::LogLine;

/// The counters of a model.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Updates that were applied, batches that were begun, epochs that have ended.
    pub updates: u64,
    pub batches: u64,
    pub epochs: u64,
    /// Batches of evaluation and inference that were begun.
    pub evaluated: u32,
    /// The loss scale, if there is one.
    pub scaler: Option<Scaler>,
    /// Whether the weights and their average have changed places.
    pub swapped: bool,
}

impl Progress {
    /// Updates that were tried: those applied, and those skipped.
    pub fn tried(&self) -> u64 {
        self.updates + self.scaler.map_or(0, |s| s.skipped)
    }

    /// Notes the log line of an update, which was counted as applied when it was queued.
    pub fn saw_update(&mut self, line: &LogLine) {
        if let Some(s) = &mut self.scaler {
            s.see(line);
            self.updates -= u64::from(line.skipped);
        }
    }
}
