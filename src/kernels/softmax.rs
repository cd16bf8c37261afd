//! Softmax over rows, one thread a row.

use super::lib::binding::{Access, Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::halves::element;
use super::lib::source::Source;

const WG: usize = 64;

/// Softmax over rows, or its logarithm. Buffers: input, output.
#[derive(Debug, Clone)]
pub struct Softmax {
    /// Whether it is the logarithm.
    pub log: bool,
    /// How many rows.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// First element of the input and of the output.
    pub offsets: [usize; 2],
    /// The input is f16.
    pub half: bool,
}

impl Softmax {
    /// Widest row that one lane goes along: longer ones are made of reductions and a map.
    pub const LONG: usize = 16_384;

    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        3 * self.width
    }
    /// Input, output.
    pub fn bindings(&self) -> Vec<Binding> {
        let [from, to] = self.offsets.map(|o| o..o + self.rows * self.width);
        vec![Binding::read("x", Element::float(self.half), from), Binding::write("out", Element::F32, to)]
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32", &self.dims());
        s.number("WG", WG).flag("LOG", self.log).buffer("x", Access::Read, element(self.half, false)).buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/softmax.wgsl"))
    }
    /// Input, output.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Write]
    }
    /// Its sizes.
    pub(crate) fn dims(&self) -> Dims {
        let [x, out] = self.offsets;
        Dims::new().u32("rows", self.rows).u32("width", self.width).u32("x_offset", x).u32("out_offset", out)
    }
    /// A thread a row.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.rows.div_ceil(WG))
    }
}
