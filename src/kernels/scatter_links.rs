//! The first of the two launches of a sum by index: it sorts the places and chains those of an index.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::links::{links, piece};
use super::lib::source::{Source, shader};
use super::lib::target::Target;

/// Sorts places by index, a piece of them at a time, and chains the segments of equal ones: the first of the two launches of a sum by index. It goes
/// over each place once, whatever the indices are. Buffers: indices, links, the table of the sums, which is zero and notes what was found.
#[derive(Debug, Clone)]
pub struct ScatterLinks {
    /// How many indices.
    pub count: usize,
    /// Rows of the table; an index at or above it has no chain.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// A row that has no chain either.
    pub padding: Option<usize>,
    /// First element of indices and table.
    pub offsets: [usize; 2],
    /// Places that are sorted together, by as many lanes: a multiple of 16.
    pub piece: usize,
}

impl ScatterLinks {
    /// Places that machines of this kind sort together.
    pub fn piece(target: Target) -> usize {
        piece(target)
    }

    /// Numbers of the links of so many places: a link for each, and what stands where.
    pub fn words(count: usize) -> usize {
        2 * count
    }
}

impl Archetype for ScatterLinks {
    fn name(&self) -> String {
        "scatter_links".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        links(&mut s, self.piece);
        s.finish(shader!("scatter_links.wgsl"))
    }

    /// Indices, links, the table.
    fn bindings(&self) -> Vec<Binding> {
        let [indices, table] = self.offsets;
        vec![
            Binding::read("indices", Element::U32, indices..indices + self.count),
            Binding::write("links", Element::U32, 0..Self::words(self.count)),
            Binding::update("table", Element::U32, table..table + self.rows * self.width).moving(2 * self.count),
        ]
    }

    fn dims(&self) -> Dims {
        let [indices, table] = self.offsets;
        let d = Dims::new().u32("count", self.count).u32("rows", self.rows).u32("width", self.width);
        d.u32("indices_offset", indices).u32("table_offset", table).u32("padding", self.padding.unwrap_or(self.rows))
    }

    /// One workgroup: pieces come after each other.
    fn grid(&self) -> [u32; 3] {
        [u32::from(self.count > 0), 1, 1]
    }

    fn turns(&self) -> usize {
        self.count.div_ceil(self.piece) * (1 + self.piece / 16)
    }

    fn flops(&self) -> u64 {
        0
    }
}
