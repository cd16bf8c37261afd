//! Matrix products.

pub(crate) mod direct;
pub(crate) mod tile;

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::halves::Halves;
use super::lib::halves::{rounded, widened};
use super::lib::limits::MAX_GROUPS;
use super::lib::source::{BLOCK, Source, shader};
use super::lib::word::word;
use crate::expr::Expr;
use tile::Tile;

/// A stored matrix: `major` rows of `minor` contiguous elements, `pitch` apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// First element.
    pub offset: usize,
    /// Elements from one stored row to the next.
    pub pitch: usize,
    /// Elements from one matrix of the batch to the next.
    pub batch: usize,
}

impl Matrix {
    /// Whether it can be read four elements at a time: where rows start at fours.
    pub(crate) fn in_fours(&self) -> bool {
        self.pitch.is_multiple_of(4) && self.offset.is_multiple_of(4)
    }
}

/// An operand of the epilogue, read at (batch, row, column).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// First element.
    pub offset: usize,
    /// Step along rows; 0 repeats.
    pub row: usize,
    /// Step along columns; 0 repeats.
    pub column: usize,
    /// Step along the batch.
    pub batch: usize,
}

/// What makes a gemm's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GemmSpec {
    /// A is stored `[k, m]`.
    pub ta: bool,
    /// B is stored `[n, k]`.
    pub tb: bool,
    /// A can be read four elements at a time.
    pub va: bool,
    /// B can be read four elements at a time.
    pub vb: bool,
    /// Results are written, and the extras read, four columns at a time.
    pub vc: bool,
    /// How the work is cut.
    pub tile: Tile,
    /// Inputs: the product, then the extras. Outputs: what is stored.
    pub epilogue: Expr,
    /// Also sums A over k: a bias' gradient on the way to the weight's.
    pub row_sum: bool,
    /// The result (outputs, then row sums) through whose binding each is written: its own, or that of an earlier one in the same buffer.
    pub via: Vec<usize>,
    /// What is f16: of A, B, the extras; of the outputs.
    pub halves: Halves,
}

/// `C = epilogue(A B)`. Buffers: A, B, extras, outputs, row sums.
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
    /// Matrices in the batch.
    pub batch: usize,
    /// The left operand.
    pub a: Matrix,
    /// The right operand.
    pub b: Matrix,
    /// The epilogue's operands.
    pub extras: Vec<Plane>,
    /// The first element of each output, `[batch, m, n]` without gaps.
    pub outputs: Vec<usize>,
    /// The first element of the row sums.
    pub row_sum: usize,
}

impl Gemm {
    /// Most terms of a sum that are not cut. More are cut into pieces, whose results are added up.
    const LONG: usize = 65_536;
    /// Terms of a piece where there is room for as many results as that makes.
    const PIECE: usize = 4096;
    /// Terms of a piece at most.
    const MOST: usize = 131_072;
    /// Elements of all pieces' results, where a piece need not be longer for it.
    const ROOM: usize = 1 << 22;

    /// Into how many pieces so many terms are cut, for a result of so many elements.
    pub fn pieces_for(terms: usize, size: usize) -> usize {
        if terms <= Self::LONG {
            return 1;
        }
        terms.div_ceil(Self::PIECE).min(Self::ROOM / size.max(1)).max(terms.div_ceil(Self::MOST))
    }

    /// Layout, and what the epilogue calls: of every kind of tile.
    pub(super) fn begin(&self, s: &mut Source) {
        let GemmSpec { ta, tb, epilogue, row_sum, .. } = &self.spec;
        s.flag("TA", *ta).flag("TB", *tb).flag("ROW_SUM", *row_sum).math(epilogue);
    }

    /// `store` and `store_row_sum`: the epilogue, and where results go.
    pub(super) fn stores(&self, s: &mut Source) {
        let GemmSpec { vc, epilogue, row_sum, via, halves, .. } = &self.spec;
        let vector = if *vc { " / 4u" } else { "" };
        s.line("fn store(batch: u32, row: u32, col: u32, x0: V) {");
        for (i, e) in self.extras.iter().enumerate() {
            let four = self.fours(e);
            let at = format!("d.extra{i}_offset + row * d.extra{i}_row + col * d.extra{i}_column + batch * d.extra{i}_batch");
            let place = if four { format!("extra{i}[({at}) / 4u]") } else { format!("extra{i}[{at}]") };
            s.line(format!("    let x{} = V({});", i + 1, widened(halves.input(2 + i), four, place)));
        }
        let names: Vec<String> = (0..=self.extras.len()).map(|i| format!("x{i}")).collect();
        let printed = epilogue.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        s.line("    let at = (batch * d.m + row) * d.n + col;");
        for (o, name) in printed.outputs.iter().enumerate() {
            let value = rounded(halves.output(o), *vc, name.clone());
            s.line(format!("    out{}[(d.out{o}_offset + at){vector}] = {value};", via[o]));
        }
        s.line("}");
        let sum = via.last().filter(|_| *row_sum).map_or(String::new(), |&v| {
            // beside results that are written as vectors
            let place = if *vc && v < self.outputs.len() { "[at / 4u][at % 4u]" } else { "[at]" };
            format!("let at = d.row_sum_offset + row; out{v}{place} = value;")
        });
        s.line(format!("fn store_row_sum(row: u32, value: f32) {{ {sum} }}"));
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
        let axes = [self.n.div_ceil(columns), self.m.div_ceil(rows), self.batch];
        axes.iter().any(|&g| g > MAX_GROUPS).then(|| axes.iter().fold(1, |all: usize, &g| all.saturating_mul(g)))
    }

    /// A workgroup for every tile of so many rows and columns.
    pub(super) fn grid_of(&self, rows: usize, columns: usize) -> [u32; 3] {
        let axes = match self.folded(rows, columns) {
            Some(all) => [MAX_GROUPS, all.div_ceil(MAX_GROUPS), 1],
            None => [self.n.div_ceil(columns), self.m.div_ceil(rows), self.batch],
        };
        axes.map(word)
    }

    /// Whether an extra is bound as vectors of four columns. Where results are vectors the other extras have one value for all columns; else all is read one by one.
    fn fours(&self, e: &Plane) -> bool {
        self.spec.vc && e.column == 1
    }

    /// Whether results can be written four columns at a time, and the extras read so.
    fn in_fours(&self) -> bool {
        let whole = |e: &Plane| match e.column {
            0 => true,
            1 => [e.offset, e.row, e.batch].iter().all(|v| v.is_multiple_of(4)),
            _ => false,
        };
        // a thread of the split tile stores one element
        let tile = self.spec.tile != Tile::Split;
        tile && self.n.is_multiple_of(4) && self.outputs.iter().all(|o| o.is_multiple_of(4)) && self.extras.iter().all(whole)
    }

    /// The same product, whose results are written four columns at a time if they can be.
    pub fn by_vectors(mut self) -> Self {
        self.spec.vc = self.in_fours();
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
        match tile {
            Tile::Direct { rows, vectors, .. } => s.number("ROWS", *rows).number("NV", *vectors),
            Tile::Staged { rows, columns, depth, each: [rm, rn] } => {
                s.number("BM", *rows).number("BN", *columns).number("BK", *depth).number("RM", *rm).number("RN", *rn).file(BLOCK)
            }
            Tile::Split => s.file(BLOCK),
        };
        // the contiguous axis' extent, where reads must not run past the end: k only ends in the scalar tail
        load(&mut s, "a", (*va, halves.input(0)), if *ta { "d.m" } else { "d.k" });
        load(&mut s, "b", (*vb, halves.input(1)), if *tb { "d.k" } else { "d.n" });
        if let Tile::Direct { rows, vectors, shared } = *tile {
            direct::sums(&mut s, rows, vectors, shared, *ta);
        }
        self.stores(&mut s);
        store_four(&mut s, self.spec.vc);
        self.tiles(&mut s, tile.rows(), tile.columns());
        s.finish(match tile {
            Tile::Direct { .. } => shader!("gemm_direct.wgsl"),
            Tile::Staged { .. } => shader!("gemm_tile.wgsl"),
            Tile::Split => shader!("gemm_split.wgsl"),
        })
    }

    /// A, B, extras, outputs, row sums.
    fn bindings(&self) -> Vec<Binding> {
        let GemmSpec { ta, tb, va, vb, vc, row_sum, via, halves, .. } = &self.spec;
        let (batch, m, n, k) = (self.batch, self.m, self.n, self.k);
        let factor = |name: &'static str, i: usize, x: &Matrix, [rows, columns]: [usize; 2], four: bool| {
            let empty = batch * rows * columns == 0;
            let last = if empty { 0 } else { (batch - 1) * x.batch + (rows - 1) * x.pitch + columns };
            // a single matrix serves for the whole batch
            let moved = rows * columns * if x.batch == 0 { batch.min(1) } else { batch };
            Binding::read(name, Element::float(halves.input(i)).by_fours(four), x.offset..x.offset + last).moving(moved)
        };
        let turned = |[x, y]: [usize; 2], turn: bool| if turn { [y, x] } else { [x, y] };
        let mut all = vec![factor("a", 0, &self.a, turned([m, k], *ta), *va), factor("b", 1, &self.b, turned([k, n], *tb), *vb)];
        for (i, e) in self.extras.iter().enumerate() {
            let steps = [(batch, e.batch), (m, e.row), (n, e.column)];
            let empty = batch * m * n == 0;
            let last = if empty { 0 } else { steps.iter().map(|(d, step)| (d - 1) * step).sum::<usize>() + 1 };
            let moved = if empty { 0 } else { steps.iter().filter(|s| s.1 > 0).map(|s| s.0).product() };
            let of = Element::float(halves.input(2 + i)).by_fours(self.fours(e));
            all.push(Binding::read(format!("extra{i}"), of, e.offset..e.offset + last).moving(moved));
        }
        // the row sums come after the outputs
        let results = self.outputs.iter().map(|&at| at..at + batch * m * n).chain(row_sum.then(|| self.row_sum..self.row_sum + m));
        let first = all.len();
        for (o, span) in results.enumerate() {
            let of = Element::float(halves.output(o)).by_fours(*vc && o < self.outputs.len());
            all.push(Binding::write(format!("out{o}"), of, span).bound_through(first + o, first + via[o]));
        }
        all
    }

    fn dims(&self) -> Dims {
        let mut d = Dims::new().u32("m", self.m).u32("n", self.n).u32("k", self.k);
        for (name, x) in [("a", &self.a), ("b", &self.b)] {
            d = d.u32(format!("{name}_offset"), x.offset).u32(format!("{name}_pitch"), x.pitch).u32(format!("{name}_batch"), x.batch);
        }
        d = d.u32("matrices", self.batch).u32("row_sum_offset", self.row_sum);
        for (i, e) in self.extras.iter().enumerate() {
            d = d.u32(format!("extra{i}_offset"), e.offset).u32(format!("extra{i}_row"), e.row);
            d = d.u32(format!("extra{i}_column"), e.column).u32(format!("extra{i}_batch"), e.batch);
        }
        self.outputs.iter().enumerate().fold(d, |d, (o, &offset)| d.u32(format!("out{o}_offset"), offset))
    }

    /// A workgroup for every tile.
    fn grid(&self) -> [u32; 3] {
        self.grid_of(self.spec.tile.rows(), self.spec.tile.columns())
    }

    fn turns(&self) -> usize {
        match self.spec.tile {
            Tile::Direct { rows, vectors, .. } => self.k / 4 + 4 * rows * (1 + 6 * vectors),
            Tile::Staged { depth, each: [rows, columns], .. } => self.k.div_ceil(depth) * (64 + depth * (1 + rows * (1 + columns / 4))),
            Tile::Split => self.k.div_ceil(64) * 24 + 256,
        }
    }

    fn flops(&self) -> u64 {
        flops(self.batch * self.m * self.n, 2 * self.k + self.spec.epilogue.flops())
    }

    /// The epilogue, unless the product is stored as it is.
    fn formula(&self) -> Option<(&Expr, usize)> {
        let f = &self.spec.epilogue;
        (!f.is_identity()).then_some((f, self.batch * self.m * self.n))
    }
}

/// `store_four`: those of four columns that C has.
fn store_four(s: &mut Source, vector: bool) {
    s.line("fn store_four(batch: u32, row: u32, col: u32, n: u32, x: vec4<f32>) {");
    s.line(if vector {
        "    if (col < n) { store(batch, row, col, x); }\n}"
    } else {
        "    for (var j = 0u; j < 4u; j++) {\n        if (col + j < n) { store(batch, row, col + j, x[j]); }\n    }\n}"
    });
}

/// `x1` and `x4`: one element, or four along the contiguous axis, of the stored matrix `x`.
fn load(s: &mut Source, x: &str, (vector, half): (bool, bool), extent: &str) {
    let base = format!("d.{x}_offset + batch * d.{x}_batch + major * d.{x}_pitch");
    s.line(format!("fn {x}1(batch: u32, major: u32, minor: u32) -> f32 {{\n    let i = {base} + minor;"));
    if vector {
        s.line(format!("    return {};\n}}", widened(half, false, format!("{x}[i / 4u][i % 4u]"))));
        let four = widened(half, true, format!("{x}[({base} + min(minor, {extent} - 4u)) / 4u]"));
        s.line(format!("fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f32> {{\n    return {four};\n}}"));
    } else {
        s.line(format!("    return {};\n}}", widened(half, false, format!("{x}[i]"))));
        s.line(format!(
            "fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f32> {{\n    let i = {base};\n    let last = {extent} - 1u;\n    \
             return {};\n}}",
            widened(
                half,
                true,
                format!(
                    "{}({x}[i + min(minor, last)], {x}[i + min(minor + 1u, last)], {x}[i + min(minor + 2u, last)], {x}[i + min(minor + 3u, last)])",
                    Element::float(half).by_fours(true)
                )
            )
        ));
    }
}
