//! The ratio of each tensor's norms, for rules that scale an update by it.

use super::direction::Direction;
use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::rates::RateTable;
use super::lib::shard::Shard;
use super::lib::source::{Source, shader};
use super::lib::words::BLOCK;
use std::ops::Range;

/// The ratio of each tensor's norms, from what [`Direction`] left. Buffers: rates, direction, ratios.
#[derive(Debug, Clone)]
pub struct Ratios {
    /// Where the tensors begin.
    pub rates: RateTable,
    /// Elements of the arena, or of the shard.
    pub size: usize,
    /// Which shard it is.
    pub shard: Option<Shard>,
    /// Its tensors, by their numbers in the table.
    pub tensors: Range<usize>,
    /// Lanes that share a tensor.
    pub group: usize,
    /// Elements of the largest tensor.
    pub largest: usize,
}

impl Ratios {
    const WG: usize = 64;

    fn wg(&self) -> usize {
        self.group.max(Self::WG)
    }

    fn groups(&self) -> usize {
        (self.tensors.len() * self.group).div_ceil(self.wg())
    }
}

impl Archetype for Ratios {
    fn name(&self) -> String {
        "ratios".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(V, self);
        s.number("WG", self.wg()).number("VECTORS", BLOCK / 4).group(self.group);
        let first = |name: &str| if self.shard.is_some() { format!("d.{name}") } else { "0u".into() };
        s.line(format!("fn first_block() -> u32 {{ return {}; }}", first("first_block")));
        s.line(format!("fn first_tensor() -> u32 {{ return {}; }}", first("first_tensor")));
        s.finish(shader!("ratios.wgsl"))
    }

    /// Rates, direction, ratios.
    fn bindings(&self) -> Vec<Binding> {
        let blocks = self.size / BLOCK;
        vec![
            Binding::read("rates", Element::U32, 0..self.rates.words()).moving(self.tensors.len() + 1),
            // of each block its two norms
            Binding::read("direction", V, 0..blocks * Direction::STRIDE).moving(2 * blocks),
            Binding::write("ratios", Element::F32, self.tensors.clone()),
        ]
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("tensors", self.tensors.len()).u32("starts", self.rates.starts());
        let d = d.u32("blocks", self.size / BLOCK).u32("groups", self.grid()[0] as usize);
        if self.shard.is_none() { d } else { Shard::dims(self.shard, d).u32("first_tensor", self.tensors.start) }
    }

    /// A group for each tensor.
    fn grid(&self) -> [u32; 3] {
        fold(self.groups().max(1))
    }

    fn turns(&self) -> usize {
        self.largest.div_ceil(BLOCK).div_ceil(8 * self.group)
    }

    fn flops(&self) -> u64 {
        0
    }
}
