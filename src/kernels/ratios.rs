//! The ratio of each tensor's norms, for rules that scale an update by it.

use super::direction::Direction;
use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::rates::RateTable;
use super::lib::source::{Source, shader};
use super::lib::words::BLOCK;

/// The ratio of each tensor's norms, from what [`Direction`] left. Buffers: rates, direction, ratios.
#[derive(Debug, Clone)]
pub struct Ratios {
    /// Where the tensors begin.
    pub rates: RateTable,
    /// Elements of the arena.
    pub size: usize,
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
        (self.rates.tensors * self.group).div_ceil(self.wg())
    }
}

impl Archetype for Ratios {
    fn name(&self) -> String {
        "ratios".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(V, self);
        s.number("WG", self.wg()).number("VECTORS", BLOCK / 4).group(self.group);
        s.finish(shader!("ratios.wgsl"))
    }

    /// Rates, direction, ratios.
    fn bindings(&self) -> Vec<Binding> {
        let blocks = self.size / BLOCK;
        vec![
            Binding::read("rates", Element::U32, 0..self.rates.words()).moving(self.rates.tensors + 1),
            // of each block its two norms
            Binding::read("direction", V, 0..blocks * Direction::STRIDE).moving(2 * blocks),
            Binding::write("ratios", Element::F32, 0..self.rates.tensors),
        ]
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("tensors", self.rates.tensors).u32("starts", self.rates.starts());
        d.u32("blocks", self.rates.blocks).u32("groups", self.grid()[0] as usize)
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
