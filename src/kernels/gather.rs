//! Rows of the data set, in the order of the epoch, to the fields of a batch.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::halves::rounded;
use super::lib::limits::MAX_GROUPS;
use super::lib::source::{Source, shader};
use super::lib::word::word;
use crate::graph::Field;
use crate::tensor::DType;

const WG: usize = 64;
const ITEMS: usize = 4;
/// Rows along one axis of the grid; more fold into the next.
const FOLD: usize = 32_768;

/// A field and where its batch goes.
#[derive(Debug, Clone)]
pub struct GatherField {
    /// What is stored, and what is made of it.
    pub field: Field,
    /// First element of the batch.
    pub output: usize,
    /// The batch is f16.
    pub half: bool,
}

impl GatherField {
    /// Four elements of a row at a time. Rows of the batch then begin at whole vectors.
    fn vector(&self) -> bool {
        self.field.one_hot.is_none() && self.field.width().is_multiple_of(4) && self.output.is_multiple_of(4)
    }

    /// Words of a stored row, or vectors.
    fn items(&self) -> usize {
        if self.vector() { self.field.width() / 4 } else { self.field.words() }
    }
}

/// Rows of the data set become a batch. Buffers: state, the list of rows if there is one, then each field's data and batch.
#[derive(Debug, Clone)]
pub struct Gather {
    /// Rows of the batch.
    pub batch: usize,
    /// A [`RowList`](crate::graph::RowList) says which stored row stands at each place of the order.
    pub listed: bool,
    /// The fields.
    pub fields: Vec<GatherField>,
}

impl Gather {
    fn chunks(f: &GatherField) -> usize {
        f.items().div_ceil(WG * ITEMS)
    }

    fn all_chunks(&self) -> usize {
        self.fields.iter().map(Self::chunks).sum()
    }
}

impl Archetype for Gather {
    fn name(&self) -> String {
        "gather".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG).number("ITEMS", ITEMS);
        s.order();
        for (i, f) in self.fields.iter().enumerate() {
            if f.vector() {
                field_of_vectors(&mut s, i, &f.field, f.half);
            } else {
                one_field(&mut s, i, &f.field, f.half);
            }
        }
        s.line("fn fields(chunk: u32, row: u32, source: u32, lane: u32) {");
        for i in 0..self.fields.len() {
            s.line(format!(
                "    if (chunk >= d.field{i}_first && chunk < d.field{i}_end) {{ field{i}(chunk - d.field{i}_first, row, source, lane); }}"
            ));
        }
        s.line("}");
        if self.listed {
            s.row_list();
        }
        let row = if self.listed { "listed_row(at, permuted)" } else { "permuted" };
        s.line(format!("fn stored_row(at: u32, permuted: u32) -> u32 {{ return {row}; }}"));
        s.finish(shader!("gather.wgsl"))
    }

    /// State, the list, then each field's data and batch. Which rows of the data are read only the state and the list say.
    fn bindings(&self) -> Vec<Binding> {
        let field = |(i, f): (usize, &GatherField)| {
            let four = f.vector();
            let stored = Element::U32.by_fours(four && f.field.stored != DType::U8);
            let made = if f.field.out_dtype() == DType::U32 { Element::U32 } else { Element::float(f.half) };
            let size = self.batch * f.field.width() * f.field.one_hot.unwrap_or(1);
            [
                Binding::read(format!("data{i}"), stored, 0..0).moving(self.batch * f.field.words()),
                Binding::write(format!("batch{i}"), made.by_fours(four), f.output..f.output + size),
            ]
        };
        let list = self.listed.then(|| Binding::read("rows", Element::U32, 0..0).moving(self.batch));
        std::iter::once(Binding::state()).chain(list).chain(self.fields.iter().enumerate().flat_map(field)).collect()
    }

    /// Its sizes. Of a field that is read in vectors the items of a row and the batch's offset count these.
    fn dims(&self) -> Dims {
        let d = Dims::new().u32("rows", self.batch).u32("fold", FOLD);
        let mut d = d.u32("chunks", self.all_chunks()).u32("groups", self.all_chunks().min(MAX_GROUPS));
        let mut first = 0;
        for (i, f) in self.fields.iter().enumerate() {
            let end = first + Self::chunks(f);
            d = d.u32(format!("field{i}_first"), first).u32(format!("field{i}_end"), end);
            d = d.u32(format!("field{i}_width"), f.field.width()).u32(format!("field{i}_items"), f.items());
            d = d.f32(format!("field{i}_scale"), f.field.scale).f32(format!("field{i}_shift"), f.field.shift);
            d = d.u32(format!("field{i}_classes"), f.field.one_hot.unwrap_or(0));
            d = d.u32(format!("batch{i}_offset"), if f.vector() { f.output / 4 } else { f.output });
            first = end;
        }
        d
    }

    /// Chunks by rows.
    fn grid(&self) -> [u32; 3] {
        [self.all_chunks().min(MAX_GROUPS), self.batch.min(FOLD), self.batch.div_ceil(FOLD)].map(word)
    }

    fn turns(&self) -> usize {
        let turns = |f: &GatherField| {
            let elements = if f.field.stored == DType::U8 { 4 } else { 1 };
            f.items().div_ceil(WG).min(ITEMS) * (1 + elements * (1 + f.field.one_hot.unwrap_or(0)))
        };
        // a few for the order; a workgroup takes one field at a time
        64 + self.all_chunks().div_ceil(MAX_GROUPS) * (1 + self.fields.iter().map(turns).max().unwrap_or(0))
    }

    fn flops(&self) -> u64 {
        0
    }
}

/// As [`one_field`], four elements at a time.
fn field_of_vectors(s: &mut Source, i: usize, f: &Field, half: bool) {
    s.line(format!("fn field{i}(chunk: u32, row: u32, source: u32, lane: u32) {{"));
    s.line(format!("    let vectors = d.field{i}_items;\n    let to = d.batch{i}_offset;"));
    s.line(format!("    let scale = d.field{i}_scale;\n    let shift = d.field{i}_shift;"));
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

/// What is made of a stored `value`, as this type.
fn number(f: &Field, of: &str) -> String {
    let number = if f.stored == DType::F32 { format!("bitcast<{of}>(value)") } else { format!("{of}(value)") };
    if f.shift == 0.0 { format!("{number} * scale") } else { format!("{number} * scale + shift") }
}

/// `fieldN(chunk, row, source, lane)`: this lane's words of a row, from stored to batch.
fn one_field(s: &mut Source, i: usize, f: &Field, half: bool) {
    s.line(format!("fn field{i}(chunk: u32, row: u32, source: u32, lane: u32) {{"));
    s.line(format!("    let width = d.field{i}_width;\n    let words = d.field{i}_items;\n    let to = d.batch{i}_offset;"));
    s.line(format!("    let scale = d.field{i}_scale;\n    let shift = d.field{i}_shift;"));
    s.line("    for (var item = 0u; item < ITEMS; item++) {\n        let w = chunk * (WG * ITEMS) + item * WG + lane;\n        if (w >= words) { return; }");
    s.line(format!("        let word = data{i}[source * words + w];"));
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
