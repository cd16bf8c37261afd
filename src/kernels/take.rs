//! Rows of a table by number.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};

const WG: usize = 64;

/// Rows of a table by number. Buffers: table, indices, output. A row that the table has not is NaN.
#[derive(Debug, Clone)]
pub struct Take {
    /// How many indices.
    pub count: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows of the table.
    pub rows: usize,
    /// First element of table, indices, output.
    pub offsets: [usize; 3],
}

impl Archetype for Take {
    fn name(&self) -> String {
        "take".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG);
        s.finish(shader!("take.wgsl"))
    }

    /// Table, indices, output.
    fn bindings(&self) -> Vec<Binding> {
        let ([table, indices, out], size) = (self.offsets, self.count * self.width);
        vec![
            Binding::read("table", Element::F32, table..table + self.rows * self.width).moving(size),
            Binding::read("indices", Element::U32, indices..indices + self.count),
            Binding::write("out", Element::F32, out..out + size),
        ]
    }

    fn dims(&self) -> Dims {
        let [table, indices, out] = self.offsets;
        let d = Dims::new().u32("size", self.count * self.width).u32("width", self.width).u32("rows", self.rows);
        d.u32("table_offset", table).u32("indices_offset", indices).u32("out_offset", out).word("nan_bits", f32::NAN.to_bits())
    }

    /// A thread an element.
    fn grid(&self) -> [u32; 3] {
        fold((self.count * self.width).div_ceil(WG))
    }

    fn turns(&self) -> usize {
        0
    }

    fn flops(&self) -> u64 {
        0
    }
}
