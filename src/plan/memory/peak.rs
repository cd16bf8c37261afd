//! The most memory that a program takes, known before it runs.

use super::buffers::Layout;
use crate::kernels::DIMS;
use crate::plan::human::human_bytes;
use crate::plan::program::Program;
use crate::plan::purpose::StateSet;

/// Buffers that logs are read back through: one for each submit under way.
pub(crate) const STAGED: usize = 2;

impl Program {
    /// Bytes that a model with this program alone holds on a GPU, data sets aside, from `prepare` to its end: arenas, slots, state, log,
    /// rates, the launches' sizes and tables, and what logs are read back through. Nothing is added while it runs. The CPU needs a little less; in mixed
    /// precision it keeps some operands of products in f32 beside.
    pub fn peak_bytes(&self) -> u64 {
        let needs = self.needs();
        needs.bytes() + staging(&needs) + dims(self) + slots(&self.slots) + tables(self)
    }

    /// The largest values and parameters, for people who run out of memory.
    pub(crate) fn biggest(&self) -> Vec<String> {
        let value = |(label, b): &(String, usize)| format!("{label} ({})", human_bytes(*b as u64));
        self.largest.iter().map(value).chain(self.arena.largest(2)).collect()
    }
}

/// Bytes that logs are read back through: a quarter of the longest for each submit under way.
pub(super) fn staging(layout: &Layout) -> u64 {
    4 * (STAGED * (layout.log(StateSet::Train).max(layout.log(StateSet::Eval)) / 4)) as u64
}

/// Bytes of the sizes of a program's launches.
pub(crate) fn dims(program: &Program) -> u64 {
    4 * (DIMS * program.rows()) as u64
}

/// Bytes of the words that its kernels look up.
pub(super) fn tables(program: &Program) -> u64 {
    4 * program.tables.len() as u64
}

/// Bytes of so many slots.
pub(super) fn slots(slots: &[usize]) -> u64 {
    slots.iter().sum::<usize>() as u64
}
