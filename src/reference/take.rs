//! Rows of a table by index, and sums into such rows.

use crate::expr::Real;

/// The rows of a table that the indices name; NaN where there is none.
pub(super) fn take<T: Real>(table: &[T], rows: usize, indices: &[u32]) -> Vec<T> {
    let width = table.len() / rows.max(1);
    let mut out = Vec::with_capacity(indices.len() * width);
    for &i in indices {
        let i = i as usize;
        for c in 0..width {
            out.push(if i < rows { table[i * width + c] } else { T::from_f64(f64::NAN) });
        }
    }
    out
}

/// Each row's sum of the values at its index, in index order; the padding row's is 0.
pub(super) fn scatter_add<T: Real>(values: &[T], rows: usize, padding: Option<usize>, indices: &[u32]) -> Vec<T> {
    let width = values.len().checked_div(indices.len()).unwrap_or(0);
    let mut out = vec![T::from_f64(0.0); rows * width];
    for (at, &i) in indices.iter().enumerate() {
        let i = i as usize;
        if i >= rows || Some(i) == padding {
            continue;
        }
        for c in 0..width {
            out[i * width + c] = out[i * width + c] + values[at * width + c];
        }
    }
    out
}
