//! The f16 copies of the parameters, which products read in mixed precision.

use crate::plan::{Arena, BufferId};

/// Where the f16 copies of an arena of parameters begin, in elements. None for other buffers, and where there are no copies.
pub(crate) fn half_copy_of(arena: &Arena, buffer: BufferId) -> Option<usize> {
    let first = match buffer {
        BufferId::Parameters => 0,
        BufferId::Frozen => arena.size,
        _ => return None,
    };
    (arena.working > 0).then_some(first)
}
