use super::{Cosine, CosineRestarts, OneCycle, Schedule};
use crate::error::{Error, Result};
use std::str::FromStr;

/// The base rate of a schedule in words: that of every optimizer's default.
const RATE: f64 = 1e-3;

const CHOICES: [&str; 8] = [
    "constant",
    "step:SIZE:GAMMA",
    "multi_step:UPDATE,UPDATE,..:GAMMA",
    "exponential:GAMMA",
    "polynomial:TOTAL:POWER",
    "cosine:TOTAL:END",
    "cosine_restarts:FIRST:TIMES:END",
    "one_cycle:TOTAL",
];

/// A schedule in words, for flags: its name, and its numbers after colons, lengths in updates.
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
        read(text).ok_or_else(|| Error::unknown_choice("schedule", text, &CHOICES))
    }
}

fn read(text: &str) -> Option<Schedule> {
    let mut words = text.trim().split(':').map(str::trim);
    let name = words.next()?;
    let mut words = words.peekable();
    let schedule = match name {
        "constant" => Schedule::Constant(RATE),
        "step" => Schedule::step(RATE, number(words.next())?, or(words.next(), 0.1)?),
        "multi_step" => {
            let milestones = words.next()?.split(',').map(|w| number(Some(w.trim()))).collect::<Option<Vec<u64>>>()?;
            Schedule::multi_step(RATE, milestones, or(words.next(), 0.1)?)
        }
        "exponential" => Schedule::exponential(RATE, number(words.next())?),
        "polynomial" => Schedule::polynomial(RATE, number(words.next())?, or(words.next(), 1.0)?),
        "cosine" => Cosine::new(RATE, number(words.next())?).eta_min(or(words.next(), 0.0)?).into(),
        "cosine_restarts" => {
            CosineRestarts::new(RATE, number(words.next())?).t_mult(or(words.next(), 1)?).eta_min(or(words.next(), 0.0)?).into()
        }
        "one_cycle" => OneCycle::new(RATE, number(words.next())?).into(),
        _ => return None,
    };
    words.peek().is_none().then_some(schedule)
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

/// The number, or this where none is given.
fn or<T: FromStr>(word: Option<&str>, default: T) -> Option<T> {
    word.map_or(Some(default), |w| w.parse().ok())
}
