//! A callback of the user's, and closures as callbacks.

use super::callback::Callback;
use super::kind::CallbackSettings;
use super::logs::Logs;
use crate::error::{Error, Faults, Result};
use crate::train::Trainer;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// A callback of the user's with its name. Clones share it. Files hold the name alone: reading one is an error that asks for the callback.
#[derive(Clone)]
pub struct CustomCallback {
    name: String,
    callback: Arc<Mutex<dyn Callback>>,
    /// A closure for every 0 steps.
    idle: bool,
}

/// A callback of one's own, for [`Fit::callback`](crate::train::Fit::callback). See [`Callback`].
pub fn custom(name: impl Into<String>, callback: impl Callback + 'static) -> CustomCallback {
    CustomCallback { name: name.into(), callback: Arc::new(Mutex::new(callback)), idle: false }
}

/// A closure that is called after each epoch and its validation.
pub fn on_epoch_end<F>(name: impl Into<String>, f: F) -> CustomCallback
where
    F: FnMut(&mut Trainer<'_>, &Logs) -> Result<()> + Send + 'static,
{
    struct Closure<F>(F);
    impl<F: FnMut(&mut Trainer<'_>, &Logs) -> Result<()> + Send> Callback for Closure<F> {
        fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
            (self.0)(run, logs)
        }
    }
    custom(name, Closure(f))
}

/// A closure that is called after every `every` steps, with the means of the open epoch so far: see [`Callback::every_steps`]. `fit` refuses 0.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::callbacks;
/// let show = callbacks::on_steps_end("show", 100, |_, logs| {
///     println!("step {}: {:.4}", logs.step, logs["loss"]);
///     Ok(())
/// });
/// let fit = Fit::new().callback(show);
/// ```
pub fn on_steps_end<F>(name: impl Into<String>, every: usize, f: F) -> CustomCallback
where
    F: FnMut(&mut Trainer<'_>, &Logs) -> Result<()> + Send + 'static,
{
    struct Closure<F>(F, usize);
    impl<F: FnMut(&mut Trainer<'_>, &Logs) -> Result<()> + Send> Callback for Closure<F> {
        fn on_steps_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
            (self.0)(run, logs)
        }
        fn every_steps(&self) -> usize {
            self.1
        }
    }
    CustomCallback { idle: every == 0, ..custom(name, Closure(f, every)) }
}

impl CustomCallback {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A panic of an earlier run is no reason not to ask again; a second run from within the first is.
    fn get(&self) -> Result<MutexGuard<'_, dyn Callback + 'static>> {
        match self.callback.try_lock() {
            Ok(c) => Ok(c),
            Err(TryLockError::Poisoned(p)) => Ok(p.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Error::Unsupported {
                what: "a callback in two runs at a time".into(),
                at: format!("the callback `{}`", self.name),
                help: "make one for each run".into(),
            }),
        }
    }
}

impl CallbackSettings for CustomCallback {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(self.clone())
    }

    /// It would never be called.
    fn check(&self, f: &mut Faults, key: &str) {
        f.check(!self.idle, key, format!("`{}` after every 0 steps", self.name), "give at least 1");
    }

    fn own_name(&self) -> Option<&str> {
        Some(&self.name)
    }
}

impl Callback for CustomCallback {
    fn on_train_begin(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        self.get()?.on_train_begin(run)
    }
    fn on_epoch_begin(&mut self, run: &mut Trainer<'_>, epoch: usize) -> Result<()> {
        self.get()?.on_epoch_begin(run, epoch)
    }
    fn on_steps_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.get()?.on_steps_end(run, logs)
    }
    fn on_epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.get()?.on_epoch_end(run, logs)
    }
    fn on_train_end(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        self.get()?.on_train_end(run)
    }
    fn on_error(&mut self, run: &mut Trainer<'_>, error: &Error) -> Result<bool> {
        self.get()?.on_error(run, error)
    }
    fn every_steps(&self) -> usize {
        self.get().map_or(0, |c| c.every_steps())
    }
    fn state(&self) -> Value {
        self.get().map_or(Value::Null, |c| c.state())
    }
    fn restore(&mut self, run: &mut Trainer<'_>, state: &Value) -> Result<()> {
        self.get()?.restore(run, state)
    }
}

impl fmt::Debug for CustomCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomCallback({:?})", self.name)
    }
}

/// Two are equal if they have the same name and are the very same callback.
impl PartialEq for CustomCallback {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.callback, &other.callback)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    custom: String,
}

impl Serialize for CustomCallback {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Name { custom: self.name.clone() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for CustomCallback {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = Name::deserialize(d)?.custom;
        Err(serde::de::Error::custom(format!(
            "`{name}` is a callback of one's own, which no file holds: it must be given again, by `callbacks::custom(\"{name}\", ..)`"
        )))
    }
}
