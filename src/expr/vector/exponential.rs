//! The exponential, the logarithm and what is made of them.

use super::{polynomial, signed};

/// 1.5 * 2^23: a number to which it is added loses its fraction, and the integer stands in the low bits.
const ROUND: f32 = 12_582_912.0;
/// log 2 in two parts: an exponent times the first is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `exp(x)` where the result is a normal number.
#[inline(always)]
fn exp_inside(x: f32) -> f32 {
    let t = x * std::f32::consts::LOG2_E + ROUND;
    let n = t - ROUND;
    let (high, low) = (x - n * LN_2_HIGH, n * LN_2_LOW);
    let r = high - low;
    let p = polynomial(r, [1.979_033e-4, 1.394_467_1e-3, 8.333_497e-3, 0.041_666_295, 0.166_666_66, 0.5]);
    let m = 1.0 + (high - (low - r * r * p));
    f32::from_bits(m.to_bits().wrapping_add(t.to_bits() << 23))
}

/// `exp(x)`; 0 below 2^-126.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let v = if x < -87.336_54 { 0.0 } else { exp_inside(x) };
    let v = if x > 88.722_83 { f32::INFINITY } else { v };
    if x.is_nan() { x } else { v }
}

/// `exp(x) - 1`
#[inline(always)]
pub(crate) fn expm1(x: f32) -> f32 {
    let p = polynomial(x, [1.984_981e-4, 1.399_617_6e-3, 8.333_579e-3, 0.041_665_36, 0.166_666_64, 0.5]);
    let near = x + x * x * p;
    signed(if x.abs() < 0.5 { near } else { exp(x) - 1.0 }, x)
}

/// `log(2^k (1 + f))`, `1 + f` between the roots of 1/2 and of 2.
#[inline(always)]
fn log_parts(k: f32, f: f32) -> f32 {
    let p = polynomial(
        f,
        [0.067_466_35, -0.116_760_5, 0.118_883_78, -0.124_055_44, 0.142_195_2, -0.166_679_97, 0.200_021_2, -0.250_000_1, 0.333_333_13],
    );
    let z = f * f;
    (f - (0.5 * z - (z * f * p + k * LN_2_LOW))) + k * LN_2_HIGH
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn log(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let small = x < f32::MIN_POSITIVE;
    let normal = if small { x * 8_388_608.0 } else { x };
    let bits = normal.to_bits().wrapping_sub(ROOT_HALF);
    let k = (bits as i32 >> 23) as f32 - if small { 23.0 } else { 0.0 };
    let f = f32::from_bits((bits & 0x007f_ffff) + ROOT_HALF) - 1.0;
    let v = if x < f32::INFINITY { log_parts(k, f) } else { x };
    let v = if x < 0.0 { f32::NAN } else { v };
    let v = if x == 0.0 { f32::NEG_INFINITY } else { v };
    if x.is_nan() { x } else { v }
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = if x.abs() > 10.0 { 10.0 } else { x.abs() };
    let z = a * a;
    let p = polynomial(z, [-6.282_473_5e-3, 0.021_077_76, -0.053_853_86, 0.133_326_02, -0.333_333_2]);
    let far = 1.0 - 2.0 / (exp_inside(2.0 * a) + 1.0);
    signed(if a >= 0.55 { far } else { a + a * z * p }, x)
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    // in f64 the sum and the quotient are rounded once
    (f64::from(if x < 0.0 { e } else { 1.0 }) / (1.0 + f64::from(e))) as f32
}

/// `log(1 + exp(x))`
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    // 1 + e is at most 2
    let twice = e > 0.414_213_57;
    let rest = log_parts(if twice { 1.0 } else { 0.0 }, if twice { 0.5 * (e - 1.0) } else { e });
    (if x < 0.0 { 0.0 } else { x }) + rest
}

/// The error function: a polynomial near 0, `1 - exp(-g(x))` above.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = if x.abs() > 4.0 { 4.0 } else { x.abs() };
    let p = polynomial(a * a, [-6.222_423e-4, 5.035_872_4e-3, -0.026_793_955, 0.112_825_245, -0.376_125_57, 0.128_379_16]);
    let g =
        polynomial(a, [1.761_152e-5, -3.886_481_4e-4, 3.923_231_9e-3, -0.024_404_563, 0.107_091_21, 0.634_489, 1.128_926_8, -4.915_043e-5]);
    signed(if a >= 0.875 { 1.0 - exp_inside(-g) } else { a + a * p }, x)
}
