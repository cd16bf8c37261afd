//! The segments of equal indices that `scatter_links` makes and `scatter_add` walks.

use super::source::Source;
use super::target::Target;

/// The bit of a link that says that no earlier place has the same index.
pub(crate) const FIRST: u32 = 0x8000_0000;
/// The link of the last segment of an index.
pub(crate) const LAST: u32 = 0x7fff_ffff;

/// Places that are sorted together: each is compared with all of them, and one piece is sorted after the other.
pub(crate) fn piece(target: Target) -> usize {
    if target == Target::Gpu { 256 } else { 64 }
}

pub(crate) fn links(s: &mut Source, wg: usize) {
    s.number("WG", wg).line(format!("const FIRST = {FIRST}u;\nconst LAST = {LAST}u;"));
}

/// Of more places than these a segment's are added 16 a turn, so that turns end where software counts them.
const LONG: usize = 32_768;

/// Places that a lane adds in a turn: on a GPU several, whose loads do not wait for each other. In software loads do not overlap, and most segments are of
/// one place.
pub(crate) fn step(target: Target, count: usize) -> usize {
    match target {
        _ if count > LONG => 16,
        Target::Gpu => 4,
        Target::Software | Target::Lanes8 => 1,
    }
}

/// Neighbouring columns of a lane: in software, which reads what leads to a place for each lane by itself, four where they fill a row.
pub(crate) fn columns(target: Target, width: usize) -> usize {
    if target != Target::Gpu && width.is_multiple_of(4) { 4 } else { 1 }
}
