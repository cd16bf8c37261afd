//! The chains of equal indices that `scatter_links` makes and `scatter_add` follows.

use super::source::Source;

/// The bit of a link that says that no earlier place has the same index.
pub(crate) const FIRST: u32 = 0x8000_0000;
/// The link of the last place of an index.
pub(crate) const LAST: u32 = 0x7fff_ffff;

/// More places than these are looked at 16 a turn.
const LONG: usize = 32_768;

pub(crate) fn links(s: &mut Source, wg: usize, count: usize) {
    s.number("WG", wg).flag("LONG", count > LONG).line(format!("const FIRST = {FIRST}u;\nconst LAST = {LAST}u;"));
}

/// Turns of a lane that looks at all places: single ones before and behind, once or twice.
pub(crate) fn turns(count: usize) -> usize {
    if count > LONG { count / 16 + 32 } else { count }
}
