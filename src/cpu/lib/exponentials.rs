//! What the exponentials of a row come to.

use super::largest::first_largest;

/// Nanoseconds of a value in a row: mostly its exponential.
pub(crate) const VALUE: f64 = 8.0;

/// What the exponentials of a row come to, its largest value taken off first.
pub(crate) struct Row {
    pub(crate) top: f32,
    pub(crate) sum: f32,
}

/// The first of equals is the largest, and a NaN never is, as in the shaders.
pub(crate) fn exponentials(x: &[f32], keep: Option<&mut [f32]>) -> Row {
    let best = first_largest(x);
    let top = x.get(best).copied().unwrap_or(0.0);
    let sum: f64 = match keep {
        Some(keep) => keep
            .iter_mut()
            .zip(x)
            .map(|(k, &v)| {
                *k = (v - top).exp();
                f64::from(*k)
            })
            .sum(),
        None => x.iter().map(|&v| f64::from((v - top).exp())).sum(),
    };
    Row { top, sum: sum as f32 }
}
