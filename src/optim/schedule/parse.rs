//! A schedule from words, as a flag holds it.

use super::Schedule;
use super::words::Words;
use crate::error::{Error, Result};
use std::str::FromStr;

/// A schedule in words, for flags: its name, and its numbers after colons. Lengths are updates, `2.5epochs`, or `10%` of the run.
///
/// `constant`, `step:SIZE:GAMMA`, `multi_step:UPDATE,UPDATE,..:GAMMA`, `exponential:GAMMA`, `polynomial:TOTAL:POWER`, `cosine:TOTAL:END`,
/// `cosine_restarts:FIRST:TIMES:END`, `one_cycle:TOTAL`. What follows the first number may be left out and is then the schedule's default;
/// the base rate is 1e-3, or what [`Schedule::with_rate`] sets. The error lists the choices.
///
/// ```
/// use gradus::prelude::*;
/// let rate = "cosine:20000".parse::<Schedule>()?.with_rate(3e-4).warmup(500);
/// assert_eq!(rate, Schedule::cosine(3e-4, 20_000).warmup(500));
/// assert!("cosine".parse::<Schedule>().unwrap_err().to_string().contains("cosine:TOTAL"));
/// # Ok::<(), gradus::Error>(())
/// ```
impl FromStr for Schedule {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let mut words = Words::of(text);
        let read = words.next().and_then(|name| Schedule::in_words(name, &mut words)).filter(|_| words.next().is_none());
        read.ok_or_else(|| Error::unknown_choice("schedule", text, Schedule::CHOICES))
    }
}
