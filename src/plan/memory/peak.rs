//! The most memory that a program takes, known before it runs.

use crate::kernels::words::{PARTIALS, STATE_WORDS};
use crate::kernels::{DIMS, LogShape};
use crate::plan::human::human_bytes;
use crate::plan::program::Program;

/// Buffers that logs are read back through: one for each submit under way.
pub(crate) const STAGED: usize = 2;

impl Program {
    /// Bytes that a model with this program alone holds on a GPU, data sets aside, from `prepare` to its end: arenas, slots, state, log,
    /// rates, the launches' sizes, and what logs are read back through. Nothing is added while it runs. The CPU needs a little less; in mixed
    /// precision it keeps some operands of products in f32 beside.
    pub fn peak_bytes(&self) -> u64 {
        let (train, frozen) = (self.arena.size, self.arena.frozen + self.arena.buffered);
        // the other lane's log is of the least size
        let (log, least) = (self.log(), LogShape::of(0));
        let lanes = 2 * STATE_WORDS + log.words().max(least.words()) + least.words();
        let staging = STAGED * (log.words() / 4).max(least.words() / 4);
        let arenas = train * (2 + self.moments + usize::from(self.accumulates())) + frozen;
        let arenas = arenas + self.arena.working / 2;
        let words = arenas + lanes + self.rates.words() + PARTIALS + staging + DIMS * self.launches.len();
        4 * words as u64 + self.slots.iter().sum::<usize>() as u64
    }

    /// The largest values and parameters, for people who run out of memory.
    pub(crate) fn biggest(&self) -> Vec<String> {
        let value = |(label, b): &(String, usize)| format!("{label} ({})", human_bytes(*b as u64));
        self.largest.iter().map(value).chain(self.arena.largest(2)).collect()
    }
}
