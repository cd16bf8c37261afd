//! The buffers that a model lives in: arenas over parameters, slots for values of a step, and what all of it comes to in bytes.

mod arena;
mod buffer_id;
mod buffers;
mod colour;
mod cuts;
mod gaps;
mod ledger;
mod peak;
mod rates;
mod shards;
mod slots;

pub use arena::{ALIGN, Arena, ArenaEntry, BufferEntry};
pub use buffer_id::{ArenaId, BufferId};
pub use buffers::{BufferSpec, Lasts, Layout, Usage};
pub(super) use colour::colour;
pub use cuts::{Cuts, Piece};
pub(crate) use ledger::Ledger;
#[cfg(feature = "gpu")]
pub(crate) use peak::STAGED;
pub(crate) use peak::dims as program_dims;
