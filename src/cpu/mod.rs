//! Runs a [`Program`](crate::plan::Program) on the CPU: the same phases and slots as a GPU, and one Rust twin per kernel archetype, named like its file in `kernels/`.
//!
//! A twin reads the same spec and sizes as the WGSL does. Elementwise formulas go through [`Evaluator`](crate::expr::Evaluator), products
//! through the crate `gemm-f32`, and long sums through fixed blocks that meet in f64. **The number of threads never changes a bit**: work is
//! only cut between values that do not know each other.
//!
//! To add a kernel: its loop in a file of its own, `impl Twin for` it. The list of kernels ([`Kernel`](crate::kernels::Kernel)) asks for it.

mod accumulate;
mod accuracy;
mod argmax;
mod awake;
mod commit;
mod cross_entropy;
mod cumsum;
mod custom;
mod direction;
mod done;
mod fault;
mod gather;
mod gemm;
mod gemm_coop;
mod gemm_join;
mod launch;
mod lib;
mod map;
mod memory;
mod optimizer;
mod pages;
mod pool;
mod prepared;
mod profile;
mod ratios;
mod reduce;
mod row;
mod scatter_add;
mod scatter_links;
mod session;
mod squares;
mod table;
mod take;
#[cfg(test)]
mod tests;
mod tick;
mod window;

pub(crate) use gather::gathered;
pub(crate) use pool::threads_of;
pub use session::CpuSession;
