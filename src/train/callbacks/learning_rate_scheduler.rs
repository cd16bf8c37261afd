//! A learning rate for each epoch, by a closure.

use super::callback::Callback;
use super::kind::CallbackSettings;
use crate::error::Result;
use crate::train::Trainer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Sets the learning rate of each epoch, by a closure of the epoch (counted from 0, as in Keras) and the rate so far: Keras'
/// `LearningRateScheduler`. It takes the place of the optimizer's schedule. The history has a column `learning_rate` then.
///
/// Files hold its name alone: reading one is an error that asks for the closure.
///
/// ```
/// use gradus::train::callbacks::LearningRateScheduler;
/// let decay = LearningRateScheduler::new("decay after ten", |epoch, lr| if epoch < 10 { lr } else { lr * 0.9 });
/// assert_eq!(decay.name(), "decay after ten");
/// ```
#[derive(Clone)]
#[must_use]
pub struct LearningRateScheduler {
    name: String,
    schedule: Arc<dyn Fn(usize, f64) -> f64 + Send + Sync>,
}

impl LearningRateScheduler {
    /// By this closure. It must give a finite number, 0 or above: else `fit` ends with an `Err`.
    pub fn new(name: impl Into<String>, schedule: impl Fn(usize, f64) -> f64 + Send + Sync + 'static) -> Self {
        LearningRateScheduler { name: name.into(), schedule: Arc::new(schedule) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl CallbackSettings for LearningRateScheduler {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(self.clone())
    }

    fn moves_rate(&self) -> bool {
        true
    }
}

impl Callback for LearningRateScheduler {
    fn on_epoch_begin(&mut self, run: &mut Trainer<'_>, epoch: usize) -> Result<()> {
        let lr = (self.schedule)(epoch.saturating_sub(1), run.learning_rate());
        run.set_rate(lr)
    }
}

impl fmt::Debug for LearningRateScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LearningRateScheduler({:?})", self.name)
    }
}

/// Two are equal if they have the same name and the very same closure.
impl PartialEq for LearningRateScheduler {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.schedule, &other.schedule)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    schedule: String,
}

impl Serialize for LearningRateScheduler {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Name { schedule: self.name.clone() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for LearningRateScheduler {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = Name::deserialize(d)?.schedule;
        Err(serde::de::Error::custom(format!(
            "`{name}` is a closure, which no file holds: it must be given again, by `LearningRateScheduler::new(\"{name}\", ..)`"
        )))
    }
}
