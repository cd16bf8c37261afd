//! One file per kernel archetype: from an operation and its sizes to WGSL text, bindings and workgroups. Pure: knows no wgpu.
//!
//! A kernel has a *spec* (what stands in the header of its source: tile, layout, formula; equal specs share a pipeline) and *sizes*
//! (extents, offsets, strides: one row of the `dims` buffer, so that training, ragged and evaluation launches share pipelines).
//! Its twin in `cpu/` reads the same values.

mod accumulate;
mod accuracy;
mod argmax;
mod commit;
mod cross_entropy;
mod cumsum;
mod custom;
mod direction;
mod gather;
mod gemm;
mod gemm_coop;
mod kernel;
mod lib;
mod map;
mod optimizer;
mod ratios;
mod reduce;
mod scatter_add;
mod scatter_links;
mod softmax;
mod squares;
mod take;
mod tick;

pub use crate::optim::Scaling;
pub use accumulate::Accumulate;
pub use accuracy::Accuracy;
pub use argmax::ArgMax;
pub use commit::{Commit, Part};
pub use cross_entropy::CrossEntropy;
pub use cumsum::CumSum;
pub use custom::Custom;
pub use direction::Direction;
pub use gather::{Gather, GatherField};
pub use gemm::tile::{CoopCaps, CoopTile, Tile};
pub use gemm::{Gemm, GemmSpec, Matrix, Plane};
pub use gemm_coop::GemmCoop;
pub use kernel::Kernel;
pub(crate) use kernel::with_kernels;
pub use lib::archetype::Archetype;
pub use lib::binding::{Access, Binding, Element, shared};
pub use lib::dims::Dims;
pub use lib::gate::Gate;
pub use lib::halves::Halves;
pub use lib::limits::{DIMS, MAX_GROUPS, MOST_TURNS};
pub(crate) use lib::links::{FIRST, LAST};
pub use lib::log::{LOG_HEAD, LogShape, MAX_COLUMNS};
pub use lib::rates::RateTable;
pub(crate) use lib::scaling::{inverse, scale_of_line};
pub(crate) use lib::source::files_of;
pub use lib::target::Target;
pub use lib::words;
pub use map::{Draw, Map, MapSpec, Read, Strided, Window};
pub use optimizer::Optimizer;
pub use ratios::Ratios;
pub use reduce::{Reduce, ReduceSpec, Term};
pub use scatter_add::ScatterAdd;
pub use scatter_links::ScatterLinks;
pub use softmax::Softmax;
pub use squares::Squares;
pub use take::Take;
pub use tick::Tick;
