//! The rates of one update, and the number under which a formula reads each. The host computes them in f64.
//!
//! Numbers 0 to 4 each optimizer sets as it likes; those that several of them use have a name here.

/// Rates of one group of parameters in one update.
pub const RATE_WIDTH: usize = 9;
/// A rate that the update computes itself: what clipping by norm leaves of a gradient.
pub const RATE_CLIP: usize = 5;
/// Another: the norm of a tensor's parameters over that of its direction.
pub const RATE_RATIO: usize = 6;
/// Another: one over the loss scale.
pub const RATE_UNSCALE: usize = 7;
/// 1 in the first update of all, from which on an average of the weights is kept, else 0.
pub const RATE_FIRST: usize = 8;

/// The learning rate, perhaps with a correction in it.
pub(super) const LR: usize = 0;
/// What decoupled weight decay leaves of a parameter.
pub(super) const KEEP: usize = 2;
/// The L2 penalty that is added to the gradient.
pub(super) const L2: usize = 3;
/// The L1 penalty that is added to the gradient.
pub(super) const L1: usize = 4;

/// The rates of one update, in the order that the formulas number them.
pub type Rates = [f32; RATE_WIDTH];

/// `1 - b^t`, by which a mean that began at 0 is too small.
pub(super) fn correction(b: f64, t: f64) -> f64 {
    1.0 - libm::pow(b, t)
}
