//! What [`Tile::Direct`](super::Tile::Direct) repeats for every row and vector of a thread's sums. A line for each, since a loop over an array of
//! them need not be unrolled, and then they lie in memory and the kernel takes four times as long.

use super::Gemm;
use crate::kernels::lib::binding::Element;
use crate::kernels::lib::halves::widened;
use crate::kernels::lib::source::Source;

/// Lanes of a workgroup.
const LANES: usize = 8;

/// How a thread goes along its terms.
pub(super) struct Turns {
    pub rows: usize,
    pub vectors: usize,
    /// Lanes hand each other what they read of A.
    pub shared: bool,
    pub ta: bool,
    /// A is patches by rows: the rows that a thread reads are found once.
    pub rows_found: bool,
    /// B is patches by columns: so are its columns, and from position to position nothing is divided.
    pub columns_found: bool,
}

impl Turns {
    /// The sums, `ready`, `terms` and the arrays that they end in.
    pub fn print(&self, s: &mut Source) {
        let Turns { rows, vectors, .. } = *self;
        let each = || (0..rows).flat_map(|r| (0..vectors).map(move |v| (r, v)));
        each().for_each(|(r, v)| _ = s.line(format!("var<private> c{r}_{v}: vec4<f32>;")));
        (0..rows).for_each(|r| _ = s.line(format!("var<private> s{r}: f32;")));
        self.ready(s);
        // their four terms of a turn are added before the next sum's
        s.line("fn terms(batch: u32, k: u32, row0: u32, col0: u32, m: u32, n: u32, lane: u32) {");
        if self.columns_found {
            (0..4).for_each(|i| _ = s.line(format!("    let p{i} = b_here();\n    b_next();")));
        }
        for v in 0..vectors {
            let block = |i: usize| format!("b4_of(p{i}, column{v})");
            s.line(if self.columns_found {
                format!("    let b{v} = mat4x4<f32>({}, {}, {}, {});", block(0), block(1), block(2), block(3))
            } else {
                format!("    let b{v} = b_block(batch, k, col0 + {}u, n);", 4 * v)
            });
        }
        if self.rows_found {
            s.line("    let told = a_told(k);");
        }
        if self.shared {
            self.held(s);
        }
        for q in 0..rows / 4 {
            s.line(format!("    let a{q} = {};", self.block(q)));
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

    /// What is found before the first term: rows of patches, and columns of them with the first position.
    fn ready(&self, s: &mut Source) {
        let found = match (self.rows_found, self.shared) {
            (false, _) => 0,
            (true, false) => self.rows,
            (true, true) => self.rows / LANES,
        };
        (0..found).for_each(|j| _ = s.line(format!("var<private> found{j}: vec2<u32>;")));
        let columns = if self.columns_found { self.vectors } else { 0 };
        (0..columns).for_each(|v| _ = s.line(format!("var<private> column{v}: ToldB;")));
        if self.columns_found {
            s.line("// how far its image lies from the first, and where the position is told of\nvar<private> spot: vec2<u32>;");
            s.line("fn b_here() -> vec2<u32> { return vec2<u32>(spot.x + tables[spot.y], spot.y + 1u); }");
            s.line("fn b_next() {\n    let next = spot + vec2<u32>(0u, d.words);");
            s.line("    spot = select(next, vec2<u32>(spot.x + d.image, d.starts), next.y >= d.starts + d.positions * d.words);\n}");
        }
        s.line("fn ready(batch: u32, row0: u32, col0: u32, m: u32, lane: u32) {");
        for j in 0..found {
            let row = if self.shared { format!("{}u + lane", LANES * j) } else { format!("{j}u") };
            s.line(format!("    found{j} = a_row(batch, min(row0 + {row}, m - 1u));"));
        }
        (0..columns).for_each(|v| _ = s.line(format!("    column{v} = b_told(col0 + {}u);", 4 * v)));
        if self.columns_found {
            s.line("    spot = b_first(batch);");
        }
        s.line("}");
    }

    /// `x0`..: the vectors of A's rows at k to k + 3, one of eight in each lane. Transposed they lie along the rows, else along the terms.
    fn held(&self, s: &mut Source) {
        let quarter = self.rows / 4;
        for j in 0..self.rows / LANES {
            let e = format!("({}u + lane)", LANES * j);
            s.line(match (self.ta, self.rows_found) {
                (true, _) => format!("    let x{j} = a4(batch, k + {e} / {quarter}u, row0 + {e} % {quarter}u * 4u);"),
                (false, true) => format!("    let x{j} = a4_of(found{j}, told);"),
                (false, false) => format!("    let x{j} = a4(batch, min(row0 + {e}, m - 1u), k);"),
            });
        }
    }

    /// Four rows of A at four terms.
    fn block(&self, q: usize) -> String {
        let four = |of: &dyn Fn(usize) -> String| (0..4).map(of).collect::<Vec<_>>().join(", ");
        if !self.shared && !self.rows_found {
            return format!("a_block(batch, k, row0 + {}u, m)", 4 * q);
        }
        if !self.shared {
            return format!("mat4x4<f32>({})", four(&|i| format!("a4_of(found{}, told)", 4 * q + i)));
        }
        // from the lanes that hold them
        let held = |e: usize| format!("subgroupBroadcast(x{}, {}u)", e / LANES, e % LANES);
        if self.ta {
            return format!("transpose(mat4x4<f32>({}))", four(&|i| held(i * (self.rows / 4) + q)));
        }
        format!("mat4x4<f32>({})", four(&|i| held(4 * q + i)))
    }
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
