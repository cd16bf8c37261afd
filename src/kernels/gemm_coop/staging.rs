//! How an operand's slices come to workgroup memory: what a thread carries of the next one, line by line.
//!
//! Addresses are made once, and a slice lies as far from them for all threads. Rows past the matrix's end are read as the last ones, whose results
//! nobody stores; terms past the end are zero, and nothing is read there.

mod looked_up;

use super::tile::CoopTile;
use crate::kernels::lib::source::Source;
pub(super) use looked_up::LookedUp;
use std::fmt::Write;

/// An operand as the shader stages it: rows (of B: columns) of so many terms.
pub(super) struct Staging<'a> {
    /// `a` or `b`.
    pub name: &'a str,
    /// The size that says how many rows it has.
    pub extent: &'a str,
    /// Its staged rows.
    pub rows: usize,
    /// In memory the terms of a row lie a pitch apart, and those of neighbouring rows side by side.
    pub turned: bool,
    /// It is read in vectors of four.
    pub vector: bool,
    /// It is patches of images.
    pub looked_up: Option<LookedUp>,
}

impl Staging<'_> {
    /// Vectors that a thread carries together: of the same terms in four rows where blocks of 4 x 4 are turned.
    pub(super) fn block(&self) -> usize {
        if self.turned && self.vector { 4 } else { 1 }
    }

    /// Blocks of a slice.
    fn blocks(&self, t: &CoopTile) -> usize {
        self.rows * t.depth / 4 / self.block()
    }

    /// Blocks of a thread. Of a small tile some threads have none.
    pub(super) fn count(&self, t: &CoopTile) -> usize {
        self.blocks(t).div_ceil(t.threads())
    }

    /// Vectors of a thread: block, and number in it.
    pub(super) fn vectors(&self, t: &CoopTile) -> impl Iterator<Item = (usize, usize)> + use<> {
        let block = self.block();
        (0..self.count(t)).flat_map(move |v| (0..block).map(move |j| (v, j)))
    }

    /// The first row of block `v` of a thread, in the slice.
    pub(super) fn row(&self, v: usize) -> String {
        match (self.turned, self.vector) {
            // neighbours read what lies side by side
            (true, false) => format!("(thread + {v}u * THREADS) % {}u", self.rows),
            (true, true) => format!("(thread + {v}u * THREADS) / COLS * 4u"),
            (false, _) => format!("(thread + {v}u * THREADS) / COLS"),
        }
    }

    /// The vector of a staged row that block `v` is.
    fn column(&self, v: usize) -> String {
        if self.turned && !self.vector { format!("(thread + {v}u * THREADS) / {}u", self.rows) } else { "thread % COLS".into() }
    }

    /// `fn NAME_x(parameters) {`, left at once by threads that have no block.
    fn begin(&self, s: &mut Source, t: &CoopTile, name: &str, parameters: &str) {
        let x = self.name;
        s.line(format!("fn {name}_{x}({parameters}) {{"));
        if self.blocks(t) < t.threads() {
            s.line(format!("    if (thread >= {}u) {{ return; }}", self.blocks(t)));
        }
    }

    /// `prepare_x`, `whole_x`, `part_x`, `stash_x`, and the variables that they share: variables of their own, since in a struct naga gives them offsets, which
    /// SPIR-V does not allow outside of buffers.
    pub fn print(&self, s: &mut Source, t: &CoopTile) {
        let x = self.name;
        for (v, j) in self.vectors(t) {
            s.line(format!("var<private> next_{x}{v}_{j}: vec4<f16>;"));
        }
        match self.looked_up {
            Some(l) => l.variables(s, self, t),
            None => self.vectors(t).for_each(|(v, j)| _ = s.line(format!("var<private> at_{x}{v}_{j}: u32;"))),
        }
        (0..self.count(t)).for_each(|v| _ = s.line(format!("var<private> into_{x}{v}: u32;")));
        if !self.vector {
            self.one(s);
        }
        self.begin(s, t, "prepare", "batch: u32, base: u32, first: u32, thread: u32");
        match self.looked_up {
            Some(l) => l.prepare(s, self, t),
            None => self.vectors(t).for_each(|(v, j)| _ = s.line(format!("    at_{x}{v}_{j} = {};", self.start(v, j)))),
        }
        for v in 0..self.count(t) {
            s.line(format!("    into_{x}{v} = {} * PITCH + {};", self.row(v), self.column(v)));
        }
        s.line("}");
        self.begin(s, t, "whole", "s: u32, thread: u32");
        self.fetch(s, t, true);
        s.line("}");
        self.begin(s, t, "part", "s: u32, thread: u32");
        self.fetch(s, t, false);
        s.line("}");
        self.begin(s, t, "stash", "half: u32, thread: u32");
        if self.looked_up.is_some() {
            // only now, since whoever looks at what was read waits for it
            for (v, j) in self.vectors(t) {
                s.line(format!("    next_{x}{v}_{j} = select(vec4<f16>(), next_{x}{v}_{j}, there_{x}{v}_{j});"));
            }
        }
        for (v, j) in self.vectors(t) {
            let next = match self.block() {
                1 => format!("next_{x}{v}_0"),
                _ => format!("vec4<f16>({})", [0, 1, 2, 3].map(|term| format!("next_{x}{v}_{term}[{j}]")).join(", ")),
            };
            s.line(format!("    tile_{x}[half * {}u * PITCH + into_{x}{v} + {j}u * PITCH] = {next};", self.rows));
        }
        s.line("}");
    }

    /// Where vector `j` of block `v` of the first slice lies.
    fn start(&self, v: usize, j: usize) -> String {
        let Staging { name: x, extent, .. } = self;
        let row = format!("first + {}", self.row(v));
        let term = format!("{} * 4u + {j}u", self.column(v));
        match (self.turned, self.vector) {
            (true, false) => format!("base + min({row}, d.{extent} - 1u)"),
            (false, false) => format!("base + min({row}, d.{extent} - 1u) * d.{x}_pitch"),
            (true, true) => format!("(base + min({row}, d.{extent} - 4u)) / 4u + min({term}, d.k - 1u) * (d.{x}_pitch / 4u)"),
            (false, true) => format!("(base + min({term}, d.k - 4u)) / 4u + min({row}, d.{extent} - 1u) * (d.{x}_pitch / 4u)"),
        }
    }

    /// The vectors of slice `s`; `whole` where no term of it is past the end.
    fn fetch(&self, s: &mut Source, t: &CoopTile, whole: bool) {
        let x = self.name;
        if let Some(l) = self.looked_up {
            return l.fetch(s, self, t, whole);
        }
        let far = if self.turned { format!("s * BK * (d.{x}_pitch / 4u)") } else { "s * COLS".into() };
        match (self.vector, whole) {
            (false, _) => {}
            (true, true) => _ = s.line(format!("    let far = {far};")),
            (true, false) => {
                for j in 0..self.block() {
                    s.line(format!(
                        "    let has{j} = s * BK + thread % COLS * 4u + {j}u < d.k;\n    let far{j} = select(0u, {far}, has{j});"
                    ));
                }
            }
        }
        for (v, j) in self.vectors(t) {
            let (next, at) = (format!("next_{x}{v}_{j}"), format!("at_{x}{v}_{j}"));
            s.line(match (self.vector, whole) {
                (false, _) => format!("    {next} = {x}_four({at}, s * BK + {} * 4u);", self.column(v)),
                (true, true) => format!("    {next} = {x}[{at} + far];"),
                (true, false) => format!("    {next} = select(vec4<f16>(), {x}[{at} + far{j}], has{j});"),
            });
        }
    }

    /// `x_four`: four terms of the row that begins there, element by element.
    fn one(&self, s: &mut Source) {
        let x = self.name;
        let step = if self.turned { format!(" * d.{x}_pitch") } else { String::new() };
        let mut text = format!("fn {x}_four(at: u32, term: u32) -> vec4<f16> {{\n    var x = vec4<f16>();\n");
        for j in 0..4 {
            let place = format!("at + min(term + {j}u, d.k - 1u){step}");
            let _ = writeln!(text, "    x[{j}] = select(f16(0.0), {x}[{place}], term + {j}u < d.k);");
        }
        s.line(text + "    return x;\n}");
    }

    /// `add_rows` and `leave_rows`: a thread's part of the sums of the rows, of what it carries, and where it goes in the scratch.
    pub fn row_sums(&self, s: &mut Source, t: &CoopTile) {
        let x = self.name;
        let block = self.block();
        let kind = if block == 4 { "vec4<f32>" } else { "f32" };
        for v in 0..self.count(t) {
            s.line(format!("var<private> row_sum{v}: {kind};"));
        }
        s.line("fn add_rows() {");
        for v in 0..self.count(t) {
            let next = |j: usize| format!("vec4<f32>(next_{x}{v}_{j})");
            let sum =
                if block == 4 { (0..4).map(next).collect::<Vec<_>>().join(" + ") } else { format!("dot({}, vec4<f32>(1.0))", next(0)) };
            s.line(format!("    row_sum{v} += {sum};"));
        }
        s.line("}\nfn leave_rows(thread: u32) {");
        if self.blocks(t) < t.threads() {
            s.line(format!("    if (thread >= {}u) {{ return; }}", self.blocks(t)));
        }
        for v in 0..self.count(t) {
            for j in 0..block {
                let part = if block == 4 { format!("[{j}]") } else { String::new() };
                let column = self.column(v);
                s.line(format!("    scratch[({} + {j}u) * (COLS / 4u) + {column} / 4u][{column} % 4u] = row_sum{v}{part};", self.row(v)));
            }
        }
        s.line("}");
    }
}
