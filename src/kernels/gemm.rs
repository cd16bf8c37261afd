//! Matrix products.

pub(crate) mod direct;
mod ending;
mod load;
mod looked_up;
mod pieces;
mod places;
mod side;
pub(crate) mod tile;

pub use places::{Matrix, Operand, Output, Patches, Plane, Scattered, Walk};

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::draw::{DRAW_WORDS, Draw, ROUNDS, kinds};
use super::lib::flops::flops;
use super::lib::halves::Halves;
use super::lib::limits::MAX_GROUPS;
use super::lib::source::{Source, shader};
use super::lib::target::{Registers, Target};
use super::lib::word::word;
use crate::expr::Expr;
use crate::graph::Distribution;
use ending::read;
use looked_up::{by_elements, one_hot};
use side::Side;
use tile::Tile;

/// What makes a gemm's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GemmSpec {
    /// A is stored `[k, m]`.
    pub ta: bool,
    /// B is stored `[n, k]`.
    pub tb: bool,
    /// What A is.
    pub a: Operand,
    /// What B is: a matrix or patches.
    pub b: Operand,
    /// Of patches: their taps are more than a word has bits.
    pub many_taps: bool,
    /// A can be read four elements at a time.
    pub va: bool,
    /// B can be read four elements at a time.
    pub vb: bool,
    /// Results are written, and the extras read, four columns at a time.
    pub vc: bool,
    /// How the work is cut.
    pub tile: Tile,
    /// Inputs: the product, the extras, what is drawn. Outputs: what is stored.
    pub epilogue: Expr,
    /// What the epilogue draws, by kind.
    pub draws: Vec<Distribution>,
    /// Also sums A over k: a bias' gradient on the way to the weight's.
    pub row_sum: bool,
    /// The result (outputs, then row sums) through whose binding each is written: its own, or that of an earlier one in the same buffer.
    pub via: Vec<usize>,
    /// What is f16: of A, B, the extras; of the outputs.
    pub halves: Halves,
}

impl GemmSpec {
    /// A product that is stored as it is, read and written element by element, all of it f32.
    pub fn new([ta, tb]: [bool; 2], tile: Tile) -> Self {
        let (epilogue, halves) = (Expr::identity(), Halves::default());
        GemmSpec {
            ta,
            tb,
            a: Operand::Matrix,
            b: Operand::Matrix,
            many_taps: false,
            va: false,
            vb: false,
            vc: false,
            tile,
            epilogue,
            draws: vec![],
            row_sum: false,
            via: vec![0],
            halves,
        }
    }
}

/// `C = epilogue(A B)`. Buffers: A, B, extras, the state if anything is drawn, the tables if they say where anything lies, outputs, row sums.
#[derive(Debug, Clone)]
pub struct Gemm {
    /// Its pipeline.
    pub spec: GemmSpec,
    /// Rows of the product.
    pub m: usize,
    /// Columns of the product.
    pub n: usize,
    /// Terms of a sum.
    pub k: usize,
    /// Matrices along both axes of the batch. Where one axis is enough the first is 1, and the shader knows of one only.
    pub batch: [usize; 2],
    /// The left operand.
    pub a: Matrix,
    /// The number that stands for a row of zeros, where A has one-hot rows.
    pub nothing: Option<usize>,
    /// The right operand.
    pub b: Matrix,
    /// How the patches lie, where a factor is patches; it begins where its matrix would.
    pub patches: Option<Patches>,
    /// The epilogue's operands.
    pub extras: Vec<Plane>,
    /// What the epilogue draws, one number for each element of the result.
    pub draws: Vec<Draw>,
    /// Where each output goes, `[batch, m, n]`.
    pub outputs: Vec<Output>,
    /// The first element of the row sums, `[batch, m]`.
    pub row_sum: usize,
}

impl Gemm {
    /// A single product of matrices without gaps.
    pub fn new(spec: GemmSpec, [m, n, k]: [usize; 3]) -> Self {
        let (a, b) = (Matrix::new(0, if spec.ta { m } else { k }), Matrix::new(0, if spec.tb { k } else { n }));
        Gemm {
            spec,
            m,
            n,
            k,
            batch: [1, 1],
            a,
            nothing: None,
            b,
            patches: None,
            extras: vec![],
            draws: vec![],
            outputs: vec![0.into()],
            row_sum: 0,
        }
    }

    /// How many matrices the batch has.
    pub fn matrices(&self) -> usize {
        self.batch[0] * self.batch[1]
    }

    /// How far the matrix with this number lies from the first one, by these steps.
    pub fn along_batch(&self, steps: [usize; 2], matrix: usize) -> usize {
        matrix / self.batch[1] * steps[0] + matrix % self.batch[1] * steps[1]
    }

    /// The same in the shader, by the steps of `x`.
    pub(super) fn over_batch(&self, x: &str) -> String {
        if self.batch[0] == 1 {
            return format!("batch * d.{x}_batch");
        }
        format!("batch / d.matrices_inner * d.{x}_batch_outer + batch % d.matrices_inner * d.{x}_batch")
    }

    pub(super) fn batch_dims(&self, d: Dims, x: &str, [outer, inner]: [usize; 2]) -> Dims {
        let d = d.u32(format!("{x}_batch"), inner);
        if self.batch[0] == 1 { d } else { d.u32(format!("{x}_batch_outer"), outer) }
    }

    /// How many buffers it reads.
    pub(crate) fn reads(&self) -> usize {
        2 + self.extras.len() + usize::from(!self.draws.is_empty()) + usize::from(self.looks_up())
    }

    /// Whether it reads tables.
    fn looks_up(&self) -> bool {
        self.patches.is_some() || self.outputs.iter().any(|o| o.scattered.is_some())
    }

    /// Words of `dims` that patches need beside.
    pub(crate) const PATCHES: usize = 7;

    /// Words of `dims` that it needs at most.
    pub(crate) fn words(extras: usize, draws: usize, outputs: usize) -> usize {
        3 + 2 * 4 + 3 + extras * 5 + draws * DRAW_WORDS + outputs * 4
    }

    /// The same product with random numbers for the epilogue.
    pub fn drawing(mut self, draws: Vec<Draw>) -> Self {
        self.spec.draws = kinds(&draws);
        self.draws = draws;
        self
    }

    /// Most numbers of such a product: its sums are not cut, and no lane may turn long ([`MOST_TURNS`](crate::kernels::MOST_TURNS)).
    const NUMBERS: usize = 4096;

    /// Whether rows are summed up by number as a product with one-hot rows: for so many numbers and rows of the table. The terms of a sum are in
    /// their order where they are not cut. Software adapters sort faster.
    pub fn sums_by_number(target: Target, numbers: usize, rows: usize) -> bool {
        target == Target::Gpu && rows <= 512 && numbers <= Self::NUMBERS
    }

    /// The sums of rows by number, `[rows, width]`: the numbers of the rows, and the rows one behind the other.
    pub fn by_number(target: Target, registers: Registers, size @ [rows, width, numbers]: [usize; 3]) -> Self {
        let tile = match Tile::choose(target, registers, size) {
            // its threads share the terms of a sum, which are to stay in order
            Tile::Split => Tile::SMALL,
            other => other,
        };
        let mut gemm = Gemm::new(GemmSpec { a: Operand::OneHot, ..GemmSpec::new([true, false], tile) }, [rows, width, numbers]);
        gemm.a.pitch = 1;
        gemm
    }

    /// Layout, and what the epilogue calls: of every kind of tile.
    pub(super) fn begin(&self, s: &mut Source) {
        let GemmSpec { ta, tb, epilogue, row_sum, .. } = &self.spec;
        s.flag("TA", *ta).flag("TB", *tb).flag("ROW_SUM", *row_sum).math(epilogue);
        if !self.draws.is_empty() {
            s.random();
        }
    }

    /// Whether the terms fill whole slices, so that a loader need not ask where they end.
    fn is_whole(&self) -> bool {
        let slice = if let Tile::Staged { depth, .. } = self.spec.tile { depth } else { 4 };
        self.k > 0 && self.k.is_multiple_of(slice)
    }

    /// `tile_of`: from a workgroup to its tile's column, row and matrix. Where one axis of the grid cannot hold them all they are counted
    /// along two, and some at the end are idle.
    pub(super) fn tiles(&self, s: &mut Source, rows: usize, columns: usize) {
        let folded = self.folded(rows, columns).is_some();
        s.flag("FOLDED", folded).line("fn tile_of(group: vec3<u32>) -> vec3<u32> {");
        if folded {
            s.line(format!("    let i = group.y * {MAX_GROUPS}u + group.x;"));
            s.line(format!("    let across = (d.n - 1u) / {columns}u + 1u;\n    let down = (d.m - 1u) / {rows}u + 1u;"));
            s.line("    return vec3<u32>(i % across, i / across % down, i / across / down);\n}");
        } else {
            s.line("    return group;\n}");
        }
    }

    /// Its tiles in all, where they are too many along one axis of the grid.
    fn folded(&self, rows: usize, columns: usize) -> Option<usize> {
        let axes = [self.n.div_ceil(columns), self.m.div_ceil(rows), self.matrices()];
        axes.iter().any(|&g| g > MAX_GROUPS).then(|| axes.iter().fold(1, |all: usize, &g| all.saturating_mul(g)))
    }

    /// A workgroup for every tile of so many rows and columns.
    pub(super) fn grid_of(&self, rows: usize, columns: usize) -> [u32; 3] {
        let axes = match self.folded(rows, columns) {
            Some(all) => [MAX_GROUPS, all.div_ceil(MAX_GROUPS), 1],
            None => [self.n.div_ceil(columns), self.m.div_ceil(rows), self.matrices()],
        };
        axes.map(word)
    }

    /// Whether results can be written four columns at a time, and the extras read so.
    pub(super) fn fits_fours(&self) -> bool {
        let whole = |e: &Plane| match e.column {
            0 => true,
            1 => [e.offset, e.row, e.batch[0], e.batch[1]].iter().all(|v| v.is_multiple_of(4)),
            _ => false,
        };
        let starts = |o: &Output| {
            let (pitch, [outer, inner]) = o.within.unwrap_or_default();
            // rows that lie apart in images are whole channels of them
            let image = o.scattered.map_or(0, |s| s.image);
            [o.offset, pitch, outer, inner, image].iter().all(|v| v.is_multiple_of(4))
        };
        self.n.is_multiple_of(4) && self.outputs.iter().all(starts) && self.extras.iter().all(whole)
    }

    /// The same product, whose factors are read four elements at a time where they can be.
    pub fn reading_fours(mut self) -> Self {
        let fours = |of: Operand, x: &Matrix, minor: usize| match (of, self.patches) {
            (Operand::Matrix, _) => x.in_fours(minor),
            (Operand::Patches, Some(p)) => x.in_fours(p.channels) && p.image.is_multiple_of(4),
            _ => false,
        };
        let (ta, tb) = (self.spec.ta, self.spec.tb);
        let both =
            (fours(self.spec.a, &self.a, if ta { self.m } else { self.k }), fours(self.spec.b, &self.b, if tb { self.k } else { self.n }));
        (self.spec.va, self.spec.vb) = both;
        self.spec.many_taps = self.patches.is_some_and(|p| p.taps > 32);
        self
    }

    /// The same product, whose results are written four columns at a time if they can be.
    pub fn by_vectors(mut self) -> Self {
        // a thread of the split tile stores one element
        self.spec.vc = self.spec.tile != Tile::Split && self.fits_fours();
        self
    }
}

impl Archetype for Gemm {
    fn name(&self) -> String {
        let t = |t| if t { 't' } else { 'n' };
        format!("gemm_{}{}", t(self.spec.ta), t(self.spec.tb))
    }

    fn source(&self) -> String {
        let GemmSpec { ta, tb, va, vb, tile, halves, .. } = &self.spec;
        let mut s = Source::new(Element::F32.by_fours(self.spec.vc), self);
        self.begin(&mut s);
        let whole = self.is_whole();
        let a = Side { name: "a", rows: "m", turned: *ta, vector: *va, half: halves.input(0), whole };
        let b = Side { name: "b", rows: "n", turned: !*tb, vector: *vb, half: halves.input(1), whole };
        for (of, side) in [(self.spec.a, &a), (self.spec.b, &b)] {
            // the contiguous axis' extent, where reads must not run past the end
            let extent = if side.turned { format!("d.{}", side.rows) } else { "d.k".into() };
            match (of, tile) {
                // k only ends in the scalar tail
                (Operand::Matrix, Tile::Direct { .. }) => self.elements(&mut s, side.name, (side.vector, side.half), &extent),
                (Operand::Matrix, _) => self.matrix(&mut s, side),
                (Operand::Patches, Tile::Direct { .. }) => self.patches(&mut s, side, &extent),
                (Operand::Patches, _) => self.patch_loader(&mut s, side),
                (Operand::OneHot, Tile::Direct { .. }) => one_hot(&mut s),
                (Operand::OneHot, _) => {
                    one_hot(&mut s);
                    by_elements(&mut s, side);
                }
            }
        }
        if let Tile::Direct { rows, vectors, shared } = *tile {
            s.number("ROWS", rows).number("NV", vectors);
            let (rows_found, columns_found) = (self.spec.a == Operand::Patches && !ta, self.spec.b == Operand::Patches && !tb);
            direct::Turns { rows, vectors, shared, ta: *ta, rows_found, columns_found }.print(&mut s);
        }
        if let Tile::Staged { rows, columns, depth, each: [rm, rn] } = tile {
            s.number("BM", *rows).number("BN", *columns).number("BK", *depth).number("RM", *rm).number("RN", *rn);
            s.flag("ONE_HOT", self.spec.a == Operand::OneHot);
        }
        self.stores(&mut s);
        self.tiles(&mut s, tile.rows(), tile.columns());
        s.finish(match tile {
            Tile::Direct { .. } => shader!("gemm_direct.wgsl"),
            Tile::Staged { .. } => shader!("gemm_tile.wgsl"),
            Tile::Split => shader!("gemm_split.wgsl"),
        })
    }

    /// A, B, extras, the state, the tables, outputs, row sums.
    fn bindings(&self) -> Vec<Binding> {
        let GemmSpec { ta, tb, va, vb, halves, .. } = &self.spec;
        let (batch, m, n, k) = (self.batch, self.m, self.n, self.k);
        let factor = |name: &str, i: usize, x: &Matrix, rows: usize, columns: usize, four: bool| {
            let steps = [(batch[0], x.batch[0]), (batch[1], x.batch[1]), (rows, x.pitch), (columns, 1)];
            read(name.into(), Element::float(halves.input(i)).by_fours(four), x.offset, steps)
        };
        let patches = |name: &str, i: usize, x: &Matrix, rows: usize, four: bool| {
            let images = |p: Patches| (p.first + (self.matrices() - 1) * p.apart + rows).div_ceil(p.positions.max(1));
            let size = self.patches.map_or(0, |p| images(p) * p.image);
            Binding::read(name.to_string(), Element::float(halves.input(i)).by_fours(four), x.offset..x.offset + size)
        };
        let one = |name: &'static str, i: usize, of: Operand, x: &Matrix, [rows, columns]: [usize; 2], four: bool| match of {
            Operand::Matrix => factor(name, i, x, rows, columns, four),
            Operand::Patches => patches(name, i, x, rows, four),
            Operand::OneHot => read(name.into(), Element::U32, x.offset, [(1, 0), (1, 0), (rows, x.pitch), (1, 1)]),
        };
        let (stored_a, stored_b) = (if *ta { [k, m] } else { [m, k] }, if *tb { [n, k] } else { [k, n] });
        let mut all = vec![one("a", 0, self.spec.a, &self.a, stored_a, *va), one("b", 1, self.spec.b, &self.b, stored_b, *vb)];
        all.extend(self.ending(2));
        all
    }

    fn dims(&self) -> Dims {
        let mut d = Dims::new().u32("m", self.m).u32("n", self.n).u32("k", self.k);
        for (name, x) in [("a", &self.a), ("b", &self.b)] {
            d = d.u32(format!("{name}_offset"), x.offset).u32(format!("{name}_pitch"), x.pitch);
            d = self.batch_dims(d, name, x.batch);
        }
        if let Some(p) = self.patches {
            d = d.u32("image", p.image).u32("positions", p.positions).u32("words", p.words());
            d = d.u32("terms", p.terms).u32("starts", p.starts).u32("first", p.first).u32("apart", p.apart);
        }
        if self.spec.a == Operand::OneHot {
            // where there is none a number that no row has
            d = d.word("a_nothing", self.nothing.map_or(u32::MAX, word));
        }
        self.sizes_of_ending(d.u32("matrices", self.matrices()))
    }

    /// A workgroup for every tile.
    fn grid(&self) -> [u32; 3] {
        self.grid_of(self.spec.tile.rows(), self.spec.tile.columns())
    }

    fn turns(&self) -> usize {
        let (product, stored) = match self.spec.tile {
            Tile::Direct { rows, vectors, .. } => (self.k / 4 + 4 * rows * (1 + 6 * vectors), 4 * rows * vectors),
            Tile::Staged { depth, each: [rows, columns], .. } => {
                (self.k.div_ceil(depth) * (64 + depth * (1 + rows * (1 + columns / 4))), rows * columns)
            }
            Tile::Split => (self.k.div_ceil(64) * 28 + 256, 1),
        };
        product + stored * self.draws.len() * ROUNDS
    }

    fn flops(&self) -> u64 {
        flops(self.matrices() * self.m * self.n, 2 * self.k + self.spec.epilogue.flops())
    }

    /// The epilogue, unless the product is stored as it is.
    fn formula(&self) -> Option<(&Expr, usize)> {
        let f = &self.spec.epilogue;
        (!f.is_identity()).then_some((f, self.matrices() * self.m * self.n))
    }
}
