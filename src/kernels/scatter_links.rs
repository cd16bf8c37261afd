//! The first of the two launches of a sum by index: it chains equal indices.

use super::lib::binding::{Access, Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::links::{links, turns};
use super::lib::source::Source;

const WG: usize = 64;

/// Chains the equal ones of some indices: the first of the two launches of a sum by index. Buffers: indices, links.
#[derive(Debug, Clone)]
pub struct ScatterLinks {
    /// How many indices.
    pub count: usize,
    /// Rows of the table; an index at or above it has no chain.
    pub rows: usize,
    /// A row that has no chain either.
    pub padding: Option<usize>,
    /// First element of the indices.
    pub offset: usize,
}

impl ScatterLinks {
    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        turns(self.count)
    }

    /// Indices, links.
    pub fn bindings(&self) -> Vec<Binding> {
        let indices = self.offset..self.offset + self.count;
        vec![Binding::read("indices", Element::U32, indices), Binding::write("links", Element::U32, 0..self.count)]
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32", &self.dims());
        links(&mut s, WG, self.count);
        s.buffer("indices", Access::Read, "u32").buffer("links", Access::Write, "u32");
        s.finish(include_str!("../../shaders/scatter_links.wgsl"))
    }
    /// Indices, links.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Write]
    }
    /// Its sizes.
    pub(crate) fn dims(&self) -> Dims {
        let d = Dims::new().u32("count", self.count).u32("rows", self.rows).u32("indices_offset", self.offset);
        d.u32("padding", self.padding.unwrap_or(self.rows))
    }
    /// A thread an index.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.count.div_ceil(WG))
    }
}
