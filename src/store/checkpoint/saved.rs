use crate::model::compile::Compile;
use crate::model::loss_scale::SavedScale;
use crate::model::rate::Rate;
use crate::nn::Layer;
use crate::store::checkpoint::agree::{Agreement, Circumstances};
use crate::train::evaluate::Mean;
use crate::train::{Fit, History};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The settings in a checkpoint's metadata: those of a model's file, which [`Model::load`](crate::train::Model::load) reads, and the run.
#[derive(Serialize)]
pub(crate) struct Written<'a> {
    pub format: u32,
    pub gradus: &'static str,
    pub model: Option<Layer>,
    pub compile: &'a Compile,
    pub updates: u64,
    pub batches: u64,
    pub epochs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<SavedScale>,
    pub fit: &'a Fit,
    pub circumstances: Circumstances,
    pub run: &'a Saved,
}

/// The same, as much of it as going on needs: settings are not made anew from a file, they are compared.
#[derive(Deserialize)]
pub(crate) struct Read {
    pub gradus: String,
    pub updates: u64,
    pub batches: u64,
    pub epochs: u64,
    /// Files of before have none.
    #[serde(default)]
    pub circumstances: Circumstances,
    pub run: Saved,
}

/// Where a run stands, beside what lies in the arenas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
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
    pub looked: u32,
    /// Weights that callbacks keep, by name: `gradus.kept.<name>.*`.
    pub kept: Vec<String>,
    pub callbacks: Vec<CallbackState>,
    pub agreement: Agreement,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// What a callback wants to know again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallbackState {
    pub name: String,
    pub state: Value,
}
