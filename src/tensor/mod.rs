//! Shapes, dtypes and tensors that live on the host.

mod host;
mod shape;

pub use host::HostTensor;
pub use shape::{DType, Shape};
