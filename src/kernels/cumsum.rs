//! Running sums over rows.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};

const WG: usize = 64;

/// Running sums over rows, or over pieces of them. Buffers: input, the sums of all pieces up to each (or from each on) where they are known, output.
#[derive(Debug, Clone)]
pub struct CumSum {
    /// Whether they run from the end.
    pub reverse: bool,
    /// How many rows.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// Pieces that a row is cut into; 1 if it is not.
    pub pieces: usize,
    /// Whether a piece starts from the sum of those before it.
    pub started: bool,
    /// First element of the input and of the output.
    pub offsets: [usize; 2],
}

impl CumSum {
    /// Widest row that one lane goes along.
    pub const LONG: usize = 16_384;
    /// Values of a piece of a longer one, at least.
    pub const PIECE: usize = 2048;

    /// Values of a piece.
    pub fn piece(&self) -> usize {
        self.width.div_ceil(self.pieces)
    }
}

impl Archetype for CumSum {
    fn name(&self) -> String {
        "cumsum".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG).flag("REVERSE", self.reverse).flag("STARTED", self.started);
        let start = if self.started { "starts[item]" } else { "0.0" };
        s.line(format!("fn start(item: u32) -> f32 {{ return {start}; }}"));
        s.finish(shader!("cumsum.wgsl"))
    }

    /// Input, sums of the pieces, output.
    fn bindings(&self) -> Vec<Binding> {
        let [from, to] = self.offsets.map(|o| o..o + self.rows * self.width);
        let mut all = vec![Binding::read("x", Element::F32, from)];
        all.extend(self.started.then(|| Binding::read("starts", Element::F32, 0..self.rows * self.pieces)));
        all.push(Binding::write("out", Element::F32, to));
        all
    }

    fn dims(&self) -> Dims {
        let [x, out] = self.offsets;
        let d = Dims::new().u32("rows", self.rows).u32("width", self.width).u32("x_offset", x).u32("out_offset", out);
        d.u32("pieces", self.pieces).u32("piece", self.piece())
    }

    /// A thread a piece.
    fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.pieces).div_ceil(WG))
    }

    fn turns(&self) -> usize {
        self.piece()
    }

    fn flops(&self) -> u64 {
        flops(self.rows * self.width, 1)
    }
}
