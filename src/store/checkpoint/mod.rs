//! Checkpoints: a whole run as one file, and going on from it at the very step. What a run is beside its model the loop says, as a value that
//! serde can write; this room knows no loop.

mod agreement;
mod read;
mod settings;
mod tensors;
mod write;

pub(crate) use agreement::{Agreement, Circumstances};
pub(crate) use read::{CheckpointFile, bytes};
pub use settings::{Checkpoint, Resume};
pub(crate) use write::{Contents, arenas_to_write, write};
