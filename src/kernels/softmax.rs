//! Softmax over rows, one thread a row.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};

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
}

impl Archetype for Softmax {
    fn name(&self) -> String {
        if self.log { "log_softmax" } else { "softmax" }.into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG).flag("LOG", self.log);
        s.finish(shader!("softmax.wgsl"))
    }

    /// Input, output.
    fn bindings(&self) -> Vec<Binding> {
        let [from, to] = self.offsets.map(|o| o..o + self.rows * self.width);
        vec![Binding::read("x", Element::float(self.half), from), Binding::write("out", Element::F32, to)]
    }

    fn dims(&self) -> Dims {
        let [x, out] = self.offsets;
        Dims::new().u32("rows", self.rows).u32("width", self.width).u32("x_offset", x).u32("out_offset", out)
    }

    /// A thread a row.
    fn grid(&self) -> [u32; 3] {
        fold(self.rows.div_ceil(WG))
    }

    fn turns(&self) -> usize {
        3 * self.width
    }

    fn flops(&self) -> u64 {
        flops(self.rows * self.width, 5)
    }
}
