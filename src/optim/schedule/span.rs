//! A length of a schedule: in updates, or relative to a run.

use crate::error::{Error, Faults, Result};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// How long a part of a schedule is. A plain number is one of updates; an epoch or a part of the run becomes one when a run begins and its length is known.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::optim::schedule::Span;
/// // the same curve whatever the batch size and the number of epochs: a twentieth of the run up, the rest down
/// let rate = Schedule::cosine(1e-3, Span::Share(0.95)).warmup(Span::Share(0.05));
/// assert!(rate.is_relative());
/// ```
///
/// In files a number, or `{ epochs = 2.5 }` or `{ share = 0.1 }`; in flags `2.5epochs` or `10%`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Span {
    /// So many updates.
    Updates(u64),
    /// So many passes over the data.
    Epochs(f64),
    /// This part of all updates of the run.
    Share(f64),
}

/// How long a run is: what relative lengths are parts of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunLength {
    /// Updates in all; none where only time ends the run.
    pub updates: Option<u64>,
    /// Updates of an epoch.
    pub per_epoch: u64,
}

impl Span {
    /// The number of updates, if it is known before a run.
    pub fn updates(self) -> Option<u64> {
        if let Span::Updates(n) = self { Some(n) } else { None }
    }

    /// The same as a number of updates, to the nearest and at least 1; as it is where that depends on the end of a run that has none.
    pub(super) fn within(self, run: RunLength) -> Self {
        let part = |x: f64, of: u64| Span::Updates(((x * of as f64).round() as u64).max(1));
        match (self, run.updates) {
            (Span::Epochs(x), _) => part(x, run.per_epoch),
            (Span::Share(x), Some(updates)) => part(x, updates),
            _ => self,
        }
    }

    /// Notes a length that is none.
    pub(super) fn check(&self, f: &mut Faults, key: &str) {
        let key = format!("optimizer.lr.{key}");
        match *self {
            Span::Updates(n) => f.check(n > 0, &key, n, "give at least 1 update"),
            Span::Epochs(x) => f.check(x.is_finite() && x > 0.0, &key, format!("{x} epochs"), "give a finite number above 0"),
            Span::Share(x) => {
                f.check(x > 0.0 && x <= 1.0, &key, format!("a share of {x}"), "give a part of the run, above 0 and at most 1")
            }
        };
    }
}

impl From<u64> for Span {
    fn from(updates: u64) -> Self {
        Span::Updates(updates)
    }
}

/// `20000` (updates), `2.5epochs`, `10%` (of the run).
impl FromStr for Span {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let number = |t: &str| t.trim().parse::<f64>().ok();
        let read = if let Some(share) = text.strip_suffix('%') {
            number(share).map(|x| Span::Share(x / 100.0))
        } else if let Some(epochs) = text.strip_suffix("epochs") {
            number(epochs).map(Span::Epochs)
        } else {
            text.parse().ok().map(Span::Updates)
        };
        read.ok_or_else(|| Error::unknown_choice("length", text, &["UPDATES, as 20000", "2.5epochs", "10%"]))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Relative {
    Epochs(f64),
    Share(f64),
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match *self {
            Span::Updates(n) => s.serialize_u64(n),
            Span::Epochs(x) => Relative::Epochs(x).serialize(s),
            Span::Share(x) => Relative::Share(x).serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Span;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of updates, `{ epochs = 2.5 }` or `{ share = 0.1 }`")
    }
    fn visit_u64<E>(self, updates: u64) -> Result<Span, E> {
        Ok(Span::Updates(updates))
    }
    fn visit_i64<E: serde::de::Error>(self, updates: i64) -> Result<Span, E> {
        u64::try_from(updates).map(Span::Updates).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(updates), &self))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Span, A::Error> {
        let read = Relative::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map_err(A::Error::custom)?;
        Ok(match read {
            Relative::Epochs(x) => Span::Epochs(x),
            Relative::Share(x) => Span::Share(x),
        })
    }
}
