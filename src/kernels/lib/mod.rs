//! What several kernels share, as `shaders/lib` holds what several shaders share.

pub(crate) mod archetype;
pub(crate) mod axes;
pub(crate) mod binding;
pub(crate) mod dims;
pub(crate) mod draw;
pub(crate) mod flops;
pub(crate) mod grid;
pub(crate) mod halves;
pub(crate) mod join;
pub(crate) mod labels;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod links;
pub(crate) mod log;
pub(crate) mod rates;
pub(crate) mod scaling;
pub(crate) mod shard;
pub(crate) mod source;
pub(crate) mod state;
pub(crate) mod still;
pub(crate) mod target;
pub(crate) mod update_guard;
pub(crate) mod word;
pub mod words;
