//! Convolution and its two gradients: one walk over all products that make it up.

use crate::expr::Real;
use crate::graph::op::{Conv, ConvPart};
use crate::tensor::Shape;

/// What this part of a convolution gives, of the shape `out`, for operands of which the first has the shape `first`.
pub(super) fn conv<T: Real>(op: &Conv, a: &[T], b: &[T], first: &Shape, out: &Shape) -> Vec<T> {
    let Conv { window: w, groups, part } = op;
    let (n, images, results) = match part {
        ConvPart::Forward => (first[0], first[3], out[3]),
        ConvPart::Data => (first[0], out[3], first[3]),
        ConvPart::Weights => (first[0], first[3], out[0]),
    };
    let (within, each, positions) = (images / groups, results / groups, w.positions[0] * w.positions[1]);
    let mut y = vec![T::from_f64(0.0); out.size()];
    for image in 0..n {
        for position in 0..positions {
            for o in 0..results {
                for tap in 0..w.taps() {
                    let Some([row, column]) = w.inside(position, tap) else { continue };
                    for i in 0..within {
                        let channel = o / each * within + i;
                        let x = ((image * w.image[0] + row) * w.image[1] + column) * images + channel;
                        let (weight, result) = ((o * w.taps() + tap) * within + i, (image * positions + position) * results + o);
                        let (left, right, to) = match part {
                            ConvPart::Forward => (x, weight, result),
                            ConvPart::Data => (result, weight, x),
                            ConvPart::Weights => (x, result, weight),
                        };
                        y[to] = y[to] + a[left] * b[right];
                    }
                }
            }
        }
    }
    y
}
