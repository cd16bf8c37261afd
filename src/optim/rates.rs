//! The rates of one update, and the number under which a formula reads each. The host computes them in f64.

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

/// The rates of one update, in the order that the formulas number them.
pub type Rates = [f32; RATE_WIDTH];
