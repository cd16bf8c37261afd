//! The text for a field that is shown as it is stored, but for one scale and one shift.

use super::Source;
use crate::graph::Field;
use crate::kernels::lib::halves::rounded;
use crate::tensor::DType;

/// As [`one_field`], four elements at a time.
pub(super) fn field_of_vectors(s: &mut Source, i: usize, f: &Field, half: bool) {
    s.line(format!("fn field{i}(chunk: u32, row: u32, source: u32, lane: u32) {{"));
    s.line(format!("    let vectors = d.field{i}_items;\n    let to = d.batch{i}_offset;"));
    scaling(s, i, f);
    s.line("    for (var item = 0u; item < ITEMS; item++) {\n        let w = chunk * (WG * ITEMS) + item * WG + lane;\n        if (w >= vectors) { return; }");
    let stored = format!("data{i}[source * vectors + w]");
    s.line(if f.stored == DType::U8 {
        format!("        let value = (vec4<u32>({stored}) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);")
    } else {
        format!("        let value = {stored};")
    });
    let value = if f.keep_integer { "value".into() } else { rounded(half, true, number(f, "vec4<f32>")) };
    s.line(format!("        batch{i}[to + row * vectors + w] = {value};\n    }}\n}}"));
}

/// Names the scale and the shift, where numbers are made.
fn scaling(s: &mut Source, i: usize, f: &Field) {
    if !f.keep_integer && f.one_hot.is_none() {
        s.line(format!("    let scale = d.field{i}_scale;\n    let shift = d.field{i}_shift;"));
    }
}

/// What is made of a stored `value`, as this type.
fn number(f: &Field, of: &str) -> String {
    let number = if f.stored == DType::F32 { format!("bitcast<{of}>(value)") } else { format!("{of}(value)") };
    if f.shift == 0.0 { format!("{number} * scale") } else { format!("{number} * scale + shift") }
}

/// `fieldN(chunk, row, source, lane)`: this lane's words of a row, from stored to batch.
pub(super) fn one_field(s: &mut Source, i: usize, f: &Field, half: bool) {
    s.line(format!("fn field{i}(chunk: u32, row: u32, source: u32, lane: u32) {{"));
    s.line(format!("    let width = d.field{i}_width;\n    let words = d.field{i}_items;\n    let to = d.batch{i}_offset;"));
    scaling(s, i, f);
    s.line("    for (var item = 0u; item < ITEMS; item++) {\n        let w = chunk * (WG * ITEMS) + item * WG + lane;\n        if (w >= words) { return; }");
    s.line(format!("        let word = data{i}[source * d.field{i}_pitch + w];"));
    let bytes = f.stored == DType::U8;
    if bytes {
        s.line("        for (var j = 0u; j < 4u; j++) {\n            let e = w * 4u + j;\n            if (e >= width) { return; }");
        s.line("            let value = (word >> (8u * j)) & 255u;");
    } else {
        s.line("        {\n            let e = w;\n            let value = word;");
    }
    s.line(match (f.one_hot, f.keep_integer) {
        (Some(_), _) => format!(
            "            let classes = d.field{i}_classes;\n            for (var c = 0u; c < classes; c++) {{ batch{i}[to + (row * width + e) * classes + c] = {}; }}",
            rounded(half, false, "select(0.0, 1.0, c == value)".into())
        ),
        (None, true) => format!("            batch{i}[to + row * width + e] = value;"),
        (None, false) => format!("            batch{i}[to + row * width + e] = {};", rounded(half, false, number(f, "f32"))),
    });
    s.line("        }\n    }\n}");
}
