//! Blocks of parameters that the loss does not depend on.

use std::ops::Range;

/// `true` in WGSL for a `block` among these; nothing where there are none.
pub(crate) fn among(still: &[Range<usize>]) -> Option<String> {
    let parts = still.iter().map(|r| format!("(block >= {}u && block < {}u)", r.start, r.end));
    (!still.is_empty()).then(|| parts.collect::<Vec<_>>().join(" || "))
}
