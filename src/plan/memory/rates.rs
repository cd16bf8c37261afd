//! Where the rates of an optimizer lie in their buffer: a ring of rows, and a table of which part of the arena reads which rates.

use super::arena::{ALIGN, Arena};
use crate::kernels::RateTable;
use crate::optim::{Optimizer, Rule};

impl Rule {
    /// How the kernels read the rates.
    pub(crate) fn rates(&self, arena: &Arena) -> RateTable {
        let tensors = if self.apply.is_some() { arena.entries.iter().filter(|e| !e.frozen).count() } else { 0 };
        let blocks = if self.groups > 1 || self.apply.is_some() { arena.size / ALIGN } else { 0 };
        RateTable { groups: self.groups, blocks, tensors }
    }

    /// What stands behind the rates in their buffer, from [`RateTable::table`] on: for each block of the trainable arena its group (upper 8
    /// bits) and its tensor, then where the tensors begin. Empty where every parameter is treated alike.
    pub fn table(&self, arena: &Arena, group: impl Fn(&str) -> usize) -> Vec<u32> {
        let rates = self.rates(arena);
        let mut words = vec![0u32; rates.blocks];
        let mut starts = Vec::new();
        for (tensor, e) in arena.entries.iter().filter(|e| !e.frozen).enumerate() {
            let first = e.offset / ALIGN;
            starts.push(first as u32);
            let word = (group(&e.name) as u32) << 24 | tensor as u32;
            words.iter_mut().skip(first).take(e.shape.size().div_ceil(ALIGN)).for_each(|w| *w = word);
        }
        if rates.tensors > 0 {
            words.extend(starts);
            words.push(rates.blocks as u32);
        }
        words
    }
}

impl Optimizer {
    /// Which row of the rates each part of the arena reads: what [`Rule::table`] writes behind the rates.
    pub fn table(&self, arena: &Arena) -> Vec<u32> {
        self.rule().table(arena, |name| self.rate_group(name))
    }
}
