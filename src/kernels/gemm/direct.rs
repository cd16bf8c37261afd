//! What [`Tile::Direct`](super::Tile::Direct) repeats for every row and vector of a thread's sums. A line for each, since a loop over an array of
//! them need not be unrolled, and then they lie in memory and the kernel takes four times as long.

use super::Gemm;
use crate::kernels::lib::binding::Element;
use crate::kernels::lib::halves::widened;
use crate::kernels::lib::source::Source;

/// Lanes of a workgroup.
const LANES: usize = 8;

/// The sums, `terms` and the arrays that they end in.
pub(crate) fn sums(s: &mut Source, rows: usize, vectors: usize, shared: bool, ta: bool) {
    let each = || (0..rows).flat_map(|r| (0..vectors).map(move |v| (r, v)));
    each().for_each(|(r, v)| _ = s.line(format!("var<private> c{r}_{v}: vec4<f32>;")));
    (0..rows).for_each(|r| _ = s.line(format!("var<private> s{r}: f32;")));
    // their four terms of a turn are added before the next sum's
    s.line("fn terms(batch: u32, k: u32, row0: u32, col0: u32, m: u32, n: u32, lane: u32) {");
    for v in 0..vectors {
        s.line(format!("    let b{v} = b_block(batch, k, col0 + {}u, n);", 4 * v));
    }
    if shared {
        held(s, rows, ta);
    }
    for q in 0..rows / 4 {
        let block = if shared { handed(q, rows, ta) } else { format!("a_block(batch, k, row0 + {}u, m)", 4 * q) };
        s.line(format!("    let a{q} = {block};"));
        for (r, v) in each().filter(|(r, _)| r / 4 == q) {
            s.line(format!("    c{r}_{v} = four(c{r}_{v}, a{q}[{}], b{v});", r % 4));
        }
        for r in 4 * q..4 * q + 4 {
            s.line(format!("    if (ROW_SUM) {{ s{r} = row_four(s{r}, a{q}[{}]); }}", r % 4));
        }
    }
    s.line("}");
    let names = |all: Vec<String>| all.join(", ");
    let (count, sums) = (rows * vectors, names(each().map(|(r, v)| format!("c{r}_{v}")).collect()));
    s.line(format!("fn all_sums() -> array<vec4<f32>, {count}> {{ return array<vec4<f32>, {count}>({sums}); }}"));
    let sums = names((0..rows).map(|r| format!("s{r}")).collect());
    s.line(format!("fn all_row_sums() -> array<f32, {rows}> {{ return array<f32, {rows}>({sums}); }}"));
}

/// `x0`..: the vectors of A's rows at k to k + 3, one of eight in each lane. Transposed they lie along the rows, else along the terms.
fn held(s: &mut Source, rows: usize, ta: bool) {
    for j in 0..rows / LANES {
        let e = format!("({}u + lane)", LANES * j);
        s.line(if ta {
            format!("    let x{j} = a4(batch, k + {e} / {}u, row0 + {e} % {}u * 4u);", rows / 4, rows / 4)
        } else {
            format!("    let x{j} = a4(batch, min(row0 + {e}, m - 1u), k);")
        });
    }
}

/// Four rows of A, from the lanes that hold them.
fn handed(q: usize, rows: usize, ta: bool) -> String {
    let vectors = (0..4).map(|i| if ta { i * (rows / 4) + q } else { 4 * q + i });
    let columns: Vec<String> = vectors.map(|e| format!("subgroupBroadcast(x{}, {}u)", e / LANES, e % LANES)).collect();
    let block = format!("mat4x4<f32>({})", columns.join(", "));
    if ta { format!("transpose({block})") } else { block }
}

impl Gemm {
    /// `x1` and `x4`: one element, or four along the contiguous axis, of the stored matrix `x`.
    pub(super) fn elements(&self, s: &mut Source, x: &str, (vector, half): (bool, bool), extent: &str) {
        let base = format!("d.{x}_offset + {} + major * d.{x}_pitch", self.over_batch(x));
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
}
