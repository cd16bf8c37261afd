//! The ratio of each tensor's norms, for rules that scale an update by it.

use super::direction::Direction;
use super::lib::binding::{Access, Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::rates::RateTable;
use super::lib::source::Source;
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

    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        self.largest.div_ceil(BLOCK).div_ceil(8 * self.group)
    }

    fn wg(&self) -> usize {
        self.group.max(Self::WG)
    }

    fn groups(&self) -> usize {
        (self.rates.tensors * self.group).div_ceil(self.wg())
    }

    /// Rates, direction, ratios.
    pub fn bindings(&self) -> Vec<Binding> {
        let blocks = self.size / BLOCK;
        vec![
            Binding::read("rates", Element::U32, 0..self.rates.words()).moving(self.rates.tensors + 1),
            // of each block its two norms
            Binding::read("direction", V, 0..blocks * Direction::STRIDE).moving(2 * blocks),
            Binding::write("ratios", Element::F32, 0..self.rates.tensors),
        ]
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("vec4<f32>", &self.dims());
        s.number("WG", self.wg()).number("VECTORS", BLOCK / 4).group(self.group);
        s.buffer("rates", Access::Read, "u32").buffer("direction", Access::Read, "V").buffer("ratios", Access::Write, "f32");
        s.finish(include_str!("../../shaders/ratios.wgsl"))
    }

    /// Rates, direction, ratios.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Read, Access::Write]
    }

    /// Its sizes.
    pub(crate) fn dims(&self) -> Dims {
        let d = Dims::new().u32("tensors", self.rates.tensors).u32("starts", self.rates.starts());
        d.u32("blocks", self.rates.blocks).u32("groups", self.grid()[0] as usize)
    }

    /// A group for each tensor.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.groups().max(1))
    }
}
