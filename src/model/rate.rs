//! The learning rate of a run: that of the schedule, or what the run has made of it.

use crate::optim::Schedule;
use serde::{Deserialize, Serialize};

/// What a run has made of the schedule of the optimizer: nothing, a fixed rate in its place, or a multiple of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// The rate that replaces the schedule.
    fixed: Option<f64>,
    /// Multiplies the schedule.
    factor: f64,
    /// The factor does not take the rate below this.
    least: f64,
}

impl Default for Rate {
    fn default() -> Self {
        Rate { fixed: None, factor: 1.0, least: 0.0 }
    }
}

impl Rate {
    /// The rate of update `update`, counted from 0.
    pub fn at(&self, schedule: &Schedule, update: u64) -> f64 {
        if let Some(lr) = self.fixed {
            return lr;
        }
        let lr = schedule.at(update);
        // a warm-up may begin below `least`: only the factor may not lead there
        if self.factor == 1.0 { lr } else { (lr * self.factor).max(lr.min(self.least)) }
    }

    /// Sets the rate from now on.
    pub fn set(&mut self, lr: f64) {
        self.fixed = Some(lr);
    }

    /// The rate times `factor` from now on, but not below `least`: of a schedule that moves, the whole curve that is left.
    pub fn reduce(&mut self, factor: f64, least: f64, schedule: &Schedule, update: u64) {
        let now = self.at(schedule, update);
        if self.fixed.is_none() && !matches!(schedule, Schedule::Constant(_)) {
            (self.factor, self.least) = (self.factor * factor, least);
        } else {
            self.fixed = Some((now * factor).max(least));
        }
    }

    /// Whether its numbers can be right: a file may be damaged.
    pub fn sound(&self) -> bool {
        self.fixed.into_iter().chain([self.factor, self.least]).all(|x| x.is_finite() && x >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_rate_is_reduced_to_the_least() {
        let (schedule, mut rate) = (Schedule::Constant(0.4), Rate::default());
        assert_eq!(rate.at(&schedule, 7), 0.4);
        rate.reduce(0.5, 0.05, &schedule, 0);
        rate.reduce(0.5, 0.05, &schedule, 0);
        assert_eq!(rate.at(&schedule, 0), 0.1);
        rate.reduce(0.1, 0.05, &schedule, 0);
        assert_eq!(rate.at(&schedule, 0), 0.05);
        rate.set(2.0);
        assert_eq!(rate.at(&schedule, 0), 2.0);
        assert!(rate.sound() && !Rate { factor: -1.0, ..rate }.sound());
    }
}
