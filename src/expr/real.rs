//! f32 and f64 behind one trait, so that the reference computes in both.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

/// f32 or f64: what the reference computes in.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// Rounds to this type.
    fn from_f64(x: f64) -> Self;
    /// Widens.
    fn to_f64(self) -> f64;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn log(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Error function.
    fn erf(self) -> Self;
    /// `exp(x) - 1`
    fn exp_m1(self) -> Self;
    /// `log(1 + x)`
    fn ln_1p(self) -> Self;
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// The largest integer that is not above it.
    fn floor(self) -> Self;
    /// This to the power of `y`, as C has it.
    fn pow(self, y: Self) -> Self;
    /// Whether it is no number.
    fn is_nan(self) -> bool;
}

impl Real for f64 {
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn abs(self) -> f64 {
        f64::abs(self)
    }
    fn exp(self) -> f64 {
        libm::exp(self)
    }
    fn log(self) -> f64 {
        libm::log(self)
    }
    fn sqrt(self) -> f64 {
        libm::sqrt(self)
    }
    fn tanh(self) -> f64 {
        libm::tanh(self)
    }
    fn erf(self) -> f64 {
        libm::erf(self)
    }
    fn exp_m1(self) -> f64 {
        libm::expm1(self)
    }
    fn ln_1p(self) -> f64 {
        libm::log1p(self)
    }
    fn sin(self) -> f64 {
        libm::sin(self)
    }
    fn cos(self) -> f64 {
        libm::cos(self)
    }
    fn floor(self) -> f64 {
        libm::floor(self)
    }
    fn pow(self, y: f64) -> f64 {
        libm::pow(self, y)
    }
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

impl Real for f32 {
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn abs(self) -> f32 {
        f32::abs(self)
    }
    fn exp(self) -> f32 {
        libm::expf(self)
    }
    fn log(self) -> f32 {
        libm::logf(self)
    }
    fn sqrt(self) -> f32 {
        libm::sqrtf(self)
    }
    fn tanh(self) -> f32 {
        libm::tanhf(self)
    }
    fn erf(self) -> f32 {
        libm::erff(self)
    }
    fn exp_m1(self) -> f32 {
        libm::expm1f(self)
    }
    fn ln_1p(self) -> f32 {
        libm::log1pf(self)
    }
    fn sin(self) -> f32 {
        libm::sinf(self)
    }
    fn cos(self) -> f32 {
        libm::cosf(self)
    }
    fn floor(self) -> f32 {
        libm::floorf(self)
    }
    fn pow(self, y: f32) -> f32 {
        libm::powf(self, y)
    }
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}
