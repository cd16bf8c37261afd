//! Powers, in f64: the logarithm is multiplied by up to 149.

use super::polynomial_f64;
use std::f64::consts::{LN_2, LOG2_E};

/// 1.5 * 2^52: a number to which it is added loses its fraction, and the integer stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The natural logarithm of a number that is not negative, within 2^-40 of it.
#[inline(always)]
fn log(x: f64) -> f64 {
    const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits().wrapping_sub(ROOT_HALF);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + ROOT_HALF);
    // the exponent in the low bits of 2^52, 2048 above itself
    let k = f64::from_bits((bits.wrapping_add(2048 << 52) >> 52) | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 2048.0);
    let s = (m - 1.0) / (m + 1.0);
    let c =
        [0.196_092_339_057_659_1, 0.221_741_672_852_271_6, 0.285_721_682_443_175_4, 0.399_999_948_700_888_34, 0.666_666_666_796_580_6, 2.0];
    let v = k * LN_2 + s * polynomial_f64(s * s, c);
    let v = if x == 0.0 { f64::NEG_INFINITY } else { v };
    if x < f64::INFINITY { v } else { x }
}

/// `exp(x)`, within 2^-32 of it, as far as f32 goes.
#[inline(always)]
fn exp(x: f64) -> f64 {
    let x = if x < -200.0 { -200.0 } else { x };
    let x = if x > 200.0 { 200.0 } else { x };
    let t = x * LOG2_E + ROUND;
    let r = x - (t - ROUND) * LN_2;
    let c = [
        1.984_125_166_131_01e-4,
        1.394_101_533_875_185e-3,
        8.333_402_925_622_464e-3,
        0.041_666_354_325_054_396,
        0.166_666_662_493_755_3,
        0.500_000_004_668_005_8,
        1.000_000_000_031_221_5,
        1.0,
    ];
    let v = polynomial_f64(r, c);
    // a NaN stays one: its fraction has more bits than the exponent takes
    let scale = f64::from_bits((t.to_bits() << 52).wrapping_add(1023 << 52));
    v * scale
}

/// `x` to the power of `y`, as C has it.
#[inline(always)]
pub(crate) fn pow(x: &[f32], y: &[f32], out: &mut [f32]) {
    for ((o, &x), &y) in out.iter_mut().zip(x).zip(y) {
        *o = one(x, y);
    }
}

#[inline(always)]
fn one(x: f32, y: f32) -> f32 {
    let whole = |v: f64| (v + ROUND) - ROUND == v;
    let (a, e) = (f64::from(x.abs()), f64::from(y));
    let size = exp(e * log(a)) as f32;
    let size = if a == 1.0 && !y.is_nan() { 1.0 } else { size };
    let odd = whole(e) && !whole(0.5 * e);
    let v = if x.is_sign_negative() && odd { -size } else { size };
    let nan = x < 0.0 && x > f32::NEG_INFINITY && !whole(e);
    let v = if nan { f32::NAN } else { v };
    if y == 0.0 || x == 1.0 { 1.0 } else { v }
}
