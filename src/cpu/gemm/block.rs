//! A part of a product, and what one costs.

use crate::kernels::Gemm;
use std::ops::Range;

/// Nanoseconds of one multiply-add, on a core with AVX-512.
pub(super) const TERM: f64 = 0.014;

/// Whether the product is stored as it is.
pub(in crate::cpu) fn plain(k: &Gemm) -> bool {
    k.spec.epilogue.is_identity()
}

/// A guess at the nanoseconds of the products alone.
pub(super) fn work(k: &Gemm) -> f64 {
    TERM * (k.matrices() * k.m * k.n * k.k) as f64
}

/// A part of C: rows and columns of one product of the batch.
pub(super) struct Block {
    pub batch: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}
