//! Errors in the text of the kernel on cooperative matrices, and the product that must see each.

use crate::product::{Finish, Product};
use gradus::kernels::{CoopTile, Kernel};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// What is replaced by what, everywhere.
pub struct Error {
    pub name: &'static str,
    edits: &'static [(&'static str, &'static str)],
    layout: (bool, bool),
    finish: Finish,
    size: [usize; 3],
    batch: usize,
    /// The self-test is tried with it, too. A few, for it compiles anew each time: one or two for each way in which it can fail.
    pub refused: bool,
}

const fn error(name: &'static str, layout: (bool, bool), edits: &'static [(&'static str, &'static str)]) -> Error {
    Error { name, edits, layout, finish: Finish::Both, size: [45, 54, 53], batch: 1, refused: false }
}

const NN: (bool, bool) = (false, false);
const NT: (bool, bool) = (false, true);
const TN: (bool, bool) = (true, false);

pub const PLANTED: &[Error] = &[
    error("A read by columns", NN, &[("let a0 = coopLoadT<", "let a0 = coopLoad<")]).refused(),
    error("a block that is not turned", TN, &[("vec4<f16>(next_a0_0[0], next_a0_1[0], next_a0_2[0], next_a0_3[0])", "next_a0_0")]).whole(),
    error("a row of a block in another's place", NN, &[("into_b0 + 1u * PITCH", "into_b0 + 2u * PITCH")]).whole().refused(),
    error("B read by rows", NT, &[("let b1 = coopLoad<", "let b1 = coopLoadT<")]),
    error("C stored by columns", NT, &[("coopStoreT(", "coopStore(")]).refused(),
    error("two matrices' sums mixed up", NT, &[("z0_1 = coopMultiplyAdd(a0, b1", "z0_1 = coopMultiplyAdd(a1, b1")]).refused(),
    error("a sum that begins anew", NT, &[("a1, b0, z1_0)", "a1, b0, z1_1)")]),
    error("one slice for all", NT, &[("let far = s * COLS", "let far = 0u * COLS")]).whole(),
    error("another slice's terms", TN, &[("let far = s * BK * (d.b_pitch / 4u)", "let far = (s + 1u) * BK * (d.b_pitch / 4u)")]).whole(),
    error("another slice's last terms", TN, &[("select(0u, s * BK * (d.b_pitch / 4u), has1)", "0u")]).whole(),
    error("a first row for all", NT, &[("/ COLS, d.n - 1u)", "/ COLS * 0u, d.n - 1u)")]).whole(),
    error("the half that is being filled", NT, &[("multiply(half,", "multiply(1u - half,")]),
    error("the first slice's terms again and again", NT, &[("fetch_whole(s, thread)", "fetch_whole(0u, thread)")]),
    error("a whole slice dropped", NT, &[("s < whole", "s + 1u < whole")]).refused(),
    error("the last part of the terms dropped", NT, &[("d.k % BK > 0u", "d.k % BK > 99u")]).refused(),
    error("another pitch of A", NT, &[("own_a + 8u * PITCH", "own_a + 8u * COLS")]),
    error("rows of one subgroup", NT, &[("own / ACROSS * TILES_DOWN", "own % ACROSS * TILES_DOWN")]),
    error("another subgroup's scratch", NT, &[("scratch[own * SQUARE + e]", "scratch[e]")]),
    error("terms past the end, by elements", TN, &[("term + 1u < d.k)", "true)")]).many(),
    error("terms past the end, by vectors", TN, &[("], has1)", "], true)")]).whole(),
    error("columns past the end", NT, &[("if (col + j < n)", "if (true)")]).refused(),
    error("rows past the end", NT, &[("if (r < d.m)", "if (true)")]).whole(),
    error("straight to another row", NN, &[("at + 8u * pitch", "at + 0u * pitch")]).of(Finish::Plain, [64, 64, 40]).refused(),
    error("straight past the end", NT, &[("row0 + BM <= d.m && col0 + BN <= d.n", "true")]).of(Finish::Plain, [48, 56, 40]),
    error("a bias by row", NT, &[("row * d.extra0_row + col * d.extra0_column", "row * d.extra0_row + row * d.extra0_column")])
        .of(Finish::Bias, [45, 54, 37]),
    error(
        "no epilogue",
        NT,
        &[("fn store(batch: u32, row: u32, col: u32, x0: V) {", "fn store(batch: u32, row: u32, col: u32, x: V) { let x0 = 0.5 * x;")],
    )
    .of(Finish::Half, [45, 54, 37]),
    error("another element's draw", NT, &[("draw_words(at / 4u", "draw_words(1u + at / 4u")]).of(Finish::Drop, [45, 56, 37]),
    error("one draw for four", NT, &[("[at % 4u]", "[0u]")]).of(Finish::Drop, [45, 54, 37]),
    error("sums of rows of one slice", NT, &[("row_sum0 += ", "row_sum0 = ")]),
    error("sums of another row", TN, &[("= row_sum0[1]", "= row_sum0[0]")]).whole().refused(),
    error("sums of rows without their last parts", NT, &[("= row_sum1", "= 0.0 * row_sum1")]),
    error("a lost element of a vector", NT, &[("x[3] = ", "x[2] = ")]),
    error("the first matrix again", NT, &[("batch * d.a_batch", "0u * d.a_batch")]).many(),
    error("the first B again", NT, &[("batch * d.b_batch", "0u * d.b_batch")]).many(),
];

impl Error {
    const fn of(self, finish: Finish, size: [usize; 3]) -> Error {
        Error { finish, size, ..self }
    }

    /// Of a size whose operands are read in vectors.
    const fn whole(self) -> Error {
        self.of(Finish::Both, [48, 56, 60])
    }

    const fn refused(self) -> Error {
        Error { refused: true, ..self }
    }

    const fn many(self) -> Error {
        Error { batch: 3, ..self }
    }

    pub fn product(&self, tile: CoopTile) -> Product {
        Product { batch: self.batch, ..Product::new(self.size, self.layout, self.finish, tile) }
    }

    /// What plants it; panics where the text has nothing to replace, or is no valid WGSL any more.
    pub fn rewrite(&self) -> impl Fn(&Kernel, String) -> String + Send + use<> {
        let (name, edits) = (self.name, self.edits);
        move |_: &Kernel, source: String| {
            let broken = edits.iter().fold(source, |s, (old, new)| s.replace(old, new));
            let module = naga::front::wgsl::parse_str(&broken).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&broken)));
            let checked = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
            checked.unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&broken)));
            broken
        }
    }
}
