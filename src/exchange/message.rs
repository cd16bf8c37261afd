//! What a worker and its server say to each other. The arrays (gradients, parameters, buffers) travel beside these, as the words of their f32.

use super::mode::Mode;
use super::shard::Shard;
use serde::{Deserialize, Serialize};

/// A worker asks for its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Its number, from 0.
    pub rank: usize,
    /// How many workers there are.
    pub world: usize,
    /// The version of gradus.
    pub version: String,
    /// What the model computes and is trained with, as a fingerprint: worker and server must have one model.
    pub model: String,
    /// The kind of machine, which decides the bits of its gradients.
    pub machine: String,
    /// Its training step, as a fingerprint: workers must have one, dropout and augmentation too.
    pub step: String,
    /// Trainable parameters that its loss does not depend on: nothing decays them.
    pub untouched: Vec<String>,
    /// Its rows, the size of its batches, and how many of these are in an epoch.
    pub rows: u64,
    /// Rows of a batch.
    pub batch_size: u64,
    /// Batches of an epoch of its rows.
    pub batches: u64,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Whether each worker has rows of its own.
    pub own_rows: bool,
    /// Passes over the rows.
    pub epochs: u64,
    /// Which of how many servers it takes this one for; the only one.
    #[serde(default, skip_serializing_if = "Shard::is_whole")]
    pub shard: Shard,
}

/// The server gives a worker its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// How often the worker of this rank has pushed: where it begins.
    pub clock: u64,
    /// Tells it from earlier workers of its rank, whose messages are refused from now on.
    pub incarnation: u64,
    /// How the workers keep step.
    pub mode: Mode,
    /// Pushes of each worker in an epoch.
    pub rounds: u64,
    /// Pushes of each worker in the whole run.
    pub clocks: u64,
    /// Epochs and batches that the server's model had behind it before the run: orders and random draws go on from there.
    pub before: [u64; 2],
    /// In [`Mode::Sync`], the machine of the worker that came first, where this one may compute other bits.
    pub other_machine: Option<String>,
    /// Which of the trainable parameters' elements the server has: the first, and the one behind the last.
    pub range: [u64; 2],
}

/// Where the loss scale stands, which the server decides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleWords {
    /// What the loss is multiplied by.
    pub scale: f32,
    /// Good updates in a row since it last moved.
    pub growth: u32,
    /// Updates skipped so far.
    pub skipped: u32,
}

/// What a worker is given: the state after some update. Its arrays keep their memory from pull to pull; what is in them before a pull means nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pulled {
    /// Updates applied so far.
    pub update: u64,
    /// Where the loss scale stands, if there is one.
    pub scale: Option<ScaleWords>,
    /// The trainable parameters' arena.
    pub parameters: Vec<u32>,
    /// State that is not trained.
    pub buffers: Vec<u32>,
    /// The run is over: whatever the worker's clock is, nothing more is wanted.
    pub over: bool,
}

/// What a worker has made of a batch, or in [`Mode::Local`] of several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Pushes before this one.
    pub clock: u64,
    /// The updates that the parameters had behind them.
    pub update: u64,
    /// Rows of the batch; 0 where there was none left in this epoch: then nothing comes with it.
    pub rows: u64,
    /// What the loss is a mean over, where that is not the rows.
    pub counted: Option<f32>,
    /// The loss: the mean over the batches.
    pub loss: f32,
    /// Whether loss and gradients are finite. Those that are not are for nobody, and none come.
    pub finite: bool,
    /// What the loss was multiplied by, if it was.
    pub scale: Option<f32>,
}
