//! How the numbers of optimizers and schedules are checked: each fault is noted under its key.

use crate::error::Faults;

/// Whether the device can have this as its learning rate: of 0 or above, and finite as f32, too.
pub(crate) fn is_rate(rate: f64) -> bool {
    rate >= 0.0 && (rate as f32).is_finite()
}

/// The help of [`check_number`].
pub(super) const NUMBER: &str = "give a number of 0 or above that f32 holds";

/// A number of 0 or above that f32 holds.
pub(super) fn check_number(f: &mut Faults, key: &str, x: f64) {
    f.check(is_rate(x), &format!("optimizer.{key}"), x, NUMBER);
}

/// Decays of running means.
pub(super) fn check_betas(f: &mut Faults, betas: (f64, f64)) {
    let beta = |b: f64| (0.0..1.0).contains(&b);
    f.check(beta(betas.0) && beta(betas.1), "optimizer.betas", format!("{betas:?}"), "give two numbers from 0 to below 1");
}

/// A rate of a schedule; `key` stands below `optimizer.lr`, empty for itself.
pub(super) fn check_rate(f: &mut Faults, key: &str, rate: f64) {
    let key = if key.is_empty() { "optimizer.lr".into() } else { format!("optimizer.lr.{key}") };
    f.check(is_rate(rate), &key, format!("a learning rate of {rate}"), "give a number that f32 holds, 0 or above");
}

/// A schedule's factor.
pub(super) fn check_gamma(f: &mut Faults, gamma: f64) {
    f.check(gamma.is_finite() && gamma >= 0.0, "optimizer.lr.gamma", gamma, "give a finite factor, 0 or above, as 0.1");
}
