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
}
