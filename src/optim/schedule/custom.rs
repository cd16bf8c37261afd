//! A schedule that is a closure of the user's.

use super::kind::ScheduleKind;
use crate::error::Faults;
use crate::optim::check::check_rate;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// A schedule of the user's: a name and a closure from the update to the rate. Files hold the name alone: reading one is an error that
/// asks for the closure. Two are equal if they have the same name and are the very same closure. Made by
/// [`Schedule::custom`](super::Schedule::custom).
#[derive(Clone)]
pub struct Custom {
    name: String,
    rate: Arc<dyn Fn(u64) -> f64 + Send + Sync>,
}

impl Custom {
    pub(super) fn new(name: impl Into<String>, rate: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Custom { name: name.into(), rate: Arc::new(rate) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl ScheduleKind for Custom {
    fn at(&self, update: u64) -> f64 {
        (self.rate)(update)
    }
    fn rate(&self) -> f64 {
        self.at(0)
    }
    fn set_rate(&mut self, _: f64) {}
    /// The first rate stands for all: the others are asked for when they are due.
    fn check(&self, f: &mut Faults) {
        check_rate(f, "custom", self.at(0));
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({:?})", self.name)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.rate, &other.rate)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    custom: String,
}

impl Serialize for Custom {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Name { custom: self.name.clone() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Custom {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = Name::deserialize(d)?.custom;
        Err(serde::de::Error::custom(format!(
            "`{name}` is a closure, which no file holds: it must be given again, by `Schedule::custom(\"{name}\", ..)`"
        )))
    }
}
