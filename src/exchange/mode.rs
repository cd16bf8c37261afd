//! How workers keep step.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const CHOICES: [&str; 4] = ["sync", "semi-async:STALENESS", "async", "local:EVERY"];

/// How the workers of a distributed run keep step. As text (flags, TOML): `sync`, `semi-async:2`, `async`, `local:16`.
///
/// One rule holds for all: a worker that has pushed `c` times gets parameters once every other has pushed at least `c - s` times.
///
/// ```
/// use gradus::exchange::Mode;
/// assert_eq!("semi-async:2".parse::<Mode>()?, Mode::SemiAsync { staleness: 2 });
/// assert_eq!(Mode::Local { every: 16 }.to_string(), "local:16");
/// assert!("loose".parse::<Mode>().unwrap_err().to_string().contains("semi-async:STALENESS"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Mode {
    /// `s` = 0. The gradients of one clock are summed in the order of the ranks and make one update: the same bits as one worker that accumulates
    /// as many batches ([`Fit::accumulate`](crate::train::Fit::accumulate)), and the same at every repetition; of running statistics
    /// those of the first worker count.
    #[default]
    Sync,
    /// `s` above 0: each worker's gradients are an update of their own when they come (stale synchronous parallel, Ho et al. 2013).
    SemiAsync {
        /// How many clocks a worker may be ahead of the slowest, at least 1.
        staleness: u64,
    },
    /// No bound: nobody waits (Downpour SGD, Dean et al. 2012).
    Async,
    /// Workers train on their own for some updates, and then their parameters are averaged (local SGD); the server takes an
    /// [outer step](crate::server::Outer) with momentum on the average (DiLoCo, Douillard et al. 2023).
    Local {
        /// Updates of each worker between two averages, at least 1.
        every: usize,
    },
}

impl Mode {
    /// How many clocks a worker may be ahead of the slowest; `None` for any number.
    pub fn bound(&self) -> Option<u64> {
        match self {
            Mode::Sync | Mode::Local { .. } => Some(0),
            Mode::SemiAsync { staleness } => Some(*staleness),
            Mode::Async => None,
        }
    }

    /// Whether what workers push at one clock makes one update together.
    pub fn gathers(&self) -> bool {
        matches!(self, Mode::Sync | Mode::Local { .. })
    }

    /// Batches of a worker between two pushes.
    pub fn every(&self) -> usize {
        if let Mode::Local { every } = self { *every } else { 1 }
    }

    /// Whether workers push parameters, and not gradients.
    pub fn is_local(&self) -> bool {
        matches!(self, Mode::Local { .. })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Sync => f.pad("sync"),
            Mode::SemiAsync { staleness } => f.pad(&format!("semi-async:{staleness}")),
            Mode::Async => f.pad("async"),
            Mode::Local { every } => f.pad(&format!("local:{every}")),
        }
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::unknown_choice("mode", text, &CHOICES);
        let (name, number) = text.split_once(':').map_or((text, None), |(name, n)| (name, Some(n)));
        let number = number.map(|n| n.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(unknown)).transpose()?;
        match (name, number) {
            ("sync", None) => Ok(Mode::Sync),
            ("async", None) => Ok(Mode::Async),
            ("semi-async", Some(s)) => Ok(Mode::SemiAsync { staleness: s.into() }),
            ("local", Some(k)) => Ok(Mode::Local { every: k as usize }),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Mode {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        mode.to_string()
    }
}
