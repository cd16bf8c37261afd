//! What a turn of a training loop has come to.

use super::history::History;
use super::report::StepReport;

/// What [`Trainer::turn`](super::Trainer::turn) has come to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Turn {
    /// Steps have ended.
    Progress(StepReport),
    /// Steps have ended, and the epoch with them.
    Epoch(StepReport),
    /// The device is still at work.
    Pending,
    /// All epochs are over, or the run was stopped.
    Done(History),
}
