//! Schedules that fall by a factor or along a power.

use super::kind::ScheduleKind;
use super::span::Span;
use super::words::{RATE, Words};
use crate::error::Faults;
use crate::optim::check::{check_gamma, check_rate};
use serde::{Deserialize, Serialize};

/// Times `gamma` every `step_size` updates: `lr * gamma^floor(t / step_size)`. PyTorch's `StepLR`.
#[doc(alias = "StepLR")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Step {
    /// The rate of update 0.
    pub lr: f64,
    /// Updates at one rate.
    pub step_size: Span,
    /// The factor; 0.1.
    #[serde(default = "tenth")]
    pub gamma: f64,
}

fn tenth() -> f64 {
    0.1
}

impl Step {
    /// A tenth every so many updates.
    pub fn new(lr: f64, step_size: impl Into<Span>) -> Self {
        Step { lr, step_size: step_size.into(), gamma: 0.1 }
    }
    /// Sets the factor.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(Step::new(RATE, n.number::<Span>()?).gamma(n.number_or(0.1)?))
    }
}

impl ScheduleKind for Step {
    fn at(&self, t: u64) -> f64 {
        self.step_size.updates().map_or(f64::NAN, |size| self.lr * power(self.gamma, t / size.max(1)))
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        change(&mut self.step_size);
    }
    fn rate(&self) -> f64 {
        self.lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "lr", self.lr);
        self.step_size.check(f, "step_size");
        check_gamma(f, self.gamma);
    }
}

/// Times `gamma` at each of the updates `milestones`, the first update that the lower rate holds for. One that stands there twice counts
/// twice. PyTorch's `MultiStepLR`; Keras' `PiecewiseConstantDecay`.
#[doc(alias = "MultiStepLR")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct MultiStep {
    /// The rate of update 0.
    pub lr: f64,
    /// The updates at which the rate falls, in any order.
    pub milestones: Vec<Span>,
    /// The factor; 0.1.
    #[serde(default = "tenth")]
    pub gamma: f64,
}

impl MultiStep {
    /// A tenth at each of these updates.
    pub fn new(lr: f64, milestones: impl Into<Vec<u64>>) -> Self {
        MultiStep { lr, milestones: milestones.into().into_iter().map(Span::Updates).collect(), gamma: 0.1 }
    }
    /// Sets at which points the rate falls, as parts of the run or in epochs.
    pub fn milestones(mut self, milestones: impl Into<Vec<Span>>) -> Self {
        self.milestones = milestones.into();
        self
    }
    /// Sets the factor.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(MultiStep::new(RATE, []).milestones(n.numbers::<Span>()?).gamma(n.number_or(0.1)?))
    }
}

impl ScheduleKind for MultiStep {
    fn at(&self, t: u64) -> f64 {
        let passed = self.milestones.iter().try_fold(0, |n, m| Some(n + u64::from(m.updates()? <= t)));
        passed.map_or(f64::NAN, |n| self.lr * power(self.gamma, n))
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        self.milestones.iter_mut().for_each(change);
    }
    fn rate(&self) -> f64 {
        self.lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "lr", self.lr);
        f.check(!self.milestones.is_empty(), "optimizer.lr.milestones", "there is none", "give the updates at which the rate falls");
        // a fall at update 0 is one
        self.milestones.iter().filter(|m| **m != Span::Updates(0)).for_each(|m| m.check(f, "milestones"));
        check_gamma(f, self.gamma);
    }
}

/// Times `gamma` at every update: `lr * gamma^t`. PyTorch's `ExponentialLR`.
#[doc(alias = "ExponentialLR")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Exponential {
    /// The rate of update 0.
    pub lr: f64,
    /// The factor of each update: a little below 1, as 0.9995.
    pub gamma: f64,
}

impl Exponential {
    /// From this rate, by this factor.
    pub fn new(lr: f64, gamma: f64) -> Self {
        Exponential { lr, gamma }
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(Exponential::new(RATE, n.number()?))
    }
}

impl ScheduleKind for Exponential {
    fn at(&self, t: u64) -> f64 {
        self.lr * power(self.gamma, t)
    }
    fn rate(&self) -> f64 {
        self.lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "lr", self.lr);
        let falls = self.gamma.is_finite() && (0.0..=1.0).contains(&self.gamma);
        f.check(falls, "optimizer.lr.gamma", self.gamma, "give a factor from 0 to 1; above 1 the rate would grow without end");
    }
}

/// `lr * (1 - t / total)^power`, and 0 from update `total` on. PyTorch's `PolynomialLR`.
#[doc(alias = "PolynomialLR")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Polynomial {
    /// The rate of update 0.
    pub lr: f64,
    /// Updates until the rate is 0 (PyTorch's `total_iters`).
    pub total: Span,
    /// The power; 1, a straight line.
    #[serde(default = "line")]
    pub power: f64,
}

fn line() -> f64 {
    1.0
}

impl Polynomial {
    /// A straight line to 0.
    pub fn new(lr: f64, total: impl Into<Span>) -> Self {
        Polynomial { lr, total: total.into(), power: 1.0 }
    }
    /// Sets the power.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(Polynomial::new(RATE, n.number::<Span>()?).power(n.number_or(1.0)?))
    }
}

impl ScheduleKind for Polynomial {
    fn at(&self, t: u64) -> f64 {
        let Some(total) = self.total.updates().map(|n| n.max(1)) else { return f64::NAN };
        self.lr * libm::pow(1.0 - t.min(total) as f64 / total as f64, self.power)
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        change(&mut self.total);
    }
    fn rate(&self) -> f64 {
        self.lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "lr", self.lr);
        self.total.check(f, "total");
        f.check(self.power.is_finite() && self.power > 0.0, "optimizer.lr.power", self.power, "give a finite number above 0");
    }
}

fn power(gamma: f64, times: u64) -> f64 {
    libm::pow(gamma, times as f64)
}
