//! The end of a product: what rides on it, and where its results go.

use super::places::{Output, Plane};
use super::{Gemm, GemmSpec};
use crate::kernels::lib::binding::{Binding, Element};
use crate::kernels::lib::dims::Dims;
use crate::kernels::lib::draw::drawn;
use crate::kernels::lib::halves::{rounded, widened};
use crate::kernels::lib::source::Source;

impl Gemm {
    /// `store`, `store_four` and `store_row_sum`: the epilogue, and where results go.
    pub(in crate::kernels) fn stores(&self, s: &mut Source) {
        let spec = &self.spec;
        s.line("fn store(batch: u32, row: u32, col: u32, x0: V) {");
        s.line("    let at = (batch * d.m + row) * d.n + col;");
        for (i, e) in self.extras.iter().enumerate() {
            let four = self.fours(e);
            let place =
                format!("d.extra{i}_offset + row * d.extra{i}_row + col * d.extra{i}_column + {}", self.over_batch(&format!("extra{i}")));
            let element = if four { format!("extra{i}[({place}) / 4u]") } else { format!("extra{i}[{place}]") };
            s.line(format!("    let x{} = V({});", i + 1, widened(spec.halves.input(2 + i), four, element)));
        }
        let first = 1 + self.extras.len();
        for (i, of) in spec.draws.iter().enumerate() {
            // results are counted through as a map of their own would count them
            let lane = if spec.vc { "" } else { "[at % 4u]" };
            s.line(format!("    let x{} = {};", first + i, drawn(*of, i, "at / 4u", lane)));
        }
        let names: Vec<String> = (0..first + spec.draws.len()).map(|i| format!("x{i}")).collect();
        let printed = spec.epilogue.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        let vector = if spec.vc { " / 4u" } else { "" };
        for (o, name) in printed.outputs.iter().enumerate() {
            let value = rounded(spec.halves.output(o), spec.vc, name.clone());
            let place = match self.outputs.get(o).map(|o| (o.within, o.scattered)) {
                Some((_, Some(_))) => "row / d.out_positions * d.out_image + tables[d.out_starts + row % d.out_positions] + col".into(),
                Some((Some(_), None)) => format!("row * d.out{o}_pitch + {} + col", self.over_batch(&format!("out{o}"))),
                _ => "at".into(),
            };
            s.line(format!("    out{}[(d.out{o}_offset + {place}){vector}] = {value};", spec.via[o]));
        }
        s.line("}");
        let sum = spec.via.last().filter(|_| spec.row_sum).map_or(String::new(), |&v| {
            // beside results that are written as vectors
            let place = if spec.vc && v < self.outputs.len() { "[at / 4u][at % 4u]" } else { "[at]" };
            format!("let at = d.row_sum_offset + batch * d.m + row; out{v}{place} = value;")
        });
        s.line(format!("fn store_row_sum(batch: u32, row: u32, value: f32) {{ {sum} }}"));
        store_four(s, spec.vc);
    }

    /// Extras, state, tables, outputs and row sums; the first is this binding.
    pub(in crate::kernels) fn ending(&self, first: usize) -> Vec<Binding> {
        let (GemmSpec { vc, row_sum, via, halves, .. }, batch) = (&self.spec, self.batch);
        let mut all = Vec::new();
        for (i, e) in self.extras.iter().enumerate() {
            let of = Element::float(halves.input(2 + i)).by_fours(self.fours(e));
            let steps = [(batch[0], e.batch[0]), (batch[1], e.batch[1]), (self.m, e.row), (self.n, e.column)];
            all.push(read(format!("extra{i}"), of, e.offset, steps));
        }
        all.extend((!self.draws.is_empty()).then(Binding::state));
        let scattered = self.outputs.iter().find_map(|o| o.scattered);
        let looked_up = self.patches.map(|p| p.end()).into_iter().chain(scattered.map(|s| s.starts + s.positions)).max();
        all.extend(looked_up.map(|end| Binding::read("tables", Element::U32, 0..end)));
        // the row sums come after the outputs
        let size = self.matrices() * self.m * self.n;
        let span = |o: &Output| match o.within {
            _ if o.scattered.is_some() => {
                let images = o.scattered.map_or(0, |s| self.m.div_ceil(s.positions.max(1)) * s.image);
                o.offset..o.offset + images
            }
            Some((pitch, [outer, inner])) if size > 0 => {
                o.offset..o.offset + (batch[0] - 1) * outer + (batch[1] - 1) * inner + (self.m - 1) * pitch + self.n
            }
            _ => o.offset..o.offset + size,
        };
        let rows = self.matrices() * self.m;
        let sums = row_sum.then(|| (self.row_sum..self.row_sum + rows, rows));
        let first = first + all.len();
        for (o, (span, moved)) in self.outputs.iter().map(|o| (span(o), size)).chain(sums).enumerate() {
            let of = Element::float(halves.output(o)).by_fours(*vc && o < self.outputs.len());
            all.push(Binding::write(format!("out{o}"), of, span).moving(moved).bound_through(first + o, first + via[o]));
        }
        all
    }

    /// What the ending reads and writes, in the row of sizes.
    pub(in crate::kernels) fn sizes_of_ending(&self, d: Dims) -> Dims {
        let mut d = d.u32("row_sum_offset", self.row_sum);
        if self.batch[0] != 1 {
            d = d.u32("matrices_inner", self.batch[1]);
        }
        for (i, e) in self.extras.iter().enumerate() {
            d = d.u32(format!("extra{i}_offset"), e.offset).u32(format!("extra{i}_row"), e.row).u32(format!("extra{i}_column"), e.column);
            d = self.batch_dims(d, &format!("extra{i}"), e.batch);
        }
        d = self.draws.iter().enumerate().fold(d, |d, (i, draw)| draw.dims(d, i));
        self.outputs.iter().enumerate().fold(d, |d, (o, &Output { offset, within, scattered })| {
            let mut d = d.u32(format!("out{o}_offset"), offset);
            if let Some(s) = scattered {
                d = d.u32("out_image", s.image).u32("out_positions", s.positions).u32("out_starts", s.starts);
            }
            let Some((pitch, batch)) = within else { return d };
            self.batch_dims(d.u32(format!("out{o}_pitch"), pitch), &format!("out{o}"), batch)
        })
    }

    /// Whether an extra is bound as vectors of four columns. Where results are vectors the other extras have one value for all columns; else all is read one by one.
    pub(super) fn fours(&self, e: &Plane) -> bool {
        self.spec.vc && e.column == 1
    }
}

/// What is read along these extents and steps. Where nothing repeats each element moves once.
pub(super) fn read(name: String, of: Element, offset: usize, steps: [(usize, usize); 4]) -> Binding {
    let empty = steps.iter().any(|s| s.0 == 0);
    let last = steps.iter().map(|(d, step)| d.saturating_sub(1) * step).sum::<usize>() + 1;
    let moved = steps.iter().filter(|s| s.1 > 0).map(|s| s.0).product();
    Binding::read(name, of, offset..offset + if empty { 0 } else { last }).moving(if empty { 0 } else { moved })
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
