//! Counts of floating-point operations.

/// So many for each element. Beyond what any machine ends they are no longer told apart, so that sums of them are numbers.
pub(crate) fn flops(elements: usize, each: usize) -> u64 {
    (elements as u64).saturating_mul(each as u64).min(1 << 56)
}
