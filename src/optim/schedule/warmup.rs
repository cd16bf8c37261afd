//! A warm-up before another schedule.

use super::Schedule;
use super::kind::ScheduleKind;
use super::span::Span;
use crate::error::Faults;
use serde::{Deserialize, Serialize};

/// Linearly up to where another schedule begins, which then runs from its own update 0 (Goyal et al. 2017).
///
/// Of `n` updates of warm-up, update `t` takes `(t + 1) / (n + 1)` of the first rate of what follows: the first is no lost one at rate 0, and
/// update `n` is the first at the full rate. With `start_factor(s)` it is `s + (1 - s) * t / n`: PyTorch's `SequentialLR([LinearLR(start_factor=s,
/// total_iters=n), ..], milestones=[n])`. A run thus has `n` updates more than the schedule alone.
#[doc(alias = "LinearLR")]
#[doc(alias = "SequentialLR")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Warmup {
    /// Updates on the way up.
    pub updates: Span,
    /// The part that update 0 takes; `1 / (updates + 1)` where it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_factor: Option<f64>,
    /// What follows.
    pub then: Box<Schedule>,
}

impl Warmup {
    /// So many updates before this schedule.
    pub fn new(updates: impl Into<Span>, then: impl Into<Schedule>) -> Self {
        Warmup { updates: updates.into(), start_factor: None, then: Box::new(then.into()) }
    }
    /// The part of the rate that update 0 takes.
    pub fn start_factor(mut self, start_factor: f64) -> Self {
        self.start_factor = Some(start_factor);
        self
    }
}

impl ScheduleKind for Warmup {
    fn at(&self, t: u64) -> f64 {
        let Some(updates) = self.updates.updates() else { return f64::NAN };
        if t >= updates {
            return self.then.at(t - updates);
        }
        let (t, n) = (t as f64, updates as f64);
        let part = match self.start_factor {
            None => (t + 1.0) / (n + 1.0),
            Some(s) => s + (1.0 - s) * (t / n),
        };
        self.then.at(0) * part
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        change(&mut self.updates);
        self.then.kind_mut().each_span(change);
    }
    fn rate(&self) -> f64 {
        self.then.rate()
    }
    fn set_rate(&mut self, rate: f64) {
        self.then.kind_mut().set_rate(rate);
    }
    fn check(&self, f: &mut Faults) {
        self.updates.check(f, "updates");
        if let Some(s) = self.start_factor {
            f.check((0.0..=1.0).contains(&s), "optimizer.lr.start_factor", s, "give a part from 0 to 1");
        }
        let twice = matches!(*self.then, Schedule::Warmup(_));
        f.check(!twice, "optimizer.lr.then", "a warm-up before a warm-up", "give one warm-up, before any other schedule");
        if !twice {
            self.then.check(f);
        }
    }
}
