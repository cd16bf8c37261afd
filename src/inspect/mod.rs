//! Looking at a model: where its time goes, which kernel is wrong, where a loss that is not finite comes from, what its layers give.

pub(crate) mod activations;
pub(crate) mod anomaly;
pub(crate) mod bisect;
pub(crate) mod diagnose;
#[cfg(feature = "plot")]
#[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
pub mod plot;
pub(crate) mod profile;
pub(crate) mod workbench;
