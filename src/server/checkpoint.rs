//! A run of several workers in a file: what is written, and where.

use super::keeper::{Copied, KeeperState};
use super::length::Length;
use crate::error::Result;
use crate::exchange::{Mode, Shard};
use crate::store::checkpoint::{Checkpoint, Sheet};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a run is written to, and what of it was.
pub(super) struct File {
    pub to: Checkpoint,
    /// Updates and epochs behind the last copy.
    pub updates: u64,
    pub epochs: u64,
    /// Whether one is being written.
    pub writing: bool,
}

/// Where a run of several workers stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerRun {
    pub mode: Mode,
    pub fingerprint: String,
    pub clocks: Vec<u64>,
    pub updates: u64,
    pub epochs: u64,
    pub length: Option<Length>,
    pub settled: bool,
    pub machine: Option<String>,
    pub before: [u64; 2],
    pub known: u64,
    pub skipped: u64,
    pub keeper: KeeperState,
    /// Which of several servers it is.
    #[serde(default, skip_serializing_if = "Shard::is_whole")]
    pub shard: Shard,
}

/// A copy of a run that is still to be written.
pub(super) struct Copy {
    pub path: PathBuf,
    pub update: u64,
    pub sheet: Sheet,
    pub copied: Copied,
}

impl Copy {
    /// Writes it. Gives the updates that it has behind it.
    pub fn write(self) -> Result<u64> {
        self.sheet.write(&self.path, &self.copied.arenas, &self.copied.kept)?;
        Ok(self.update)
    }
}

impl File {
    /// Whether so many updates and epochs are to be written now.
    pub fn due(&self, updates: u64, epochs: u64) -> bool {
        let (steps, every) = (self.to.every_steps as u64, self.to.every_epochs as u64);
        let due = steps > 0 && updates >= self.updates + steps || every > 0 && epochs >= self.epochs + every;
        due && !self.writing
    }
}
