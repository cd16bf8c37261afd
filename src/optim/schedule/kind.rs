//! What a schedule says of itself.

use super::span::Span;
use crate::error::Faults;
use crate::optim::check::check_rate;

/// One of the schedules.
pub(super) trait ScheduleKind {
    /// The rate of update `update`, counted from 0; NaN while a length is relative to a run that is not known.
    fn at(&self, update: u64) -> f64;
    /// Shows each of its lengths, to be changed.
    fn each_span(&mut self, _change: &mut dyn FnMut(&mut Span)) {}
    /// The base rate.
    fn rate(&self) -> f64;
    /// Sets the base rate.
    fn set_rate(&mut self, rate: f64);
    /// Notes what is wrong with its settings.
    fn check(&self, faults: &mut Faults);
}

/// A constant rate.
impl ScheduleKind for f64 {
    fn at(&self, _: u64) -> f64 {
        *self
    }
    fn rate(&self) -> f64 {
        *self
    }
    fn set_rate(&mut self, rate: f64) {
        *self = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "", *self);
    }
}
