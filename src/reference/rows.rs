//! Operations on whole rows: softmax, running sums, the largest.

use super::Data;
use crate::expr::Real;
use crate::tensor::Shape;

/// Softmax of each row, or its logarithm.
pub(super) fn softmax<T: Real>(x: &[T], width: usize, log: bool) -> Vec<T> {
    // an empty last axis has no rows to cut
    x.chunks(width.max(1)).flat_map(|row| log_softmax(row).into_iter().map(|y| if log { y } else { y.exp() })).collect()
}

/// `y_i` is the sum of all `x_j` with `j <= i`, or with `j >= i`.
pub(super) fn cumsum<T: Real>(x: &[T], width: usize, reverse: bool) -> Vec<T> {
    let sum = |row: &[T]| row.iter().fold(T::from_f64(0.0), |s, &v| s + v);
    let one = |row: &[T], i: usize| if reverse { sum(&row[i..]) } else { sum(&row[..=i]) };
    x.chunks(width.max(1)).flat_map(|row| (0..row.len()).map(move |i| one(row, i))).collect()
}

/// `x_c - log sum_d exp(x_d)`, less the row's largest first: no exponential is above 1, so none overflows.
pub(super) fn log_softmax<T: Real>(row: &[T]) -> Vec<T> {
    let largest = row.iter().fold(T::from_f64(f64::NEG_INFINITY), |m, &v| if v > m { v } else { m });
    let sum = row.iter().fold(T::from_f64(0.0), |s, &v| s + (v - largest).exp());
    row.iter().map(|&v| (v - largest) - sum.log()).collect()
}

/// The first of the largest along an axis; the first NaN, if there is one.
pub(super) fn argmax<T: Real>(x: &[T], shape: &Shape, axis: usize) -> Data<T> {
    let (outer, inner): (usize, usize) = (shape.dims()[..axis].iter().product(), shape.dims()[axis + 1..].iter().product());
    let mut out = Vec::new();
    for o in 0..outer {
        for i in 0..inner {
            let at = |c: usize| x[(o * shape[axis] + c) * inner + i];
            let nan = (0..shape[axis]).find(|&c| at(c).is_nan());
            let best = (1..shape[axis]).fold(0, |b, c| if at(c) > at(b) { c } else { b });
            out.push(nan.unwrap_or(best) as u32);
        }
    }
    Data::Integer(out)
}
