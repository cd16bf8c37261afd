//! Where a run stands, as a checkpoint holds it. Plain data: the files read and write it with serde.

use super::history::History;
use super::mean::Mean;
use crate::model::journal::Arenas;
use crate::model::rate::Rate;
use crate::store::checkpoint::Agreement;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where a run stands. What lies in the arenas and what the model counts stands beside it in a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunState {
    /// Epochs ended in this run, and steps of the open one.
    pub epoch: usize,
    pub step: usize,
    /// Sums over the open epoch, and its rows.
    pub sums: Mean,
    pub rows: usize,
    /// Updates of it that were skipped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: usize,
    /// Seconds that the open epoch took so far.
    pub seconds: f64,
    pub history: History,
    pub rate: Rate,
    /// Batches of evaluation and inference begun.
    #[serde(rename = "looked")]
    pub evaluated: u32,
    /// Names of the weights that callbacks keep.
    pub kept: Vec<String>,
    pub callbacks: Vec<CallbackState>,
    pub agreement: Agreement,
}

/// A checkpoint that was read, checked and found to fit.
pub(super) struct Found {
    pub state: RunState,
    pub updates: u64,
    pub batches: u64,
    pub epochs: u64,
    pub arenas: Arenas,
    pub kept: BTreeMap<String, Arenas>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// What a callback wants back when its run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallbackState {
    pub name: String,
    pub state: Value,
}
