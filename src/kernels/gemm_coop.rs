//! `gemm` on cooperative matrices, which drivers give to tensor cores.

use super::source::Source;
use super::{Access, CoopCaps, CoopTile, Gemm, GemmSpec, Halves, Matrix, Plane, Tile, owners, to_words};
use crate::expr::Expr;
use crate::tensor::DType;
use std::fmt::Write;

/// Element types of a product's buffers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GemmTypes {
    /// Of the left operand.
    pub a: DType,
    /// Of the right operand.
    pub b: DType,
    /// Of the epilogue's operands: f32 or f16.
    pub extras: Vec<DType>,
    /// Of what is stored: f32 or f16. Row sums are f32.
    pub outputs: Vec<DType>,
}

/// What makes the pipeline of a product on cooperative matrices.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CoopSpec {
    /// A is stored `[k, m]`.
    pub ta: bool,
    /// B is stored `[n, k]`.
    pub tb: bool,
    /// A can be read four elements at a time.
    pub va: bool,
    /// B can be read four elements at a time.
    pub vb: bool,
    /// How the work is cut.
    pub tile: CoopTile,
    /// Inputs: the product, then the extras. Outputs: what is stored.
    pub epilogue: Expr,
    /// Also sums A over k.
    pub row_sum: bool,
    /// The result (outputs, then row sums) through whose binding each is written.
    pub via: Vec<usize>,
    /// Types of the epilogue's operands.
    pub extras: Vec<DType>,
    /// Types of what is stored.
    pub outputs: Vec<DType>,
}

/// `C = epilogue(A B)` with A and B in f16 and sums in f32. Buffers: A, B, extras, outputs, row sums. Offsets, pitches and steps count
/// elements of each buffer's own type.
#[derive(Debug, Clone)]
pub struct GemmCoop {
    /// Its pipeline.
    pub spec: CoopSpec,
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

impl GemmCoop {
    /// The product on this adapter's cooperative matrices, where it is worth it: operands in f16, no extent smaller than one matrix. Else
    /// `None`, and the ordinary [`Gemm`] serves.
    pub fn of(gemm: &Gemm, types: &GemmTypes, caps: &CoopCaps) -> Option<GemmCoop> {
        let tile = CoopTile::choose(caps, [gemm.spec.ta, gemm.spec.tb], [gemm.m, gemm.n])?;
        if gemm.k < tile.side { None } else { Self::with_tile(gemm, types, tile) }
    }

    /// The product cut by this tile, of any size; `None` where the types are not those of cooperative matrices.
    pub fn with_tile(gemm: &Gemm, types: &GemmTypes, tile: CoopTile) -> Option<GemmCoop> {
        let GemmSpec { ta, tb, ref epilogue, row_sum, ref via, .. } = gemm.spec;
        let float = |t: &DType| matches!(t, DType::F32 | DType::F16);
        let stored: Vec<DType> = types.outputs.iter().copied().chain(row_sum.then_some(DType::F32)).collect();
        // results that share a binding share its type
        let agree = stored.len() == via.len() && stored.iter().zip(via).all(|(t, &v)| *t == stored[v]);
        let known = types.extras.len() == gemm.extras.len() && types.extras.iter().chain(&types.outputs).all(float);
        if types.a != DType::F16 || types.b != DType::F16 || !agree || !known {
            return None;
        }
        // whole vectors, of nothing but the matrix: a term past its end would be added to the sum
        let fours = |x: &Matrix, minor: usize| [x.offset, x.pitch, x.batch, minor].iter().all(|v| v.is_multiple_of(4));
        let va = fours(&gemm.a, if ta { gemm.m } else { gemm.k });
        let vb = fours(&gemm.b, if tb { gemm.k } else { gemm.n });
        let (epilogue, via) = (epilogue.clone(), via.clone());
        let spec = CoopSpec { ta, tb, va, vb, tile, epilogue, row_sum, via, extras: types.extras.clone(), outputs: types.outputs.clone() };
        let Gemm { m, n, k, batch, a, b, row_sum, .. } = *gemm;
        Some(GemmCoop { spec, m, n, k, batch, a, b, extras: gemm.extras.clone(), outputs: gemm.outputs.clone(), row_sum })
    }

    /// The same product over elements in f32: what the CPU's twin runs once it has widened them.
    pub fn widened(&self) -> Gemm {
        let CoopSpec { ta, tb, ref epilogue, row_sum, ref via, .. } = self.spec;
        let tile = Tile::Direct { rows: 8, vectors: 1 };
        let spec = GemmSpec {
            ta,
            tb,
            va: false,
            vb: false,
            tile,
            epilogue: epilogue.clone(),
            row_sum,
            via: via.clone(),
            halves: Halves::default(),
        };
        let Self { m, n, k, batch, a, b, row_sum, .. } = *self;
        Gemm { spec, m, n, k, batch, a, b, extras: self.extras.clone(), outputs: self.outputs.clone(), row_sum }
    }

    /// The archetype and its layout.
    pub fn name(&self) -> String {
        let t = |t| if t { 't' } else { 'n' };
        format!("gemm_coop_{}{}", t(self.spec.ta), t(self.spec.tb))
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let CoopSpec { ta, tb, va, vb, tile, epilogue, row_sum, via, extras, outputs } = &self.spec;
        let element = |t: &DType| if *t == DType::F16 { "f16" } else { "f32" };
        let matrix = |v: bool| if v { "vec4<f16>" } else { "f16" };
        let mut s = Source::new("f32");
        s.buffer("a", Access::Read, matrix(*va)).buffer("b", Access::Read, matrix(*vb));
        for (i, t) in extras.iter().enumerate() {
            s.buffer(&format!("extra{i}"), Access::Read, element(t));
        }
        for o in (0..via.len()).filter(|&o| via[o] == o) {
            s.buffer(&format!("out{o}"), Access::Write, outputs.get(o).map_or("f32", element));
        }
        s.flag("TA", *ta).flag("TB", *tb).flag("ROW_SUM", *row_sum).math(epilogue);
        s.number("BM", tile.height()).number("BN", tile.width()).number("BK", tile.depth);
        s.number("SIDE", tile.side).number("LANES", tile.lanes).number("ACROSS", tile.across).number("THREADS", tile.threads());
        s.number("TILES_DOWN", tile.rows).number("TILES_ACROSS", tile.columns);
        let slices = tile.slices(*ta, *tb);
        for (x, [rows, columns]) in ["A", "B"].iter().zip(slices) {
            let pitch = (columns + CoopTile::PAD) / 4;
            s.number(&format!("{x}_COLS"), columns / 4).number(&format!("{x}_PITCH"), pitch).number(&format!("{x}_SIZE"), rows * pitch);
        }
        let extents = |turned: bool, [x, y]: [usize; 2]| if turned { [y, x] } else { [x, y] };
        load(&mut s, "a", 3, *va, extents(*ta, [0, 2]));
        load(&mut s, "b", 6, *vb, extents(*tb, [2, 1]));
        moves(&mut s, slices.map(|[rows, columns]| rows * columns / 4 / tile.threads()));
        products(&mut s, tile, *ta, *tb);
        s.line("fn store(batch: u32, row: u32, col: u32, x0: f32) {");
        for i in 0..extras.len() {
            let at = 11 + 4 * i;
            s.line(format!(
                "    let x{} = f32(extra{i}[dim({at}u) + row * dim({}u) + col * dim({}u) + batch * dim({}u)]);",
                i + 1,
                at + 1,
                at + 2,
                at + 3
            ));
        }
        let names: Vec<String> = (0..=extras.len()).map(|i| format!("x{i}")).collect();
        let printed = epilogue.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        s.line("    let at = (batch * dim(0u) + row) * dim(1u) + col;");
        for (o, name) in printed.outputs.iter().enumerate() {
            s.line(format!("    out{}[dim({}u) + at] = {}({name});", via[o], 11 + 4 * extras.len() + o, element(&outputs[o])));
        }
        s.line("}");
        let sum = via.last().filter(|_| *row_sum).map_or(String::new(), |v| format!("out{v}[dim(10u) + row] = value;"));
        s.line(format!("fn store_row_sum(row: u32, value: f32) {{ {sum} }}"));
        // directives stand before all else
        format!("enable f16;\nenable wgpu_cooperative_matrix;\n{}", s.finish(include_str!("../../shaders/gemm_coop.wgsl")))
    }

    /// A, B, extras, outputs, row sums.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read; 2 + self.extras.len()];
        a.resize(a.len() + owners(&self.spec.via), Access::Write);
        a
    }

    /// As [`Gemm::dims`].
    pub fn dims(&self) -> Vec<u32> {
        let mut d = vec![self.m, self.n, self.k];
        for x in [&self.a, &self.b] {
            d.extend([x.offset, x.pitch, x.batch]);
        }
        d.extend([0, self.row_sum]);
        for e in &self.extras {
            d.extend([e.offset, e.row, e.column, e.batch]);
        }
        d.extend(&self.outputs);
        to_words(d)
    }

    /// A workgroup for every tile.
    pub fn grid(&self) -> [u32; 3] {
        let t = self.spec.tile;
        [self.n.div_ceil(t.width()) as u32, self.m.div_ceil(t.height()) as u32, self.batch as u32]
    }
}

/// `x4`: four elements of the stored matrix whose offset, pitch and batch step stand in `dims` from `at` on, zeros past its ends: its
/// extents are those words of `dims`.
fn load(s: &mut Source, x: &str, at: usize, vector: bool, [major, minor]: [usize; 2]) {
    s.line(format!("fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f16> {{"));
    s.line("    var x = vec4<f16>();");
    s.line(format!("    let i = dim({at}u) + batch * dim({}u) + major * dim({}u) + minor;", at + 2, at + 1));
    s.line(format!("    let left = select(0u, dim({minor}u) - minor, major < dim({major}u) && minor < dim({minor}u));"));
    if vector {
        s.line(format!("    if (left > 0u) {{ x = {x}[i / 4u]; }}"));
    } else {
        for (e, lane) in ["x", "y", "z", "w"].iter().enumerate() {
            s.line(format!("    if (left > {e}u) {{ x.{lane} = {x}[i + {e}u]; }}"));
        }
    }
    s.line("    return x;\n}");
}

/// `fetch` and `stash`: what a thread carries of A's and B's next slices, this many vectors each. They and the sums are variables of their own: in
/// a struct naga gives them offsets, which SPIR-V does not allow outside of buffers, and drivers need not take for cooperative matrices.
fn moves(s: &mut Source, counts: [usize; 2]) {
    let all = || ["a", "b"].into_iter().zip(counts).flat_map(|(x, n)| (0..n).map(move |i| (x, i)));
    for (x, i) in all() {
        s.line(format!("var<private> next_{x}{i}: vec4<f16>;"));
    }
    s.line("fn fetch(batch: u32, row0: u32, col0: u32, k: u32, thread: u32) {");
    for (x, i) in all() {
        let first = if x == "a" { "row0" } else { "col0" };
        s.line(format!("    next_{x}{i} = fetch_{x}(batch, {first}, k, thread + {i}u * THREADS);"));
    }
    s.line("}\nfn stash(half: u32, thread: u32) {");
    for (x, i) in all() {
        s.line(format!("    tile_{x}[place_{x}(half, thread + {i}u * THREADS)] = next_{x}{i};"));
    }
    s.line("}");
}

/// The sums, `multiply` and `finish`: a line for each cooperative matrix, since a loop over an array of them need not be unrolled.
fn products(s: &mut Source, t: &CoopTile, ta: bool, tb: bool) {
    let side = t.side;
    let name = format!("coop_mat{side}x{side}");
    let cells = || (0..t.rows).flat_map(|i| (0..t.columns).map(move |j| (i, j)));
    for (i, j) in cells() {
        s.line(format!("var<private> z{i}_{j}: {name}<f32, C>;"));
    }
    s.line("fn multiply(half: u32, row1: u32, col1: u32) {");
    let by_columns = |turned: bool| if turned { "coopLoad" } else { "coopLoadT" };
    for k in (0..t.depth).step_by(side) {
        let mut block = "    {\n".to_string();
        for i in 0..t.rows {
            let at = if ta {
                format!("{k}u * A_PITCH + (row1 + {}u) / 4u", i * side)
            } else {
                format!("(row1 + {}u) * A_PITCH + {}u", i * side, k / 4)
            };
            // a slice that lies by columns of the matrix is read by columns
            let _ = writeln!(block, "        let a{i} = {}<{name}<f16, A>>(&tile_a[half * A_SIZE + {at}], A_PITCH);", by_columns(ta));
        }
        for j in 0..t.columns {
            let at = if tb {
                format!("(col1 + {}u) * B_PITCH + {}u", j * side, k / 4)
            } else {
                format!("{k}u * B_PITCH + (col1 + {}u) / 4u", j * side)
            };
            let _ = writeln!(block, "        let b{j} = {}<{name}<f16, B>>(&tile_b[half * B_SIZE + {at}], B_PITCH);", by_columns(tb));
        }
        for (i, j) in cells() {
            let _ = writeln!(block, "        z{i}_{j} = coopMultiplyAdd(a{i}, b{j}, z{i}_{j});");
        }
        s.line(block + "    }");
    }
    s.line("}\nfn finish(own: u32, lane: u32, batch: u32, row: u32, col: u32) {");
    for (i, j) in cells() {
        s.line(format!("    coopStoreT(z{i}_{j}, &scratch[own * (SIDE * SIDE)], SIDE);"));
        s.line(format!("    drain(own, lane, batch, row + {}u, col + {}u);", i * side, j * side));
    }
    s.line("}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Expr;

    const CAPS: CoopCaps = CoopCaps { side: 16, lanes: 32, workgroup_bytes: 48 << 10, threads: 1024 };

    fn gemm([m, n, k]: [usize; 3], row_sum: bool) -> (Gemm, GemmTypes) {
        let tile = Tile::Split;
        let via = if row_sum { vec![0, 1] } else { vec![0] };
        let spec = GemmSpec {
            ta: false,
            tb: true,
            va: false,
            vb: false,
            tile,
            epilogue: Expr::identity(),
            row_sum,
            via,
            halves: Halves::default(),
        };
        let matrix = |pitch| Matrix { offset: 0, pitch, batch: 0 };
        let gemm = Gemm { spec, m, n, k, batch: 1, a: matrix(k), b: matrix(k), extras: vec![], outputs: vec![0], row_sum: 0 };
        (gemm, GemmTypes { a: DType::F16, b: DType::F16, extras: vec![], outputs: vec![DType::F32] })
    }

    /// What the planner asks: which products go to the cooperative matrices.
    #[test]
    fn products_that_are_worth_it() {
        let (g, t) = gemm([512, 1024, 784], false);
        let of = |g: &Gemm, t: &GemmTypes| GemmCoop::of(g, t, &CAPS);
        let made = of(&g, &t).unwrap();
        assert!(made.spec.va && made.spec.vb && made.name() == "gemm_coop_nt" && made.grid() == [16, 8, 1]);
        let (sums, ts) = gemm([512, 1024, 784], true);
        assert!(of(&sums, &ts).unwrap().spec.row_sum);
        // too small along any axis
        for size in [[512, 10, 1024], [8, 1024, 1024], [512, 1024, 10]] {
            assert!(of(&gemm(size, false).0, &t).is_none(), "{size:?}");
        }
        // other types
        for other in [
            GemmTypes { a: DType::F32, ..t.clone() },
            GemmTypes { b: DType::F32, ..t.clone() },
            GemmTypes { outputs: vec![DType::U32], ..t.clone() },
            GemmTypes { extras: vec![DType::F32], ..t.clone() },
        ] {
            assert!(of(&g, &other).is_none(), "{other:?}");
        }
        // a binding has one type
        let mut together = sums.clone();
        together.spec.via = vec![0, 0];
        assert!(of(&together, &ts).is_some());
        assert!(of(&together, &GemmTypes { outputs: vec![DType::F16], ..ts }).is_none());
        // no matrices of that kind
        assert!(GemmCoop::of(&g, &t, &CoopCaps { side: 8, lanes: 16, ..CAPS }).is_none());
    }

    /// Vectors of four are whole and of nothing but the matrix.
    #[test]
    fn vectors_need_room() {
        let (g, t) = gemm([512, 1024, 784], false);
        let vectors = |change: &dyn Fn(&mut Gemm)| {
            let mut g = g.clone();
            change(&mut g);
            let made = GemmCoop::of(&g, &t, &CAPS).unwrap();
            (made.spec.va, made.spec.vb)
        };
        assert_eq!(vectors(&|_| {}), (true, true));
        assert_eq!(vectors(&|g| g.a.offset = 2), (false, true));
        assert_eq!(vectors(&|g| g.b.pitch = 785), (true, false));
        assert_eq!(vectors(&|g| g.k = 783), (false, false));
    }
}
