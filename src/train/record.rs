//! What a loop remembers of its run.

use super::evaluation::Evaluation;
use super::history::History;
use super::interrupt;
use super::mean::Mean;
use super::state::CallbackState;
use crate::model::journal::Arenas;
use crate::model::progress::Progress;
use crate::model::signature::Measure;
use crate::store::checkpoint::Circumstances;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a loop remembers of its run. All but the flags goes into checkpoints.
#[derive(Debug, Default)]
pub(super) struct RunRecord {
    /// Sums over the open epoch, added up in the order of its steps: the same bits wherever submits and runs are cut.
    pub sums: Mean,
    pub rows: usize,
    /// Updates of the open epoch that were skipped.
    pub skipped: usize,
    /// Seconds that the steps of the open epoch took.
    pub seconds: f64,
    /// Values of the epoch that ended last.
    pub ended: Evaluation,
    pub ended_rows: usize,
    /// The loss scale at its end, where there is one, and its updates that were skipped.
    pub ended_scale: Option<(f32, usize)>,
    pub history: History,
    /// Weights that were kept, by name.
    pub kept: BTreeMap<String, Arenas>,
    /// What callbacks want to know again.
    pub callbacks: Vec<CallbackState>,
    /// What its checkpoints say beside: asked once.
    pub circumstances: Option<Circumstances>,
    /// What the model was before it went on from a checkpoint, until its callbacks have gone on too.
    pub before: Option<Before>,
    /// It goes on from a checkpoint.
    pub resumed: bool,
    /// An error has ended it in mid-step.
    pub failed: bool,
    /// Callbacks are having their turn; what they ask for waits until all have had it.
    pub in_callback: bool,
    pub due: Vec<Due>,
    /// Seconds from the call of `fit` or `trainer` to the end of the first submit.
    pub first_submit: Option<f64>,
    /// Ctrl-C ends it.
    pub interruptible: bool,
}

/// Work that waits for all callbacks to have had their turn.
#[derive(Debug)]
pub(super) enum Due {
    Write(PathBuf),
    Remove(PathBuf),
}

impl RunRecord {
    pub fn interrupted(&self) -> bool {
        self.interruptible && interrupt::asked()
    }

    /// So many seconds of the open epoch more; its last ones close it.
    pub fn took(&mut self, seconds: f64, ended: bool) {
        self.seconds += seconds;
        if ended {
            let seconds = std::mem::take(&mut self.seconds);
            self.history.push_times(seconds, self.first_submit);
        }
    }

    /// Closes the sums of an epoch, which ends with this loss scale.
    pub fn end_epoch(&mut self, metrics: &[Measure], scale: Option<f32>) {
        self.ended = std::mem::take(&mut self.sums).evaluation(metrics);
        self.ended_rows = std::mem::take(&mut self.rows);
        self.ended.iter().for_each(|(n, v)| self.history.push(n, v));
        let skipped = std::mem::take(&mut self.skipped);
        self.ended_scale = scale.map(|s| (s, skipped));
        if let Some((scale, skipped)) = self.ended_scale {
            self.history.push("loss_scale", scale.into());
            self.history.push("skipped", skipped as f64);
        }
    }
}

/// What the model was before its run went on from a checkpoint.
#[derive(Debug)]
pub(super) struct Before {
    pub arenas: Arenas,
    pub progress: Progress,
}
