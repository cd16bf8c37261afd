//! `gemm` on cooperative matrices, which drivers give to tensor cores.

mod staging;
pub(crate) mod tile;

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::halves::Halves;
use super::lib::source::{Source, shader};
use super::{Gemm, GemmSpec, Operand};
use crate::expr::Expr;
use staging::{LookedUp, Staging};
use std::fmt::Write;
use tile::{CoopCaps, CoopTile};

/// `C = epilogue(A B)` with A and B in f16 and sums in f32. Buffers and sizes are those of the product.
#[derive(Debug, Clone)]
pub struct GemmCoop {
    /// The product. A and B are f16; its own tile is not used.
    pub gemm: Gemm,
    /// How the work is cut.
    pub tile: CoopTile,
    /// It also writes how many lanes its subgroups have, as one u32 to a buffer behind all others: what the self-test asks, since some drivers
    /// choose them for each pipeline.
    pub tells_lanes: bool,
}

impl GemmCoop {
    /// The product on this adapter's cooperative matrices, where it is worth it: operands in f16, no extent smaller than one matrix. Else
    /// `None`, and the ordinary [`Gemm`] serves.
    pub fn of(gemm: &Gemm, caps: &CoopCaps) -> Option<GemmCoop> {
        let tile = CoopTile::choose(caps, [gemm.m, gemm.n, gemm.k], gemm.matrices())?;
        if gemm.k < tile.side { None } else { Self::with_tile(gemm, tile) }
    }

    /// The product cut by this tile, of any size; `None` where A or B is not f16, results of two types share a binding, or there are
    /// no terms, or patches have no whole vectors of channels.
    pub fn with_tile(gemm: &Gemm, tile: CoopTile) -> Option<GemmCoop> {
        let GemmSpec { ta, tb, ref via, ref halves, .. } = gemm.spec;
        let agree = via.iter().enumerate().all(|(o, &v)| halves.output(o) == halves.output(v));
        if !Self::stages(gemm, gemm.spec.a, ta)
            || !Self::stages(gemm, gemm.spec.b, tb)
            || !halves.input(0)
            || !halves.input(1)
            || !agree
            || gemm.k == 0
        {
            return None;
        }
        let mut gemm = gemm.clone().reading_fours();
        gemm.spec.vc = gemm.fits_fours();
        let unread = [(gemm.spec.a, gemm.spec.va), (gemm.spec.b, gemm.spec.vb)].contains(&(Operand::Patches, false));
        (!unread).then_some(GemmCoop { gemm, tile, tells_lanes: false })
    }

    /// Whether slices of such an operand can be staged: patches of a position's row for A, of its column for B.
    fn stages(gemm: &Gemm, of: Operand, turned: bool) -> bool {
        of == Operand::Matrix || (of == Operand::Patches && gemm.patches.is_some() && !turned)
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
        let (spec, tile) = (&self.gemm.spec, &self.tile);
        let mut s = Source::new(Element::F32.by_fours(spec.vc), self);
        self.gemm.begin(&mut s);
        s.number("BM", tile.height()).number("BN", tile.width()).number("BK", tile.depth);
        s.number("SIDE", tile.side).number("LANES", tile.lanes).number("ACROSS", tile.across).number("THREADS", tile.threads());
        s.number("TILES_DOWN", tile.rows).number("TILES_ACROSS", tile.columns);
        s.number("COLS", tile.depth / 4).number("PITCH", tile.pitch() / 4).number("SCRATCH", tile.scratch() / 4);
        let looked_up = |of| (of == Operand::Patches).then_some(LookedUp { many_taps: spec.many_taps });
        let a = Staging { name: "a", extent: "m", rows: tile.height(), turned: spec.ta, vector: spec.va, looked_up: looked_up(spec.a) };
        let b = Staging { name: "b", extent: "n", rows: tile.width(), turned: !spec.tb, vector: spec.vb, looked_up: looked_up(spec.b) };
        a.print(&mut s, tile);
        b.print(&mut s, tile);
        s.line("fn prepare(batch: u32, row0: u32, col0: u32, thread: u32) {");
        for (x, first) in [("a", "row0"), ("b", "col0")] {
            s.line(format!("    prepare_{x}(batch, d.{x}_offset + {}, {first}, thread);", self.gemm.over_batch(x)));
        }
        s.line("}");
        for which in ["whole", "part"] {
            s.line(format!("fn fetch_{which}(s: u32, thread: u32) {{\n    {which}_a(s, thread);\n    {which}_b(s, thread);\n}}"));
        }
        s.line("fn stash(half: u32, thread: u32) {\n    stash_a(half, thread);\n    stash_b(half, thread);\n}");
        if spec.row_sum {
            a.row_sums(&mut s, tile);
        } else {
            s.line("fn add_rows() {}\nfn leave_rows(thread: u32) {}");
        }
        self.gemm.stores(&mut s);
        s.line(format!("fn tell(lanes: u32) {{ {} }}", if self.tells_lanes { "lanes_told[0] = lanes;" } else { "" }));
        multiply(&mut s, tile);
        self.finish(&mut s);
        self.gemm.tiles(&mut s, tile.height(), tile.width());
        // directives stand before all else
        format!("enable wgpu_cooperative_matrix;\n{}", s.finish(shader!("gemm_coop.wgsl")))
    }

    /// As [`Gemm::bindings`].
    fn bindings(&self) -> Vec<Binding> {
        let mut all = self.gemm.bindings();
        all.extend(self.tells_lanes.then(|| Binding::write("lanes_told", Element::U32, 0..1)));
        all
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

impl GemmCoop {
    /// Whether matrices go straight to memory where a tile lies within C: what is stored is the product itself, in vectors of f32.
    fn is_straight(&self) -> bool {
        let GemmSpec { vc, epilogue, halves, .. } = &self.gemm.spec;
        let scattered = self.gemm.outputs.iter().any(|o| o.scattered.is_some());
        *vc && epilogue.is_identity() && !halves.output(0) && !scattered
    }

    /// `finish`: the sums, matrix by matrix, through the scratch or straight to memory.
    fn finish(&self, s: &mut Source) {
        let (side, via) = (self.tile.side, self.gemm.spec.via[0]);
        s.line("fn finish(own: u32, lane: u32, batch: u32, row0: u32, col0: u32, row: u32, col: u32) {");
        if self.is_straight() {
            s.line("    if (row0 + BM <= d.m && col0 + BN <= d.n) {");
            let (place, pitch) = match self.gemm.outputs.first().and_then(|o| o.within) {
                None => ("(batch * d.m + row) * d.n".to_string(), "d.n"),
                Some(_) => (format!("row * d.out0_pitch + {}", self.gemm.over_batch("out0")), "d.out0_pitch"),
            };
            s.line(format!("        let at = (d.out0_offset + {place} + col) / 4u;\n        let pitch = {pitch} / 4u;"));
            for (i, j) in self.tile.cells() {
                // naga evaluates nothing of a store's arguments before the store: what is computed has a name
                s.line(format!("        let at{i}_{j} = at + {}u * pitch + {}u;", i * side, j * side / 4));
                s.line(format!("        coopStoreT(z{i}_{j}, &out{via}[at{i}_{j}], pitch);"));
            }
            s.line("        return;\n    }");
        }
        for (i, j) in self.tile.cells() {
            s.line(format!("    coopStoreT(z{i}_{j}, &scratch[own * SQUARE], SIDE / 4u);"));
            s.line(format!("    drain(own, lane, batch, row + {}u, col + {}u);", i * side, j * side));
        }
        s.line("}");
    }
}

/// The sums and `multiply`: a line for each cooperative matrix, since a loop over an array of them need not be unrolled.
fn multiply(s: &mut Source, t: &CoopTile) {
    let side = t.side;
    let name = format!("coop_mat{side}x{side}");
    for (i, j) in t.cells() {
        s.line(format!("var<private> z{i}_{j}: {name}<f32, C>;"));
    }
    s.line("fn multiply(half: u32, own_a: u32, own_b: u32) {");
    for k in (0..t.depth).step_by(side) {
        let mut block = "    {\n".to_string();
        // A's rows lie term by term, and so do B's columns
        for i in 0..t.rows {
            let at = format!("half * BM * PITCH + own_a + {}u * PITCH + {}u", i * side, k / 4);
            let _ = writeln!(block, "        let a{i} = coopLoadT<{name}<f16, A>>(&tile_a[{at}], PITCH);");
        }
        for j in 0..t.columns {
            let at = format!("half * BN * PITCH + own_b + {}u * PITCH + {}u", j * side, k / 4);
            let _ = writeln!(block, "        let b{j} = coopLoad<{name}<f16, B>>(&tile_b[{at}], PITCH);");
        }
        for (i, j) in t.cells() {
            let _ = writeln!(block, "        z{i}_{j} = coopMultiplyAdd(a{i}, b{j}, z{i}_{j});");
        }
        s.line(block + "    }");
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
