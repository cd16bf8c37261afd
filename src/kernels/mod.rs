//! One file per kernel archetype: from an operation and its sizes to WGSL text, bindings and workgroups. Pure: knows no wgpu.
//!
//! A kernel has a *spec* (what stands in the header of its source: tile, layout, formula; equal specs share a pipeline) and *sizes*
//! (extents, offsets, strides: one row of the `dims` buffer, so that training, ragged and evaluation launches share pipelines).
//! Its twin in `cpu/` reads the same values.

mod kernel;
mod lib;

pub use crate::optim::Scaling;
pub use kernel::Kernel;
pub use lib::archetype::Archetype;
pub(crate) use lib::axes::{merged, reshaped};
pub use lib::binding::{Access, Binding, Element, shared};
pub use lib::dims::Dims;
pub use lib::draw::Draw;
pub use lib::halves::Halves;
pub use lib::join::Join;
pub use lib::limits::{DIMS, MAX_GROUPS, MOST_TURNS};
pub(crate) use lib::links::{FIRST, LAST};
pub use lib::log::{LOG_HEAD, LogShape, MAX_COLUMNS};
pub use lib::rates::RateTable;
pub(crate) use lib::scaling::{inverse, scale_of_line};
pub use lib::shard::Shard;
pub(crate) use lib::source::files_of;
pub use lib::target::{Registers, Target};
pub use lib::update_guard::UpdateGuard;
pub use lib::words;

/// Hands the one list of kernels to a macro: what there is of each kernel is made from here.
macro_rules! with_kernels {
    ($then:ident) => {
        $then! {
            /// A formula at every element.
            Map,
            /// Sums over an axis.
            Reduce,
            /// Matrix products.
            Gemm,
            /// Matrix products on cooperative matrices.
            GemmCoop,
            /// The end of a product in pieces.
            GemmJoin,
            /// Numbers of rows, and formulas of them and of the rows' values.
            Row,
            /// Softmax cross-entropy with its gradient.
            CrossEntropy,
            /// Hits of the largest score.
            Accuracy,
            /// Running sums over rows.
            CumSum,
            /// Where the largest stands.
            ArgMax,
            /// Rows of the data set to a batch.
            Gather,
            /// Rows of a table by number.
            Take,
            /// Places in the order of their indices.
            ScatterLinks,
            /// Sums by index, over places in that order.
            ScatterAdd,
            /// An operation of the user's own.
            Custom,
            /// New values of state that is not trained.
            Commit,
            /// Sums of the gradients of several batches.
            Accumulate,
            /// Sums of squares of all gradients.
            Squares,
            /// Where an update goes that needs norms of each tensor.
            Direction,
            /// The ratios of those norms.
            Ratios,
            /// The update of all parameters.
            Optimizer,
            /// The end of a step.
            Tick,
            /// Values of windows over images.
            Window,
        } // a new kernel is a row above this line, and its file below the macro
    };
}
mod window;
pub use window::{Images, List, Window, WindowFormula, WindowSpec};
mod tick;
pub use tick::Tick;
mod optimizer;
pub use optimizer::Optimizer;
mod ratios;
pub use ratios::Ratios;
mod direction;
pub use direction::Direction;
mod squares;
pub use squares::Squares;
mod accumulate;
pub use accumulate::Accumulate;
mod commit;
pub use commit::{BufferCopy, Commit};
mod custom;
pub use custom::Custom;
mod scatter_add;
pub use scatter_add::ScatterAdd;
mod scatter_links;
pub use scatter_links::ScatterLinks;
mod take;
pub use take::Take;
mod gather;
pub use gather::{Gather, GatherField};
mod argmax;
pub use argmax::ArgMax;
mod cumsum;
pub use cumsum::CumSum;
mod accuracy;
pub use accuracy::Accuracy;
mod cross_entropy;
pub use cross_entropy::CrossEntropy;
mod gemm_join;
pub use gemm_join::GemmJoin;
mod row;
pub use row::{Row, RowOperand, RowSpec, Slot, Stage};
mod gemm_coop;
pub use gemm_coop::GemmCoop;
pub use gemm_coop::tile::{CoopCaps, CoopTile};
mod gemm;
pub use gemm::tile::Tile;
pub use gemm::{Gemm, GemmSpec, Matrix, Operand, Output, Patches, Plane, Scattered, Walk};
mod reduce;
pub use reduce::{Fours, Lanes, Reduce, ReduceSpec, Term};
mod map;
pub use map::{Map, MapSpec, PadBox, Read, Strided};
pub(crate) use with_kernels;
