//! The f16 copies of the parameters, which products read in mixed precision.

use crate::plan::{Arena, BufferId};

/// The place of a parameter arena's f16 copies, in elements; none for other buffers, and where there are no copies.
pub(crate) fn half_copy_of(arena: &Arena, buffer: BufferId) -> Option<usize> {
    let first = match buffer {
        BufferId::Parameters => 0,
        BufferId::Frozen => arena.size,
        _ => return None,
    };
    (arena.working > 0).then_some(first)
}
