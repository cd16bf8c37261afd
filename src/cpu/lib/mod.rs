//! What several twins share, as `kernels/lib` holds what their shaders share.

pub(crate) mod call;
pub(crate) mod draws;
pub(crate) mod fork;
pub(crate) mod halves;
pub(crate) mod labels;
pub(crate) mod lanes;
pub(crate) mod largest;
pub(crate) mod pieces;
pub(crate) mod rates;
pub(crate) mod shared;
pub(crate) mod total;
