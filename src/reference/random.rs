//! The random numbers of a step, from their description.

use super::Data;
use crate::expr::Real;
use crate::graph::{Distribution, Draws};
use crate::rng::block;
use std::f64::consts::TAU;

/// The numbers that a step draws with this seed, when so many batches have begun before it.
pub fn draw<T: Real>(d: &Draws, seed: u64, batch: u32) -> Data<T> {
    let (stream, two) = (d.key(), 1u64 << 32);
    let key = [(seed % two) as u32, (seed / two) as u32];
    let top = |e: usize| {
        let counter = [(e / 4) as u32, batch, (stream % two) as u32, (stream / two) as u32];
        block(counter, key)[e % 4] >> 8
    };
    let unit = |e: usize| f64::from(top(e)) / f64::from(1u32 << 24);
    let normal = |e: usize| {
        let first = e - e % 2;
        let (radius, angle) = ((-2.0 * (1.0 - unit(first)).ln()).sqrt(), TAU * unit(first + 1));
        if e == first { radius * angle.cos() } else { radius * angle.sin() }
    };
    let one = |e: usize| match d.distribution {
        Distribution::Uniform => unit(e),
        Distribution::Normal => normal(e),
        Distribution::Bernoulli { below } => f64::from(u8::from(top(e) < below)),
    };
    Data::Real((0..d.shape.size()).map(|e| T::from_f64(one(e))).collect())
}
