//! The second launch of a sum by index: it adds up the values along each chain.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::links::{links, turns};
use super::lib::source::{Source, shader};

const WG: usize = 64;

/// Adds up the values of each index in index order, over chains that [`ScatterLinks`](crate::kernels::ScatterLinks) made, into a table that holds zeros where no index
/// points. Buffers: values, indices, links, output.
#[derive(Debug, Clone)]
pub struct ScatterAdd {
    /// How many indices.
    pub count: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows of the table.
    pub rows: usize,
    /// First element of values, indices, output.
    pub offsets: [usize; 3],
}

impl Archetype for ScatterAdd {
    fn name(&self) -> String {
        "scatter_add".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        links(&mut s, WG, self.count);
        s.finish(shader!("scatter_add.wgsl"))
    }

    /// Values, indices, links, output.
    fn bindings(&self) -> Vec<Binding> {
        let ([values, indices, out], size) = (self.offsets, self.count * self.width);
        vec![
            Binding::read("values", Element::F32, values..values + size),
            Binding::read("indices", Element::U32, indices..indices + self.count),
            Binding::read("links", Element::U32, 0..self.count),
            Binding::write("out", Element::F32, out..out + self.rows * self.width).moving(size),
        ]
    }

    fn dims(&self) -> Dims {
        let [values, indices, out] = self.offsets;
        let d = Dims::new().u32("size", self.count * self.width).u32("width", self.width);
        d.u32("values_offset", values).u32("indices_offset", indices).u32("out_offset", out)
    }

    /// A thread an element of the values.
    fn grid(&self) -> [u32; 3] {
        fold((self.count * self.width).div_ceil(WG))
    }

    fn turns(&self) -> usize {
        turns(self.count)
    }

    fn flops(&self) -> u64 {
        flops(self.count * self.width, 1)
    }
}
