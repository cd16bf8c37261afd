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
    /// The self-test is tried with it, too.
    pub refused: bool,
}

const fn error(name: &'static str, layout: (bool, bool), edits: &'static [(&'static str, &'static str)]) -> Error {
    Error { name, edits, layout, finish: Finish::Both, size: [45, 54, 37], batch: 1, refused: false }
}

const NN: (bool, bool) = (false, false);
const NT: (bool, bool) = (false, true);
const TN: (bool, bool) = (true, false);

pub const PLANTED: &[Error] = &[
    error("A read by columns", NN, &[("let a0 = coopLoadT<", "let a0 = coopLoad<")]).refused(),
    error("A^T read by rows", TN, &[("let a1 = coopLoad<", "let a1 = coopLoadT<")]),
    error("B read by columns", NN, &[("let b0 = coopLoadT<", "let b0 = coopLoad<")]),
    error("B^T read by rows", NT, &[("let b1 = coopLoad<", "let b1 = coopLoadT<")]).refused(),
    error("C stored by columns", NT, &[("coopStoreT(", "coopStore(")]).refused(),
    error("two matrices' sums mixed up", NT, &[("z0_1 = coopMultiplyAdd(a0, b1", "z0_1 = coopMultiplyAdd(a1, b1")]).refused(),
    error("a sum that begins anew", NT, &[("a1, b0, z1_0)", "a1, b0, z1_1)")]),
    error("the half that is being filled", NT, &[("multiply(half,", "multiply(1u - half,")]).refused(),
    error("the first slice again and again", NT, &[("col0, k + BK, thread)", "col0, 0u, thread)")]),
    error("a last slice dropped", NT, &[("k < k_all; k += BK", "k + BK < k_all; k += BK")]).refused(),
    error("another pitch of A", NT, &[("&tile_a[half * A_SIZE + (row1 + 8u) * A_PITCH", "&tile_a[half * A_SIZE + (row1 + 8u) * A_COLS")]),
    error("rows of one subgroup", NT, &[("own / ACROSS * TILES_DOWN", "own % ACROSS * TILES_DOWN")]),
    error("another subgroup's scratch", NT, &[("scratch[own * (SIDE * SIDE) + e]", "scratch[e]")]),
    error("terms past the end", TN, &[("major < d.k && ", "")]).many(),
    error("columns past the end", NT, &[("r < d.m && c < d.n", "r < d.m")]).refused(),
    error("a bias by row", NT, &[("row * d.extra0_row + col * d.extra0_column", "row * d.extra0_row + row * d.extra0_column")])
        .of(Finish::Bias, [45, 54, 37]),
    error(
        "no epilogue",
        NT,
        &[("fn store(batch: u32, row: u32, col: u32, x0: V) {", "fn store(batch: u32, row: u32, col: u32, x: V) { let x0 = 0.5 * x;")],
    )
    .of(Finish::Half, [45, 54, 37]),
    error("sums of rows of one slice", NT, &[("row_sum_of(half, thread, row_sum)", "row_sum_of(half, thread, 0.0)")]),
    error("sums of another row", TN, &[("+ row / 4u][row % 4u]", "+ row / 4u][0u]")]).refused(),
    error("a lost element of a vector", NT, &[("if (left > 3u)", "if (left > 1000u)")]),
    error("the first matrix again", NT, &[("batch * d.a_batch", "0u * d.a_batch")]).many(),
    error("the first B again", NT, &[("batch * d.b_batch", "0u * d.b_batch")]).many(),
];

impl Error {
    const fn of(self, finish: Finish, size: [usize; 3]) -> Error {
        Error { finish, size, ..self }
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
