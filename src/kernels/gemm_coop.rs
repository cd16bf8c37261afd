//! `gemm` on cooperative matrices, which drivers give to tensor cores.

pub(crate) mod tile;

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::halves::Halves;
use super::lib::source::{Source, shader};
use super::{Gemm, GemmSpec, Operand};
use crate::expr::Expr;
use std::fmt::Write;
use tile::{CoopCaps, CoopTile};

/// `C = epilogue(A B)` with A and B in f16 and sums in f32. Buffers and sizes are those of the product.
#[derive(Debug, Clone)]
pub struct GemmCoop {
    /// The product. A and B are f16; its own tile is not used, and vectors of four are of nothing but the matrix.
    pub gemm: Gemm,
    /// How the work is cut.
    pub tile: CoopTile,
}

impl GemmCoop {
    /// The product on this adapter's cooperative matrices, where it is worth it: operands in f16, no extent smaller than one matrix. Else
    /// `None`, and the ordinary [`Gemm`] serves.
    pub fn of(gemm: &Gemm, caps: &CoopCaps) -> Option<GemmCoop> {
        let tile = CoopTile::choose(caps, [gemm.spec.ta, gemm.spec.tb], [gemm.m, gemm.n])?;
        if gemm.k < tile.side { None } else { Self::with_tile(gemm, tile) }
    }

    /// The product cut by this tile, of any size; `None` where A or B is not f16, or results of two types share a binding.
    pub fn with_tile(gemm: &Gemm, tile: CoopTile) -> Option<GemmCoop> {
        let GemmSpec { ta, tb, ref via, ref halves, .. } = gemm.spec;
        let agree = via.iter().enumerate().all(|(o, &v)| halves.output(o) == halves.output(v));
        if gemm.spec.a != Operand::Matrix || !halves.input(0) || !halves.input(1) || !agree {
            return None;
        }
        let mut gemm = gemm.clone();
        gemm.spec.vc = false;
        // of nothing but the matrix: a term past its end would be added to the sum
        gemm.spec.va = gemm.a.in_fours(if ta { gemm.m } else { gemm.k });
        gemm.spec.vb = gemm.b.in_fours(if tb { gemm.k } else { gemm.n });
        Some(GemmCoop { gemm, tile })
    }

    /// The same product over elements in f32: what the CPU's twin runs once it has widened them.
    pub fn widened(&self) -> Gemm {
        let mut gemm = self.gemm.clone();
        gemm.spec.halves = Halves::default();
        gemm
    }
}

impl Archetype for GemmCoop {
    fn name(&self) -> String {
        self.gemm.name().replacen("gemm", "gemm_coop", 1)
    }

    fn source(&self) -> String {
        let (GemmSpec { ta, tb, va, vb, .. }, tile) = (&self.gemm.spec, &self.tile);
        let mut s = Source::new(Element::F32, self);
        self.gemm.begin(&mut s);
        s.number("BM", tile.height()).number("BN", tile.width()).number("BK", tile.depth);
        s.number("SIDE", tile.side).number("LANES", tile.lanes).number("ACROSS", tile.across).number("THREADS", tile.threads());
        s.number("TILES_DOWN", tile.rows).number("TILES_ACROSS", tile.columns);
        let slices = tile.slices(*ta, *tb);
        for (x, [rows, columns]) in ["A", "B"].iter().zip(slices) {
            let pitch = (columns + CoopTile::PAD) / 4;
            s.number(&format!("{x}_COLS"), columns / 4).number(&format!("{x}_PITCH"), pitch).number(&format!("{x}_SIZE"), rows * pitch);
        }
        let extents = |turned: bool, [x, y]: [&'static str; 2]| if turned { [y, x] } else { [x, y] };
        load(&mut s, &self.gemm, "a", *va, extents(*ta, ["m", "k"]));
        load(&mut s, &self.gemm, "b", *vb, extents(*tb, ["k", "n"]));
        moves(&mut s, slices.map(|[rows, columns]| rows * columns / 4 / tile.threads()));
        products(&mut s, tile, *ta, *tb);
        self.gemm.stores(&mut s);
        self.gemm.tiles(&mut s, tile.height(), tile.width());
        // directives stand before all else
        format!("enable wgpu_cooperative_matrix;\n{}", s.finish(shader!("gemm_coop.wgsl")))
    }

    /// As [`Gemm::bindings`].
    fn bindings(&self) -> Vec<Binding> {
        self.gemm.bindings()
    }

    fn dims(&self) -> Dims {
        self.gemm.dims()
    }

    /// A workgroup for every tile.
    fn grid(&self) -> [u32; 3] {
        self.gemm.grid_of(self.tile.height(), self.tile.width())
    }

    fn turns(&self) -> usize {
        self.gemm.turns()
    }

    fn flops(&self) -> u64 {
        self.gemm.flops()
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        self.gemm.formula()
    }
}

/// `x4`: four elements of the stored matrix `x`, zeros past its ends: its extents are those sizes.
fn load(s: &mut Source, gemm: &Gemm, x: &str, vector: bool, [major, minor]: [&str; 2]) {
    s.line(format!("fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f16> {{"));
    s.line("    var x = vec4<f16>();");
    s.line(format!("    let i = d.{x}_offset + {} + major * d.{x}_pitch + minor;", gemm.over_batch(x)));
    s.line(format!("    let left = select(0u, d.{minor} - minor, major < d.{major} && minor < d.{minor});"));
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
    use crate::kernels::Tile;

    const CAPS: CoopCaps = CoopCaps { side: 16, lanes: 32, workgroup_bytes: 48 << 10, threads: 1024 };

    fn gemm([m, n, k]: [usize; 3], row_sum: bool) -> Gemm {
        let via = if row_sum { vec![0, 1] } else { vec![0] };
        let halves = Halves::new(vec![true, true], vec![false]);
        let spec = GemmSpec { row_sum, via, halves, ..GemmSpec::new([false, true], Tile::Split) };
        Gemm::new(spec, [m, n, k])
    }

    /// What the planner asks: which products go to the cooperative matrices.
    #[test]
    fn products_that_are_worth_it() {
        let g = gemm([512, 1024, 784], false);
        let of = |g: &Gemm| GemmCoop::of(g, &CAPS);
        let with = |mut g: Gemm, a: bool, b: bool, out: bool| {
            g.spec.halves = Halves::new(vec![a, b], vec![out]);
            g
        };
        let made = of(&g).unwrap();
        assert!(made.gemm.spec.va && made.gemm.spec.vb && made.name() == "gemm_coop_nt" && made.grid() == [16, 8, 1]);
        let sums = gemm([512, 1024, 784], true);
        assert!(of(&sums).unwrap().gemm.spec.row_sum);
        // too small along any axis
        for size in [[512, 10, 1024], [8, 1024, 1024], [512, 1024, 10]] {
            assert!(of(&gemm(size, false)).is_none(), "{size:?}");
        }
        // other types
        for (a, b) in [(false, true), (true, false), (false, false)] {
            assert!(of(&with(g.clone(), a, b, false)).is_none(), "{a} {b}");
        }
        assert!(of(&with(g.clone(), true, true, true)).is_some());
        // a binding has one type
        let mut together = sums.clone();
        together.spec.via = vec![0, 0];
        assert!(of(&together).is_some());
        assert!(of(&with(together, true, true, true)).is_none());
        // no matrices of that kind
        assert!(GemmCoop::of(&g, &CoopCaps { side: 8, lanes: 16, ..CAPS }).is_none());
    }

    /// Vectors of four are whole and of nothing but the matrix.
    #[test]
    fn vectors_need_room() {
        let g = gemm([512, 1024, 784], false);
        let vectors = |change: &dyn Fn(&mut Gemm)| {
            let mut g = g.clone();
            change(&mut g);
            let made = GemmCoop::of(&g, &CAPS).unwrap();
            (made.gemm.spec.va, made.gemm.spec.vb)
        };
        assert_eq!(vectors(&|_| {}), (true, true));
        assert_eq!(vectors(&|g| g.a.offset = 2), (false, true));
        assert_eq!(vectors(&|g| g.b.pitch = 785), (true, false));
        assert_eq!(vectors(&|g| g.k = 783), (false, false));
    }
}
