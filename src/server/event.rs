//! What a server tells of: what happens, and where a run stands.

use crate::error::Error;
use crate::train::Model;

/// What happens on a server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An update was made.
    Update {
        /// Its number, from 1.
        number: u64,
        /// The loss that its gradients come from.
        loss: f32,
        /// The rows that they come from.
        rows: u64,
        /// The workers whose gradients it is made of.
        ranks: &'a [usize],
    },
    /// An update was left out, since this worker's gradients are not finite; the loss scale is smaller now.
    Skipped {
        /// The worker.
        rank: usize,
    },
    /// All workers have ended an epoch.
    Epoch {
        /// Its number, from 1.
        epoch: u64,
        /// The model with the parameters of now, to look at or to change: workers are given what it has when this returns. It may not be trained, or
        /// replaced by another. Of a [shard](super::Rules::shard) only its range is that of the run.
        model: &'a mut Model,
    },
    /// A worker has come.
    Joined {
        /// The worker.
        rank: usize,
        /// The push with which it begins.
        clock: u64,
    },
    /// A worker was given up, or has gone before its part was over.
    Lost {
        /// The worker.
        rank: usize,
    },
    /// The run was written to its [checkpoint](super::Server::checkpoint).
    Written {
        /// The updates that it has behind it.
        update: u64,
    },
    /// It could not be written, as on a full disk: the run goes on, the older file is as it was.
    NotWritten {
        /// Why.
        error: &'a Error,
    },
}

/// Whether the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Go,
    /// It ends: workers finish as if their part were over.
    Stop,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Standing {
    /// Updates made.
    pub updates: u64,
    /// Workers that are there.
    pub present: usize,
    /// Pushes of each worker.
    pub clocks: Vec<u64>,
    /// The furthest that a worker was ahead of the slowest when it was given parameters: never above the bound of the mode.
    pub greatest_staleness: u64,
    /// The most updates that any gradients have missed.
    pub greatest_age: u64,
    /// Pushes that were there already.
    pub known: u64,
    /// Updates left out because gradients were not finite.
    pub skipped: u64,
    /// Whether all workers' parts are over, or the run was stopped.
    pub over: bool,
}
