//! The learning rate as a function of the update: PyTorch's schedulers as plain values.
//!
//! A schedule counts *updates* of the parameters, from 0; with gradient accumulation an update comes once in several batches. The rate
//! of update `t` is what PyTorch's optimizer holds after `t` calls of `scheduler.step()`, where that is called after every
//! `optimizer.step()`. A PyTorch program that calls it once an epoch means the same schedule with its lengths times the updates of an
//! epoch, or in [`Span::Epochs`]. The host computes rates in f64 and sends them in the table of each submit, so no schedule costs a launch or a compilation.

mod file;
mod kind;
mod parse;
mod span;
mod words;

pub(crate) use span::RunLength;
pub use span::Span;

use crate::error::Faults;
use kind::ScheduleKind;
use serde::{Deserialize, Serialize, Serializer};
use words::{RATE, Words};

/// Makes [`Schedule`] of a table. A row is a schedule: its text for the documentation, its type, its name in files and, if a flag can hold it,
/// how a flag writes it and the function that reads the numbers behind its name. A constant is no row: files hold it as its number.
macro_rules! schedules {
    (
        $(#[$about:meta])*
        pub enum Schedule {
            $($(#[$text:meta])* $Name:ident($Type:ty) = $word:literal $(as $form:literal by $read:path)?;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Schedule {
            /// The same at every update.
            Constant(f64),
            $($(#[$text])* $Name($Type),)*
        }

        /// Every schedule that a file holds as a map, which names it.
        #[derive(Deserialize)]
        #[serde(tag = "schedule")]
        enum Read {
            $(#[serde(rename = $word)] $Name($Type),)*
        }

        #[derive(Serialize)]
        #[serde(tag = "schedule")]
        enum Write<'a> {
            $(#[serde(rename = $word)] $Name(&'a $Type),)*
        }

        $(impl From<$Type> for Schedule {
            fn from(s: $Type) -> Self {
                Schedule::$Name(s)
            }
        })*

        impl From<Read> for Schedule {
            fn from(s: Read) -> Self {
                match s {
                    $(Read::$Name(s) => Schedule::$Name(s),)*
                }
            }
        }

        impl Serialize for Schedule {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {
                    Schedule::Constant(lr) => s.serialize_f64(*lr),
                    $(Schedule::$Name(k) => Write::$Name(k).serialize(s),)*
                }
            }
        }

        impl Schedule {
            /// How flags write each.
            const CHOICES: &'static [&'static str] = &["constant", $($($form,)?)*];

            /// The schedule of this name, with the numbers behind it.
            fn in_words(name: &str, numbers: &mut Words<'_>) -> Option<Self> {
                match name {
                    "constant" => Some(Schedule::Constant(RATE)),
                    $($(
                        $word => $read(numbers).map(Schedule::$Name),
                    )?)*
                    _ => None,
                }
            }

            fn kind(&self) -> &dyn ScheduleKind {
                match self {
                    Schedule::Constant(lr) => lr,
                    $(Schedule::$Name(s) => s,)*
                }
            }

            fn kind_mut(&mut self) -> &mut dyn ScheduleKind {
                match self {
                    Schedule::Constant(lr) => lr,
                    $(Schedule::$Name(s) => s,)*
                }
            }
        }
    };
}

schedules! {
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
    pub enum Schedule {
        /// Times a factor every so many updates.
        Step(Step) = "step" as "step:SIZE:GAMMA" by Step::read;
        /// Times a factor at chosen updates.
        MultiStep(MultiStep) = "multi_step" as "multi_step:UPDATE,UPDATE,..:GAMMA" by MultiStep::read;
        /// Times a factor at every update.
        Exponential(Exponential) = "exponential" as "exponential:GAMMA" by Exponential::read;
        /// Down to 0 along a power of what is left.
        Polynomial(Polynomial) = "polynomial" as "polynomial:TOTAL:POWER" by Polynomial::read;
        /// Down along half a cosine.
        Cosine(Cosine) = "cosine" as "cosine:TOTAL:END" by Cosine::read;
        /// Down along half a cosine, again and again.
        CosineRestarts(CosineRestarts) = "cosine_restarts" as "cosine_restarts:FIRST:TIMES:END" by CosineRestarts::read;
        /// Up and far down.
        OneCycle(OneCycle) = "one_cycle" as "one_cycle:TOTAL" by OneCycle::read;
        /// Linearly up to where another schedule begins.
        Warmup(Warmup) = "warmup";
        /// A closure.
        Custom(Custom) = "custom";
    } // a new schedule is a row above this line, and its file below it
}
mod custom;
pub use custom::Custom;
mod warmup;
pub use warmup::Warmup;
mod one_cycle;
pub use one_cycle::{Anneal, OneCycle};
mod cosine;
pub use cosine::{Cosine, CosineRestarts};
mod decay;
pub use decay::{Exponential, MultiStep, Polynomial, Step};

impl Schedule {
    /// [`Step`]: times `gamma` every `step_size` updates.
    pub fn step(lr: f64, step_size: impl Into<Span>, gamma: f64) -> Self {
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
    pub fn polynomial(lr: f64, total: impl Into<Span>, power: f64) -> Self {
        Polynomial::new(lr, total).power(power).into()
    }
    /// [`Cosine`]: to 0 in `t_max` updates, along half a cosine. Another end: [`Cosine::eta_min`].
    pub fn cosine(lr: f64, t_max: impl Into<Span>) -> Self {
        Cosine::new(lr, t_max).into()
    }
    /// [`CosineRestarts`]: half cosines of `t_0` updates, each `t_mult` times as long as the one before.
    pub fn cosine_restarts(lr: f64, t_0: impl Into<Span>, t_mult: u64) -> Self {
        CosineRestarts::new(lr, t_0).t_mult(t_mult).into()
    }
    /// [`OneCycle`]: up to `max_lr` and far down in `total` updates.
    pub fn one_cycle(max_lr: f64, total: impl Into<Span>) -> Self {
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
    pub fn warmup(self, updates: impl Into<Span>) -> Self {
        let updates = updates.into();
        match self {
            Schedule::Warmup(w) => w.then.warmup(updates),
            s if updates == Span::Updates(0) => s,
            s => Warmup::new(updates, s).into(),
        }
    }

    /// Whether a length is relative to a run: in epochs, or a share of it. A run that begins makes updates of them.
    pub fn is_relative(&self) -> bool {
        let mut relative = false;
        self.clone().kind_mut().each_span(&mut |span| relative |= span.updates().is_none());
        relative
    }

    /// The same with lengths in updates, as far as this run tells them.
    pub(crate) fn within(mut self, run: RunLength) -> Self {
        self.kind_mut().each_span(&mut |span| *span = span.within(run));
        self
    }

    /// The rate of update `update`, counted from 0. Defined for every update: a schedule with an end stays there. NaN where a length is relative to a
    /// run ([`Schedule::is_relative`]).
    pub fn at(&self, update: u64) -> f64 {
        self.kind().at(update)
    }

    /// The base rate: PyTorch's `lr` of the optimizer, the `max_lr` of one-cycle. A closure has none of its own: what it gives for update 0.
    pub fn rate(&self) -> f64 {
        self.kind().rate()
    }

    /// The same schedule from another base rate: what `--lr` sets beside `--schedule`. An end of its own (`eta_min`) stays as it is; so
    /// does a closure.
    #[must_use]
    pub fn with_rate(mut self, rate: f64) -> Self {
        self.kind_mut().set_rate(rate);
        self
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        self.kind().check(faults);
    }
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

#[cfg(test)]
mod tests;
