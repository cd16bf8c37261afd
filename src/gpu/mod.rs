//! The only room that knows wgpu: adapters, a device, buffers, pipelines, running a [`Program`](crate::plan::Program).

mod adapter;
mod alarm;
mod coop;
mod device;
mod launch;
mod pipeline;
#[cfg(not(target_arch = "wasm32"))]
mod pipeline_cache;
mod pipelines;
mod plant;
mod profile;
mod readback;
mod self_test;
mod session;
mod submit;
mod sync;
mod trial;
mod under_way;
#[cfg(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod unguarded;
#[cfg(not(target_arch = "wasm32"))]
mod verdict;

pub(crate) use adapter::{LIMITS, ROBUST};
// internals, public for tests and benchmarks
#[doc(hidden)]
pub use adapter::{AdapterKind, AdapterSummary, adapters, adapters_async, adapters_hidden, adapters_hidden_async};
#[doc(hidden)]
pub use coop::Coop;
#[doc(hidden)]
pub use device::Gpu;
#[doc(hidden)]
pub use session::GpuSession;

/// wgpu's own types, for programs that share a device with gradus. No promise of stability: they change with wgpu.
pub mod raw {
    pub use wgpu;
}
