//! The learning rate as a function of the update: PyTorch's schedulers as plain values.
//!
//! A schedule counts *updates* of the parameters, from 0; with gradient accumulation an update comes once in several batches. The rate
//! of update `t` is what PyTorch's optimizer holds after `t` calls of `scheduler.step()`, where that is called after every
//! `optimizer.step()`. A PyTorch program that calls it once an epoch means the same schedule with its lengths times the updates of an
//! epoch. The host computes rates in f64 and sends them in the table of each submit, so no schedule costs a launch or a compilation.

mod cosine;
mod custom;
mod decay;
mod one_cycle;
mod parse;
mod warmup;

pub use cosine::{Cosine, CosineRestarts};
pub use custom::Custom;
pub use decay::{Exponential, MultiStep, Polynomial, Step};
pub use one_cycle::{Anneal, OneCycle};
pub use warmup::Warmup;

use crate::error::Faults;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The learning rate as a function of the update. An `f32` or `f64` is a constant schedule.
///
/// ```
/// use gradus::prelude::*;
/// let rate = Schedule::cosine(1e-3, 20_000).warmup(500); // 500 updates up, then 20,000 down to 0
/// assert_eq!(rate.at(500), 1e-3);
/// assert!(rate.at(0) < 1e-5 && rate.at(20_500) == 0.0);
/// let optimizer = AdamW::new(rate);
/// # drop(optimizer);
/// ```
///
/// Files hold a constant as its number and any other as a map that names it: `{"schedule": "cosine", "lr": 0.001, "t_max": 20000}`. A flag
/// holds one as words, `cosine:20000`: see [`Schedule::from_str`](#impl-FromStr-for-Schedule).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// The same at every update.
    Constant(f64),
    /// Times a factor every so many updates.
    Step(Step),
    /// Times a factor at chosen updates.
    MultiStep(MultiStep),
    /// Times a factor at every update.
    Exponential(Exponential),
    /// Down to 0 along a power of what is left.
    Polynomial(Polynomial),
    /// Down along half a cosine.
    Cosine(Cosine),
    /// Down along half a cosine, again and again.
    CosineRestarts(CosineRestarts),
    /// Up and far down.
    OneCycle(OneCycle),
    /// Linearly up to where another schedule begins.
    Warmup(Warmup),
    /// A closure.
    Custom(Custom),
}

impl Schedule {
    /// [`Step`]: times `gamma` every `step_size` updates.
    pub fn step(lr: f64, step_size: u64, gamma: f64) -> Self {
        Step::new(lr, step_size).gamma(gamma).into()
    }
    /// [`MultiStep`]: times `gamma` at each of these updates.
    pub fn multi_step(lr: f64, milestones: impl Into<Vec<u64>>, gamma: f64) -> Self {
        MultiStep::new(lr, milestones).gamma(gamma).into()
    }
    /// [`Exponential`]: times `gamma` at every update.
    pub fn exponential(lr: f64, gamma: f64) -> Self {
        Exponential::new(lr, gamma).into()
    }
    /// [`Polynomial`]: to 0 in `total` updates, as this power of what is left; 1 is a straight line.
    pub fn polynomial(lr: f64, total: u64, power: f64) -> Self {
        Polynomial::new(lr, total).power(power).into()
    }
    /// [`Cosine`]: to 0 in `t_max` updates, along half a cosine. Another end: [`Cosine::eta_min`].
    pub fn cosine(lr: f64, t_max: u64) -> Self {
        Cosine::new(lr, t_max).into()
    }
    /// [`CosineRestarts`]: half cosines of `t_0` updates, each `t_mult` times as long as the one before.
    pub fn cosine_restarts(lr: f64, t_0: u64, t_mult: u64) -> Self {
        CosineRestarts::new(lr, t_0).t_mult(t_mult).into()
    }
    /// [`OneCycle`]: up to `max_lr` and far down in `total` updates.
    pub fn one_cycle(max_lr: f64, total: u64) -> Self {
        OneCycle::new(max_lr, total).into()
    }
    /// The rate of update `update` (from 0) as a closure gives it, in place of any schedule here. Files hold the name alone: reading one is an
    /// error that asks for the closure. It must always give the same for the same update, or runs do not repeat; and finite numbers of 0 or above.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let rate = Schedule::custom("inverse root", |update| 1e-3 / (1.0 + update as f64 / 500.0).sqrt());
    /// assert_eq!(rate.at(1500), 5e-4);
    /// ```
    pub fn custom(name: impl Into<String>, rate: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Schedule::Custom(Custom::new(name, rate))
    }

    /// [`Warmup`]: `updates` more updates before this schedule, linearly up to where it begins. On a schedule that has a warm-up it takes that
    /// one's place; 0 takes it away.
    #[must_use]
    pub fn warmup(self, updates: u64) -> Self {
        match self {
            Schedule::Warmup(w) => w.then.warmup(updates),
            s if updates == 0 => s,
            s => Warmup::new(updates, s).into(),
        }
    }

    /// The rate of update `update`, counted from 0. Defined for every update: a schedule with an end stays there.
    pub fn at(&self, update: u64) -> f64 {
        match self {
            Schedule::Constant(lr) => *lr,
            Schedule::Step(s) => s.at(update),
            Schedule::MultiStep(s) => s.at(update),
            Schedule::Exponential(s) => s.at(update),
            Schedule::Polynomial(s) => s.at(update),
            Schedule::Cosine(s) => s.at(update),
            Schedule::CosineRestarts(s) => s.at(update),
            Schedule::OneCycle(s) => s.at(update),
            Schedule::Warmup(s) => s.at(update),
            Schedule::Custom(s) => s.at(update),
        }
    }

    /// The base rate: PyTorch's `lr` of the optimizer, the `max_lr` of one-cycle. A closure has none of its own: what it gives for update 0.
    pub fn rate(&self) -> f64 {
        match self {
            Schedule::Constant(lr) => *lr,
            Schedule::Step(s) => s.lr,
            Schedule::MultiStep(s) => s.lr,
            Schedule::Exponential(s) => s.lr,
            Schedule::Polynomial(s) => s.lr,
            Schedule::Cosine(s) => s.lr,
            Schedule::CosineRestarts(s) => s.lr,
            Schedule::OneCycle(s) => s.max_lr,
            Schedule::Warmup(s) => s.then.rate(),
            Schedule::Custom(s) => s.at(0),
        }
    }

    /// The same schedule from another base rate: what `--lr` sets beside `--schedule`. An end of its own (`eta_min`) stays as it is; so
    /// does a closure.
    #[must_use]
    pub fn with_rate(mut self, rate: f64) -> Self {
        match &mut self {
            Schedule::Constant(lr) => *lr = rate,
            Schedule::Step(s) => s.lr = rate,
            Schedule::MultiStep(s) => s.lr = rate,
            Schedule::Exponential(s) => s.lr = rate,
            Schedule::Polynomial(s) => s.lr = rate,
            Schedule::Cosine(s) => s.lr = rate,
            Schedule::CosineRestarts(s) => s.lr = rate,
            Schedule::OneCycle(s) => s.max_lr = rate,
            Schedule::Warmup(s) => *s.then = std::mem::replace(&mut *s.then, Schedule::Constant(rate)).with_rate(rate),
            Schedule::Custom(_) => {}
        }
        self
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        match self {
            Schedule::Constant(lr) => check_rate(f, "", *lr),
            Schedule::Step(s) => s.check(f),
            Schedule::MultiStep(s) => s.check(f),
            Schedule::Exponential(s) => s.check(f),
            Schedule::Polynomial(s) => s.check(f),
            Schedule::Cosine(s) => s.check(f),
            Schedule::CosineRestarts(s) => s.check(f),
            Schedule::OneCycle(s) => s.check(f),
            Schedule::Warmup(s) => s.check(f),
            Schedule::Custom(s) => s.check(f),
        }
    }
}

/// Whether the device can have this as its learning rate: of 0 or above, and finite as f32, too.
pub(crate) fn is_rate(rate: f64) -> bool {
    rate >= 0.0 && (rate as f32).is_finite()
}

/// Notes a rate that is none; `key` stands below `optimizer.lr`, empty for itself.
fn check_rate(f: &mut Faults, key: &str, rate: f64) {
    let key = if key.is_empty() { "optimizer.lr".into() } else { format!("optimizer.lr.{key}") };
    f.check(is_rate(rate), &key, format!("a learning rate of {rate}"), "give a number that f32 holds, 0 or above");
}

fn check_gamma(f: &mut Faults, gamma: f64) {
    f.check(gamma.is_finite() && gamma >= 0.0, "optimizer.lr.gamma", gamma, "give a finite factor, 0 or above, as 0.1");
}

fn check_updates(f: &mut Faults, key: &str, updates: u64) {
    f.check(updates > 0, &format!("optimizer.lr.{key}"), updates, "give at least 1 update");
}

impl From<f64> for Schedule {
    fn from(lr: f64) -> Self {
        Schedule::Constant(lr)
    }
}

impl From<f32> for Schedule {
    /// Through the shortest decimal, so that `1e-3f32` means 0.001.
    fn from(lr: f32) -> Self {
        Schedule::Constant(lr.to_string().parse().unwrap_or(f64::from(lr)))
    }
}

macro_rules! kinds {
    ($($kind:ident,)*) => {
        $(impl From<$kind> for Schedule {
            fn from(s: $kind) -> Self {
                Schedule::$kind(s)
            }
        })*

        /// Every schedule that a file holds as a map, which names it.
        #[derive(Deserialize)]
        #[serde(tag = "schedule", rename_all = "snake_case")]
        enum Read {
            $($kind($kind),)*
        }
        #[derive(Serialize)]
        #[serde(tag = "schedule", rename_all = "snake_case")]
        enum Write<'a> {
            $($kind(&'a $kind),)*
        }

        impl From<Read> for Schedule {
            fn from(s: Read) -> Self {
                match s {
                    $(Read::$kind(s) => Schedule::$kind(s),)*
                }
            }
        }

        impl Serialize for Schedule {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {
                    Schedule::Constant(lr) => s.serialize_f64(*lr),
                    $(Schedule::$kind(k) => Write::$kind(k).serialize(s),)*
                }
            }
        }
    };
}

kinds! { Step, MultiStep, Exponential, Polynomial, Cosine, CosineRestarts, OneCycle, Warmup, Custom, }

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // by hand: what serde makes of "a number or a map" tells of neither what is wrong with it
        d.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Schedule;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a learning rate: a number, or a schedule as `{ schedule = \"cosine\", lr = 0.001, t_max = 20000 }`")
    }
    fn visit_f64<E>(self, lr: f64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(lr))
    }
    fn visit_i64<E>(self, lr: i64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(lr as f64))
    }
    fn visit_u64<E>(self, lr: u64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(lr as f64))
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Schedule, E> {
        Err(E::custom("a learning rate is missing (JSON has no NaN and no infinity)"))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
        Read::deserialize(MapAccessDeserializer::new(map)).map(Schedule::from).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests;
