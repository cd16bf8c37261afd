//! What formulas are computed over at a time.

/// How many values are computed at a time: few enough that a formula's intermediate values stay in the first-level cache.
pub const CHUNK: usize = 256;

/// One value for each place of a chunk.
pub type Row = [f32; CHUNK];

/// A slice as a row, if it is as long as one: what the `load` of [`Evaluator::chunk_of`](super::Evaluator::chunk_of) lends.
pub fn whole(x: &[f32]) -> Option<&Row> {
    x.try_into().ok()
}
