//! Pools and changes of size in the plainest loops.

use crate::expr::Real;
use crate::graph::op::{MaxPool, PoolPart, Resample};
use crate::tensor::Shape;

/// What a pool of largest values makes of images of this shape.
pub(super) fn max_pool<T: Real>(op: &MaxPool, x: &[&[T]], shape: &Shape) -> Vec<T> {
    let (w, channels) = (&op.window, shape[3]);
    let positions = w.positions[0] * w.positions[1];
    let results = shape[0] * positions * channels;
    let mut y = vec![T::from_f64(0.0); if op.part == PoolPart::Back { shape.size() } else { results }];
    for e in 0..results {
        let (image, position, channel) = (e / channels / positions, e / channels % positions, e % channels);
        let mut largest = None;
        for tap in 0..w.taps() {
            let Some([row, column]) = w.inside(position, tap) else { continue };
            let place = ((image * w.image[0] + row) * w.image[1] + column) * channels + channel;
            let v = x[0][place].to_f64();
            if largest.is_none_or(|(_, most)| v > most || v.is_nan()) {
                largest = Some((place, v));
            }
        }
        let Some((place, _)) = largest else { continue };
        match op.part {
            PoolPart::Largest => y[e] = x[0][place],
            PoolPart::Picked => y[e] = x[1][place],
            PoolPart::Back => y[place] = y[place] + x[1][e],
        }
    }
    y
}

/// Weighted sums along both axes of images of this shape.
pub(super) fn resample<T: Real>(op: &Resample, x: &[T], shape: &Shape) -> Vec<T> {
    let [down, across] = op.0.map(|s| s.lists());
    let mut y = Vec::new();
    for image in 0..shape[0] {
        for rows in &down {
            for columns in &across {
                for channel in 0..shape[3] {
                    let mut sum = T::from_f64(0.0);
                    for &(row, a) in rows {
                        for &(column, b) in columns {
                            sum = sum + x[((image * shape[1] + row) * shape[2] + column) * shape[3] + channel] * T::from_f64(a * b);
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}
