//! The sizes of a launch, each with its name. One list makes both the row of words that a session uploads and the struct through which the
//! shader reads it, so that the two agree.

use super::word::word;
use std::fmt::{Display, Write};

/// The sizes of one launch, in order. The shader says `d.rows` for the size `rows`.
#[derive(Debug, Clone, Default)]
pub struct Dims {
    /// The members of the struct, as WGSL has them.
    members: String,
    row: Vec<u32>,
}

impl Dims {
    pub(crate) fn new() -> Self {
        Dims::default()
    }

    /// Words without names: the shader says `dim(3u)` for the fourth. The texts of custom kernels are written so.
    pub(crate) fn unnamed(row: Vec<u32>) -> Self {
        Dims { members: String::new(), row }
    }

    /// A size, an offset, a stride.
    pub(crate) fn u32(self, name: impl Display, value: usize) -> Self {
        self.word(name, word(value))
    }

    /// A word that is no size: half of a number of 64 bits, or the bits of a float that may be NaN (WGSL lets a compiler assume that there is no NaN).
    pub(crate) fn word(mut self, name: impl Display, value: u32) -> Self {
        self.member(name, "u32");
        self.row.push(value);
        self
    }

    /// A number that is never NaN.
    pub(crate) fn f32(mut self, name: impl Display, value: f32) -> Self {
        self.member(name, "f32");
        self.row.push(value.to_bits());
        self
    }

    /// A size for each axis, or whatever is counted: `name0`, `name1` and so on.
    pub(crate) fn numbered(self, name: impl Display, values: &[usize]) -> Self {
        values.iter().enumerate().fold(self, |dims, (i, &v)| dims.u32(format!("{name}{i}"), v))
    }

    /// A list of sizes with room for four in each of so many vectors, since WGSL lets a uniform's list have no shorter steps: the shader finds
    /// number `i` as `d.name[i / 4u][i % 4u]`. One that is too long makes a row too long, which the plan refuses.
    pub(crate) fn list(mut self, name: impl Display, vectors: usize, values: impl IntoIterator<Item = usize>) -> Self {
        self.member(name, format!("array<vec4<u32>, {vectors}>"));
        self.row.resize(self.row.len().next_multiple_of(4), 0);
        let end = self.row.len() + 4 * vectors;
        self.row.extend(values.into_iter().map(word));
        self.row.resize(self.row.len().max(end), 0);
        self
    }

    fn member(&mut self, name: impl Display, of: impl Display) {
        let _ = writeln!(self.members, "    {name}: {of},");
    }

    /// The binding of the row, the first of every kernel.
    pub(crate) fn header(&self) -> String {
        if self.members.is_empty() {
            return "@group(0) @binding(0) var<uniform> dims: array<vec4<u32>, 16>;\n\
                    fn dim(i: u32) -> u32 { return dims[i / 4u][i % 4u]; }\n"
                .into();
        }
        format!("struct Dims {{\n{}}}\n@group(0) @binding(0) var<uniform> d: Dims;\n", self.members)
    }

    /// The words, as they are uploaded.
    pub(crate) fn row(self) -> Vec<u32> {
        self.row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word of the row lies where WGSL's rules put the member of its name.
    #[test]
    fn row_and_struct_agree() {
        let dims = Dims::new()
            .u32("rows", 7)
            .f32("smoothing", 0.5)
            .word("nan_bits", 9)
            .numbered("extent", &[3, 4])
            .list("lengths", 2, 10..15)
            .list("places", 1, [5]);
        let source = format!("{}@compute @workgroup_size(1) fn main() {{ _ = d.rows; }}", dims.header());
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
        let of = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Dims")).map(|(_, t)| t.inner.clone());
        let Some(naga::TypeInner::Struct { members, span }) = of else { panic!("no struct") };
        let row = dims.row();
        let found: Vec<(String, u32)> = members.iter().map(|m| (m.name.clone().unwrap_or_default(), row[m.offset as usize / 4])).collect();
        let wanted =
            [("rows", 7), ("smoothing", 0.5f32.to_bits()), ("nan_bits", 9), ("extent0", 3), ("extent1", 4), ("lengths", 10), ("places", 5)];
        assert_eq!(found, wanted.map(|(n, v)| (n.to_string(), v)));
        assert_eq!(row.len(), span as usize / 4);
        assert_eq!(row[8..16], [10, 11, 12, 13, 14, 0, 0, 0]);
    }
}
