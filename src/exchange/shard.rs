//! Which of several servers a server is.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which of how many servers a server is: each has a range of the parameters. As text (flags, messages) it counts from 1: `1/2`, `2/2`.
///
/// ```
/// use gradus::exchange::Shard;
/// assert_eq!("1/2".parse::<Shard>()?, Shard { index: 0, of: 2 });
/// assert_eq!(Shard { index: 1, of: 2 }.to_string(), "2/2");
/// assert!("3/2".parse::<Shard>().is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Its number, from 0. The first leads: state that is not trained is its own.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Default for Shard {
    /// One server that has all.
    fn default() -> Self {
        Shard { index: 0, of: 1 }
    }
}

impl Shard {
    /// Whether there are others.
    pub fn is_part(&self) -> bool {
        *self != Shard::default()
    }

    /// Whether state that is not trained is its own.
    pub fn leads(&self) -> bool {
        self.index == 0
    }

    /// Whether there is such a shard.
    pub(crate) fn is_one(&self) -> bool {
        self.index < self.of
    }

    /// For what files leave out.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_part()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.index.saturating_add(1), self.of))
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(n, of)| Some((n.parse::<usize>().ok()?, of.parse().ok()?)));
        let shard = numbers.and_then(|(n, of)| Some(Shard { index: n.checked_sub(1)?, of }));
        shard.filter(Shard::is_one).ok_or_else(|| Error::unknown_choice("shard", text, &["1/2, 2/2: which of how many"]))
    }
}
