//! Tools that look at a model: where the time of a step goes, which kernel computes wrong, where a loss that is not finite comes from, what
//! the layers give.

pub(crate) mod activations;
pub(crate) mod anomaly;
mod batch;
pub(crate) mod bisect;
pub(crate) mod changed;
pub(crate) mod diagnose;
#[cfg(feature = "plot")]
#[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
pub mod plot;
pub(crate) mod profile;
pub(crate) mod workbench;
