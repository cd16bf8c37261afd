//! What formulas are computed over at a time.

/// How many values are computed at a time where nothing speaks for more: few enough that the intermediate values of any formula stay in the first-level
/// cache.
pub const CHUNK: usize = 256;

/// How many values can be computed at a time.
pub const MOST: usize = 1024;

/// Room of a row. No power of two: rows whose beginnings differ by 4 KiB wait for each other's stores.
pub(super) const ROOM: usize = MOST + 16;

/// One value for each place of a chunk.
pub(super) type Row = [f32; ROOM];
