//! Sine and cosine.

use super::polynomial;

/// Up to here (and for NaN) the quarter turns of an angle can be taken off in f64.
const LARGEST: f32 = 4e8;
/// 1.5 * 2^52: a number to which it is added loses its fraction, and the integer stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// 1.5 * 2^23: the same in f32.
const ROUND_F32: f32 = 12_582_912.0;
/// pi / 2 in two parts: a number of quarter turns times the first is exact (fdlibm's).
const QUARTER_HIGH: f64 = 1.570_796_310_901_641_8;
const QUARTER_LOW: f64 = 1.589_325_477_352_819_6e-8;

/// Sine and cosine of an angle within an eighth of a turn.
#[inline(always)]
fn near(r: f32) -> (f32, f32) {
    let z = r * r;
    let sin = r + r * z * polynomial(z, [-1.951_723_5e-4, 8.332_178e-3, -0.166_666_55]);
    let cos = 1.0 - (0.5 * z - z * z * polynomial(z, [2.443_838e-5, -1.388_736_7e-3, 0.041_666_647]));
    (sin, cos)
}

/// The sine of so many quarter turns more.
#[inline(always)]
fn further((sin, cos): (f32, f32), quarters: u32) -> f32 {
    let v = if quarters & 1 == 0 { sin } else { cos };
    f32::from_bits(v.to_bits() ^ (quarters & 2) << 30)
}

/// The sine of an angle and of so many quarter turns more.
#[inline(always)]
fn turned(x: f32, quarters: u32) -> f32 {
    let t = f64::from(x) * std::f64::consts::FRAC_2_PI + ROUND;
    let n = t - ROUND;
    let r = ((f64::from(x) - n * QUARTER_HIGH) - n * QUARTER_LOW) as f32;
    further(near(r), (t.to_bits() as u32).wrapping_add(quarters))
}

/// Sine and cosine of a part of a turn, from 0 to 1.
#[inline(always)]
pub(crate) fn turn(part: f32) -> (f32, f32) {
    let t = 4.0 * part + ROUND_F32;
    let both = near((part - 0.25 * (t - ROUND_F32)) * std::f32::consts::TAU);
    (further(both, t.to_bits()), further(both, t.to_bits().wrapping_add(1)))
}

#[inline(always)]
fn each(x: &[f32], out: &mut [f32], inside: impl Fn(f32) -> f32, beyond: impl Fn(f32) -> f32) {
    for (o, &v) in out.iter_mut().zip(x) {
        *o = inside(v);
    }
    if x.iter().any(|v| v.abs() > LARGEST) {
        for (o, &v) in out.iter_mut().zip(x).filter(|(_, v)| v.abs() > LARGEST) {
            *o = beyond(v);
        }
    }
}

/// The sines of angles in radians.
#[inline(always)]
pub(crate) fn sin(x: &[f32], out: &mut [f32]) {
    each(x, out, |v| if v == 0.0 { v } else { turned(v, 0) }, libm::sinf);
}

/// The cosines of angles in radians.
#[inline(always)]
pub(crate) fn cos(x: &[f32], out: &mut [f32]) {
    each(x, out, |v| turned(v, 1), libm::cosf);
}
