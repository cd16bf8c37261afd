//! How long each launch of a step takes, as a session measures it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the launches of a step are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Clock {
    /// The GPU's timestamps between the launches of one pass: the step runs as it does in training.
    InsidePass,
    /// A pass for each launch, with the GPU's timestamps at both ends: where timestamps inside a pass are missing (Apple, browsers).
    /// A pass of its own costs each launch some microseconds more.
    PassPerLaunch,
    /// The host's clock around each launch. On a GPU without timestamps each is submitted alone and waited for, which adds the time
    /// of a submit (tens of microseconds) to every one; on the CPU nothing is added.
    Host,
}

/// As a sentence of `StepProfile`'s table.
impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Clock::InsidePass => "timestamps between the launches of one pass",
            Clock::PassPerLaunch => "timestamps of one pass a launch",
            Clock::Host => "the host's clock around each launch",
        })
    }
}

/// The times of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// How they were taken.
    pub clock: Clock,
    /// Seconds of each launch, in order: of all its dispatches together.
    pub seconds: Vec<f64>,
}
