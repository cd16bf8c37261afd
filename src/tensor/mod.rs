//! Shapes, dtypes and tensors that live on the host.

mod half_words;
mod host;
mod order;
mod shape;

#[cfg(feature = "gpu")]
pub(crate) use half_words::f16_words;
pub(crate) use half_words::{f16s, f16s_mut, pack_f16, unpack_f16};
pub use host::HostTensor;
pub use order::Order;
pub use shape::{DType, Shape};
