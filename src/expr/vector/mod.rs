//! Functions over `f32` for loops that the compiler turns into vectors.
//!
//! Each function of `one` is some multiplications and additions without a branch, so that a loop over it runs on the widest vectors that the processor has.
//! Nothing is fused (Rust never contracts `a * b + c`) and nothing reordered: the bits are the same with vectors of any width, on x86 and on Arm. Results
//! are within 2 units in the last place of the truth; below the normal range (2^-126) `exp` and what is made of it are 0. The polynomials are minimax fits
//! (Remez); their errors are below a fifth of a unit.

mod angle;
mod exponential;
mod power;

#[cfg(test)]
mod tests;

pub(crate) use angle::{cos, sin};
pub(crate) use power::pow;

/// Of one value: for loops under `pulp`'s dispatch.
pub(crate) mod one {
    pub(crate) use super::angle::turn;
    pub(crate) use super::exponential::{erf, exp, expm1, log, sigmoid, softplus, tanh};
}

/// The exponential of each value, in its place: within 1 unit in the last place, the same bits on every processor; 0 below 2^-126, and NaN stays NaN.
///
/// ```
/// let mut x = [0.0, 1.0, f32::NEG_INFINITY];
/// gradus::expr::vector::exp(&mut x);
/// assert_eq!(x, [1.0, std::f32::consts::E, 0.0]);
/// ```
pub fn exp(values: &mut [f32]) {
    pulp::Arch::new().dispatch(Each { values, f: one::exp });
}

/// The natural logarithm of each value, in its place: within 1 unit in the last place, the same bits on every processor; NaN below 0.
///
/// ```
/// let mut x = [1.0, std::f32::consts::E, 0.0];
/// gradus::expr::vector::log(&mut x);
/// assert_eq!(x, [0.0, 1.0, f32::NEG_INFINITY]);
/// ```
pub fn log(values: &mut [f32]) {
    pulp::Arch::new().dispatch(Each { values, f: one::log });
}

struct Each<'a, F> {
    values: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> pulp::NullaryFnOnce for Each<'_, F> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        for v in self.values {
            *v = (self.f)(*v);
        }
    }
}

/// `c[0] x^n + .. + c[n]`
#[inline(always)]
fn polynomial<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut p = c[0];
    for &c in &c[1..] {
        p = p * x + c;
    }
    p
}

/// The same in f64.
#[inline(always)]
fn polynomial_f64<const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut p = c[0];
    for &c in &c[1..] {
        p = p * x + c;
    }
    p
}

/// With the sign of `x`, for a `v` that is not negative.
#[inline(always)]
fn signed(v: f32, x: f32) -> f32 {
    f32::from_bits(v.to_bits() | x.to_bits() & 0x8000_0000)
}
