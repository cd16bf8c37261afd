//! What a pass computes, over slices of one length: loops that the compiler turns into vectors.

use super::vector::{self, one};
use super::{Binary, Scalar, Unary};

/// The number; 0 with its sign where it is below the normal range.
#[inline(always)]
pub(super) fn normal(v: f32) -> f32 {
    if v.abs() < f32::MIN_POSITIVE { f32::from_bits(v.to_bits() & 0x8000_0000) } else { v }
}

/// A result, which is normal, or what a later pass reads.
#[inline(always)]
pub(super) fn stored<const NORMAL: bool>(v: f32) -> f32 {
    if NORMAL { normal(v) } else { v }
}

#[inline(always)]
pub(super) fn unary<const NORMAL: bool>(u: Unary, x: &[f32], out: &mut [f32]) {
    #[inline(always)]
    fn each<const NORMAL: bool>(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
        for (o, &v) in out.iter_mut().zip(x) {
            *o = stored::<NORMAL>(f(v));
        }
    }
    match u {
        Unary::Neg => each::<NORMAL>(x, out, |v| -v),
        Unary::Abs => each::<NORMAL>(x, out, f32::abs),
        Unary::Sign => each::<NORMAL>(x, out, |v| truth(v > 0.0) - truth(v < 0.0)),
        Unary::Floor => each::<NORMAL>(x, out, f32::floor),
        Unary::Exp => each::<NORMAL>(x, out, one::exp),
        Unary::Expm1 => each::<NORMAL>(x, out, one::expm1),
        Unary::Log => each::<NORMAL>(x, out, one::log),
        Unary::Sqrt => each::<NORMAL>(x, out, f32::sqrt),
        Unary::Tanh => each::<NORMAL>(x, out, one::tanh),
        Unary::Sigmoid => each::<NORMAL>(x, out, one::sigmoid),
        Unary::Softplus => each::<NORMAL>(x, out, one::softplus),
        Unary::Erf => each::<NORMAL>(x, out, one::erf),
        Unary::Relu => each::<NORMAL>(x, out, |v| v.relu()),
        Unary::Positive => each::<NORMAL>(x, out, |v| v.positive()),
        Unary::Half => each::<NORMAL>(x, out, half_of),
        Unary::Sin => vector::sin(x, out),
        Unary::Cos => vector::cos(x, out),
    }
    if NORMAL && matches!(u, Unary::Sin | Unary::Cos) {
        out.iter_mut().for_each(|v| *v = normal(*v));
    }
}

/// The number rounded to f16; the twin of `shaders/lib/half.wgsl`.
#[inline(always)]
fn half_of(x: f32) -> f32 {
    let a = x.to_bits() & 0x7fff_ffff;
    let ten = a.wrapping_add(0xfff + (a >> 13 & 1)) & 0xffff_e000;
    let large = if ten >= 0x4780_0000 { 0x7f80_0000 } else { ten };
    // below 2^-14 the steps are 2^-24
    let small = ((x.abs() * 16_777_216.0).round_ties_even() * f32::from_bits(0x3380_0000)).to_bits();
    let r = if a < 0x3880_0000 { small } else { large };
    let r = if a > 0x7f80_0000 { a } else { r };
    f32::from_bits(r | x.to_bits() & 0x8000_0000)
}

#[inline(always)]
fn truth(condition: bool) -> f32 {
    if condition { 1.0 } else { 0.0 }
}

/// What patterns call by one name over numbers and over [`Scalar`]s.
pub(super) trait Functions: Sized {
    fn relu(self) -> Self;
    fn positive(self) -> Self;
    fn exponential(self) -> Self;
}

impl Functions for Scalar {
    fn relu(self) -> Scalar {
        Scalar::relu(&self)
    }
    fn positive(self) -> Scalar {
        Scalar::positive(&self)
    }
    fn exponential(self) -> Scalar {
        self.exp()
    }
}

impl Functions for f32 {
    #[inline(always)]
    fn relu(self) -> f32 {
        if self < 0.0 { 0.0 } else { self }
    }
    #[inline(always)]
    fn positive(self) -> f32 {
        truth(self > 0.0)
    }
    #[inline(always)]
    fn exponential(self) -> f32 {
        one::exp(self)
    }
}

#[inline(always)]
pub(super) fn select<const NORMAL: bool>(c: &[f32], a: &[f32], b: &[f32], out: &mut [f32]) {
    for (((o, &c), &a), &b) in out.iter_mut().zip(c).zip(a).zip(b) {
        *o = stored::<NORMAL>(if c == 0.0 { b } else { a });
    }
}

#[inline(always)]
pub(super) fn binary<const NORMAL: bool>(b: Binary, x: &[f32], y: &[f32], out: &mut [f32]) {
    #[inline(always)]
    fn each<const NORMAL: bool>(x: &[f32], y: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
        for ((o, &a), &b) in out.iter_mut().zip(x).zip(y) {
            *o = stored::<NORMAL>(f(a, b));
        }
    }
    match b {
        Binary::Add => each::<NORMAL>(x, y, out, |a, b| a + b),
        Binary::Sub => each::<NORMAL>(x, y, out, |a, b| a - b),
        Binary::Mul => each::<NORMAL>(x, y, out, |a, b| a * b),
        Binary::Div => each::<NORMAL>(x, y, out, |a, b| a / b),
        // `f32::max` swallows NaN
        Binary::Max => each::<NORMAL>(x, y, out, |a, b| if b.is_nan() || a < b { b } else { a }),
        Binary::Min => each::<NORMAL>(x, y, out, |a, b| if b.is_nan() || a > b { b } else { a }),
        Binary::Less => each::<NORMAL>(x, y, out, |a, b| truth(a < b)),
        Binary::LessEqual => each::<NORMAL>(x, y, out, |a, b| truth(a <= b)),
        Binary::Equal => each::<NORMAL>(x, y, out, |a, b| truth(a == b)),
        Binary::Pow => {
            vector::pow(x, y, out);
            if NORMAL {
                out.iter_mut().for_each(|v| *v = normal(*v));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every f16 and what lies around it, against the crate `half`.
    #[test]
    fn halves_are_those_of_the_crate() {
        let around = |h: u16| {
            let (a, b) = (half::f16::from_bits(h).to_f32(), half::f16::from_bits(h.wrapping_add(1)).to_f32());
            let middle = ((f64::from(a) + f64::from(b)) / 2.0) as f32;
            [a, middle, f32::from_bits(middle.to_bits() + 1), f32::from_bits(middle.to_bits().saturating_sub(1)), 1.1 * a]
        };
        for x in (0..=u16::MAX).flat_map(around).chain([1e-10, 65_519.0, 65_520.0, 1e30, f32::INFINITY, -0.0]) {
            let want = half::f16::from_f32(x).to_f32();
            let alike = half_of(x).to_bits() == want.to_bits() || (x.is_nan() && half_of(x).is_nan());
            // a result of the evaluator is never below f32's normal range, and neither is an f16
            assert!(alike || x.abs() < f32::MIN_POSITIVE, "{x:e}: {:e} for {want:e}", half_of(x));
        }
    }
}
