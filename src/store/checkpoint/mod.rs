//! Checkpoints: a whole run as one file, from which it goes on at the very step. A loop hands over where it stands as a value that serde
//! can write and read. This room knows no loop.

mod agreement;
mod read;
mod settings;
mod tensors;
mod write;

pub(crate) use agreement::{Agreement, Circumstances, fingerprint, of_graph};
pub(crate) use read::{CheckpointFile, bytes};
pub use settings::{Checkpoint, Resume};
pub(crate) use write::{Contents, Sheet, arenas_to_write, write};
