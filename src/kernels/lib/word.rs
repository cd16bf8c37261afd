//! Sizes as shaders count them: in 32 bits.

use std::cell::Cell;

pub(crate) fn to_words(values: impl IntoIterator<Item = usize>) -> Vec<u32> {
    values.into_iter().map(word).collect()
}

thread_local! {
    /// Whether a size was met that 32 bits do not hold, since somebody asked.
    static BEYOND: Cell<bool> = const { Cell::new(false) };
}

/// A size as shaders count. One that they cannot is noted for [`count_in_32_bits`].
pub(crate) fn word(v: usize) -> u32 {
    u32::try_from(v).unwrap_or_else(|_| {
        BEYOND.set(true);
        u32::MAX
    })
}

/// What this makes of sizes; `None` where one of them is beyond 32 bits.
pub(crate) fn count_in_32_bits<T>(make: impl FnOnce() -> T) -> Option<T> {
    BEYOND.set(false);
    let made = make();
    (!BEYOND.take()).then_some(made)
}
