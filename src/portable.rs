//! What every adapter and every browser promises: kernels are made for no more.

/// Storage buffers that one launch may bind.
pub(crate) const STORAGE_BUFFERS: usize = 8;
