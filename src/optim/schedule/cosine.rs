//! Schedules along half a cosine.

use super::kind::ScheduleKind;
use super::span::Span;
use super::words::{RATE, Words};
use crate::error::Faults;
use crate::optim::check::check_rate;
use serde::{Deserialize, Serialize};

/// Down along half a cosine: `eta_min + (lr - eta_min) * (1 + cos(pi * t / t_max)) / 2`, and `eta_min` from update `t_max` on
/// (Loshchilov & Hutter 2017). PyTorch's `CosineAnnealingLR` until `t_max`, where that one turns and rises again; Keras' `CosineDecay`
/// stays, as this does.
#[doc(alias = "CosineAnnealingLR")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Cosine {
    /// The rate of update 0.
    pub lr: f64,
    /// Updates until the end.
    pub t_max: Span,
    /// The rate at the end; 0.
    #[serde(default)]
    pub eta_min: f64,
}

impl Cosine {
    /// To 0 in so many updates.
    pub fn new(lr: f64, t_max: impl Into<Span>) -> Self {
        Cosine { lr, t_max: t_max.into(), eta_min: 0.0 }
    }
    /// Sets the rate at the end.
    pub fn eta_min(mut self, eta_min: f64) -> Self {
        self.eta_min = eta_min;
        self
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(Cosine::new(RATE, n.number::<Span>()?).eta_min(n.number_or(0.0)?))
    }
}

impl ScheduleKind for Cosine {
    fn at(&self, t: u64) -> f64 {
        let Some(t_max) = self.t_max.updates().map(|n| n.max(1)) else { return f64::NAN };
        half(self.lr, self.eta_min, t.min(t_max) as f64 / t_max as f64)
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        change(&mut self.t_max);
    }
    fn rate(&self) -> f64 {
        self.lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "lr", self.lr);
        self.t_max.check(f, "t_max");
        check_rate(f, "eta_min", self.eta_min);
    }
}

/// Half cosines from `lr` down to `eta_min`, again and again: the first takes `t_0` updates, each other `t_mult` times as many as the one
/// before (SGDR, Loshchilov & Hutter 2017). PyTorch's `CosineAnnealingWarmRestarts`, under its names.
#[doc(alias = "CosineAnnealingWarmRestarts")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct CosineRestarts {
    /// The rate where each cosine begins.
    pub lr: f64,
    /// Updates of the first.
    pub t_0: Span,
    /// How many times as long the next is; 1.
    #[serde(default = "same")]
    pub t_mult: u64,
    /// The rate that each nears; 0.
    #[serde(default)]
    pub eta_min: f64,
}

fn same() -> u64 {
    1
}

impl CosineRestarts {
    /// Each of so many updates, towards 0.
    pub fn new(lr: f64, t_0: impl Into<Span>) -> Self {
        CosineRestarts { lr, t_0: t_0.into(), t_mult: 1, eta_min: 0.0 }
    }
    /// How many times as long the next is.
    pub fn t_mult(mut self, t_mult: u64) -> Self {
        self.t_mult = t_mult;
        self
    }
    /// The rate that each nears.
    pub fn eta_min(mut self, eta_min: f64) -> Self {
        self.eta_min = eta_min;
        self
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(CosineRestarts::new(RATE, n.number::<Span>()?).t_mult(n.number_or(1)?).eta_min(n.number_or(0.0)?))
    }
}

impl ScheduleKind for CosineRestarts {
    fn at(&self, t: u64) -> f64 {
        let Some(t_0) = self.t_0.updates() else { return f64::NAN };
        let (mut since, mut length) = (t, t_0.max(1));
        if self.t_mult <= 1 {
            since %= length;
        }
        // at most 64 turns: the length doubles at least
        while since >= length {
            since -= length;
            length = length.saturating_mul(self.t_mult);
        }
        half(self.lr, self.eta_min, since as f64 / length as f64)
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        change(&mut self.t_0);
    }
    fn rate(&self) -> f64 {
        self.lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "lr", self.lr);
        self.t_0.check(f, "t_0");
        f.check(self.t_mult > 0, "optimizer.lr.t_mult", self.t_mult, "give at least 1");
        check_rate(f, "eta_min", self.eta_min);
    }
}

/// Along half a cosine, `part` of the way from `start` to `end`.
pub(super) fn half(start: f64, end: f64, part: f64) -> f64 {
    end + (start - end) * (1.0 + libm::cos(std::f64::consts::PI * part)) / 2.0
}
