//! The second launch of a sum by index: it adds up the values of each index's segments.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::links::{columns, links, step};
use super::lib::source::{Source, shader};
use super::lib::target::Target;
use super::scatter_links::ScatterLinks;

const WG: usize = 64;

/// Adds up the values of each index in index order, over segments that [`ScatterLinks`] made, into a table that holds zeros where no index
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
    /// Places that were sorted together.
    pub piece: usize,
    /// Neighbouring columns of a lane, 1 or 4.
    pub columns: usize,
    /// Places that a lane adds in a turn: 1, 4 or 16.
    pub step: usize,
}

impl ScatterAdd {
    /// Sums of so many places' values, `[count, width]`, to a table of so many rows, for the target; `offsets`: first element of values, indices, output.
    pub fn new(target: Target, [count, width, rows]: [usize; 3], offsets: [usize; 3]) -> Self {
        let (piece, columns, step) = (ScatterLinks::piece(target), columns(target, width), step(target, count));
        ScatterAdd { count, width, rows, offsets, piece, columns, step }
    }

    fn lanes(&self) -> usize {
        self.count * (self.width / self.columns)
    }
}

impl Archetype for ScatterAdd {
    fn name(&self) -> String {
        "scatter_add".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        links(&mut s, WG);
        s.number("PIECE", self.piece).number("COLUMNS", self.columns).number("STEP", self.step);
        if self.columns == 1 {
            s.line("alias Sum = f32;\nfn load(at: u32) -> Sum { return values[at]; }\nfn store(at: u32, sum: Sum) { out[at] = sum; }");
        } else {
            s.line("alias Sum = vec4<f32>;\nfn load(at: u32) -> Sum { return Sum(values[at], values[at + 1u], values[at + 2u], values[at + 3u]); }");
            s.line("fn store(at: u32, sum: Sum) {");
            (0..4).for_each(|i| _ = s.line(format!("    out[at + {i}u] = sum[{i}];")));
            s.line("}");
        }
        s.finish(shader!("scatter_add.wgsl"))
    }

    /// Values, indices, links, output.
    fn bindings(&self) -> Vec<Binding> {
        let ([values, indices, out], size) = (self.offsets, self.count * self.width);
        vec![
            Binding::read("values", Element::F32, values..values + size),
            Binding::read("indices", Element::U32, indices..indices + self.count),
            Binding::read("links", Element::U32, 0..ScatterLinks::words(self.count)),
            Binding::write("out", Element::F32, out..out + self.rows * self.width).moving(size),
        ]
    }

    fn dims(&self) -> Dims {
        let [values, indices, out] = self.offsets;
        let d = Dims::new()
            .u32("lanes", self.lanes())
            .u32("across", self.width / self.columns)
            .u32("width", self.width)
            .u32("count", self.count);
        d.u32("values_offset", values).u32("indices_offset", indices).u32("out_offset", out)
    }

    /// A thread some elements of the values.
    fn grid(&self) -> [u32; 3] {
        fold(self.lanes().div_ceil(WG))
    }

    fn turns(&self) -> usize {
        // each piece ends one segment at most, in a turn that is not full
        self.count / self.step + 2 * self.count.div_ceil(self.piece)
    }

    fn flops(&self) -> u64 {
        flops(self.count * self.width, 1)
    }
}
