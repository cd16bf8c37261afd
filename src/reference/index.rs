//! From an element's number to its position, and back.

use crate::tensor::Shape;

/// The position of a row-major element.
pub(super) fn index_of(mut flat: usize, shape: &Shape) -> Vec<usize> {
    let mut at = vec![0; shape.rank()];
    for i in (0..shape.rank()).rev() {
        at[i] = flat % shape[i];
        flat /= shape[i];
    }
    at
}

/// Which element of a smaller tensor is read at a position of a larger one: NumPy's rule.
pub(super) fn broadcast_index(at: &[usize], shape: &Shape) -> usize {
    let skip = at.len() - shape.rank();
    (0..shape.rank()).fold(0, |flat, i| flat * shape[i] + if shape[i] == 1 { 0 } else { at[skip + i] })
}
