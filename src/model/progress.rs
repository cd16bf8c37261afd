//! Where a model stands: what was counted since its weights were drawn.

use super::loss_scale::Scaler;
use crate::plan::LogLine;

/// What a model counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Updates applied, batches begun, epochs ended, since the weights were drawn.
    pub updates: u64,
    pub batches: u64,
    pub epochs: u64,
    /// Batches of evaluation and inference begun.
    pub evaluated: u32,
    /// The loss scale, if there is one.
    pub scaler: Option<Scaler>,
    /// The average of the weights stands in their place.
    pub swapped: bool,
}

impl Progress {
    /// Updates that were tried: those applied, and those skipped.
    pub fn tried(&self) -> u64 {
        self.updates + self.scaler.map_or(0, |s| s.skipped)
    }

    /// Takes note of an update that was queued, and counted as applied, once its line is there.
    pub fn saw_update(&mut self, line: &LogLine) {
        if let Some(s) = &mut self.scaler {
            s.see(line);
            self.updates -= u64::from(line.skipped);
        }
    }
}
