//! The layout of the rates' buffer, and how a kernel reads it.

use super::binding::{Binding, Element};
use super::shard::Shard;
use super::source::Source;
use super::update_guard::UpdateGuard;
use super::update_guard::unscale;
use super::words::{BLOCK, RATE_CLIP, RATE_RATIO, RATE_ROWS, RATE_UNSCALE, RATE_WIDTH};
use crate::expr::{Expr, Node};

/// What the rates' buffer holds: a ring of rows, each with the rates of every group; and, where parameters are not all treated alike, a table
/// over blocks of [`BLOCK`] elements of the arena that tells each one's group and tensor, then the first block of each tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateTable {
    /// Groups of parameters: rates of one update.
    pub groups: usize,
    /// Blocks that the table tells of; 0 for no table.
    pub blocks: usize,
    /// Tensors that the table tells of; 0 where nobody asks.
    pub tensors: usize,
}

impl Default for RateTable {
    fn default() -> Self {
        RateTable { groups: 1, blocks: 0, tensors: 0 }
    }
}

impl RateTable {
    /// Words of one update's rates.
    pub fn width(&self) -> usize {
        self.groups * RATE_WIDTH
    }

    /// The first word of the table.
    pub fn table(&self) -> usize {
        RATE_ROWS * self.width()
    }

    /// The first word of the tensors' beginnings.
    pub fn starts(&self) -> usize {
        self.table() + self.blocks
    }

    /// Words of the whole buffer.
    pub fn words(&self) -> usize {
        self.starts() + if self.tensors > 0 { self.tensors + 1 } else { 0 }
    }

    /// The buffer: an update reads its own row and the table.
    pub(crate) fn binding(&self) -> Binding {
        Binding::read("rates", Element::U32, 0..self.words()).moving(self.width() + self.blocks)
    }

    /// `rate(i)` for the block that `turn_to(block)` was last called with: that reads what the rule wants of them, once. The blocks of a shard
    /// are counted from its own first.
    pub(crate) fn source(&self, s: &mut Source, guard: &UpdateGuard, (ratios, shard): (bool, Option<Shard>), rule: &Expr) {
        s.number("RATE_ROWS", RATE_ROWS).number("RATE_WIDTH", RATE_WIDTH).number("GROUPS", self.groups).number("BLOCK", BLOCK);
        s.line("var<private> clip_scale: f32;\nvar<private> tensor: u32;\nvar<private> held: array<f32, RATE_WIDTH>;");
        let mut wanted: Vec<usize> = rule.nodes().iter().filter_map(|n| if let Node::Rate(i) = n { Some(*i) } else { None }).collect();
        wanted.sort();
        wanted.dedup();
        let hold: String = wanted.iter().map(|i| format!("    held[{i}] = bitcast<f32>(rates[rate_row + {i}u]);\n")).collect();
        let place = if shard.is_some() { "d.first_block + block" } else { "block" };
        let owner = if self.blocks > 0 {
            format!(
                "    let owner = rates[RATE_ROWS * GROUPS * RATE_WIDTH + {place}];\n    rate_row += (owner >> 24u) * RATE_WIDTH;\n    \
                 tensor = owner & 0xffffffu;\n"
            )
        } else {
            String::new()
        };
        s.line(format!(
            "fn turn_to(block: u32) {{\n    var rate_row = (state_word(STATE_UPDATE) % RATE_ROWS) * GROUPS * RATE_WIDTH;\n{owner}{hold}}}"
        ));
        let clip = if guard.clip.is_some() { format!("    if (i == {RATE_CLIP}u) {{ return clip_scale; }}\n") } else { String::new() };
        let ratio = if ratios { format!("    if (i == {RATE_RATIO}u) {{ return ratios[tensor]; }}\n") } else { String::new() };
        let scale = if guard.scaled { format!("    if (i == {RATE_UNSCALE}u) {{ return unscale(); }}\n") } else { String::new() };
        unscale(s, guard.scaled);
        s.line(format!("fn rate(i: u32) -> f32 {{\n{clip}{ratio}{scale}    return held[i];\n}}"));
    }
}
