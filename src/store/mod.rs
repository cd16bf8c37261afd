//! Files: weights, whole models, checkpoints. Each is written whole or not at all, and holds a sum that tells damage.

pub(crate) mod atomic;
pub(crate) mod checkpoint;
pub(crate) mod format;
pub(crate) mod json_floats;
pub(crate) mod model_file;
pub(crate) mod sum;
pub(crate) mod weights;
