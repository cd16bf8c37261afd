//! The end of a product: what rides on it, and where its results go.

use super::Gemm;
use super::places::Plane;
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
            let place = match self.outputs.get(o).and_then(|o| o.within) {
                None => "at".into(),
                Some(_) => format!("row * d.out{o}_pitch + {} + col", self.over_batch(&format!("out{o}"))),
            };
            s.line(format!("    out{}[(d.out{o}_offset + {place}){vector}] = {value};", spec.via[o]));
        }
        s.line("}");
        let sum = spec.via.last().filter(|_| spec.row_sum).map_or(String::new(), |&v| {
            // beside results that are written as vectors
            let place = if spec.vc && v < self.outputs.len() { "[at / 4u][at % 4u]" } else { "[at]" };
            format!("let at = d.row_sum_offset + row; out{v}{place} = value;")
        });
        s.line(format!("fn store_row_sum(row: u32, value: f32) {{ {sum} }}"));
        store_four(s, spec.vc);
    }

    /// Whether an extra is bound as vectors of four columns. Where results are vectors the other extras have one value for all columns; else all is read one by one.
    pub(super) fn fours(&self, e: &Plane) -> bool {
        self.spec.vc && e.column == 1
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
