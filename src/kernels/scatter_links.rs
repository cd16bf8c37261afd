//! The first of the two launches of a sum by index: it chains equal indices.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::links::{links, turns};
use super::lib::source::{Source, shader};

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

impl Archetype for ScatterLinks {
    fn name(&self) -> String {
        "scatter_links".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        links(&mut s, WG, self.count);
        s.finish(shader!("scatter_links.wgsl"))
    }

    /// Indices, links.
    fn bindings(&self) -> Vec<Binding> {
        let indices = self.offset..self.offset + self.count;
        vec![Binding::read("indices", Element::U32, indices), Binding::write("links", Element::U32, 0..self.count)]
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("count", self.count).u32("rows", self.rows).u32("indices_offset", self.offset);
        d.u32("padding", self.padding.unwrap_or(self.rows))
    }

    /// A thread an index.
    fn grid(&self) -> [u32; 3] {
        fold(self.count.div_ceil(WG))
    }

    fn turns(&self) -> usize {
        turns(self.count)
    }

    fn flops(&self) -> u64 {
        0
    }
}
