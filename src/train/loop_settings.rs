//! The part of [`Fit`](super::Fit) that every loop has: without validation and callbacks, which `fit` alone does.

use crate::inspect::diagnose::Diagnostics;
use serde_json::{Value, json};

/// How a [`Trainer`](super::Trainer) trains: the fields mean what those of [`Fit`](super::Fit) do.
#[derive(Debug)]
pub(super) struct LoopSettings {
    pub epochs: usize,
    /// Updates and seconds within steps, after which the run is over: [`Fit::budget`](super::Fit::budget).
    pub updates: usize,
    pub seconds: f64,
    pub batch_size: usize,
    pub accumulate: usize,
    pub shuffle: bool,
    pub steps_per_submit: usize,
    pub snapshot_every: f64,
    pub detect_anomaly: bool,
    pub diagnostics: Option<Diagnostics>,
    pub loss_spike: f64,
    /// All of `Fit` in JSON, for checkpoints.
    pub json: String,
}

impl LoopSettings {
    /// What two runs must share for one to go on where the other stopped.
    pub fn agreement(&self) -> [(&'static str, Value); 3] {
        [("fit.batch_size", json!(self.batch_size)), ("fit.accumulate", json!(self.accumulate)), ("fit.shuffle", json!(self.shuffle))]
    }
}
