//! Running sums over rows.

use super::lib::binding::{Access, Binding, Element};
use super::lib::dims::Dims;
use super::lib::grid::fold;
use super::lib::source::Source;

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

    /// Turns of the longest lane's loops.
    pub(super) fn turns(&self) -> usize {
        self.piece()
    }
    /// Input, sums of the pieces, output.
    pub fn bindings(&self) -> Vec<Binding> {
        let [from, to] = self.offsets.map(|o| o..o + self.rows * self.width);
        let mut all = vec![Binding::read("x", Element::F32, from)];
        all.extend(self.started.then(|| Binding::read("starts", Element::F32, 0..self.rows * self.pieces)));
        all.push(Binding::write("out", Element::F32, to));
        all
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32", &self.dims());
        s.number("WG", WG).flag("REVERSE", self.reverse).flag("STARTED", self.started).buffer("x", Access::Read, "f32");
        if self.started {
            s.buffer("starts", Access::Read, "f32").line("fn start(item: u32) -> f32 { return starts[item]; }");
        } else {
            s.line("fn start(item: u32) -> f32 { return 0.0; }");
        }
        s.buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/cumsum.wgsl"))
    }
    /// Input, sums of the pieces, output.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read; 1 + usize::from(self.started)];
        a.push(Access::Write);
        a
    }
    /// Its sizes.
    pub(crate) fn dims(&self) -> Dims {
        let [x, out] = self.offsets;
        let d = Dims::new().u32("rows", self.rows).u32("width", self.width).u32("x_offset", x).u32("out_offset", out);
        d.u32("pieces", self.pieces).u32("piece", self.piece())
    }
    /// A thread a piece.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.pieces).div_ceil(WG))
    }
}
