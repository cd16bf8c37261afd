//! Factors whose elements are not stored one by one: how a shader finds them.

use super::Gemm;
use super::side::Side;
use crate::kernels::lib::halves::widened;
use crate::kernels::lib::source::Source;

/// `a1` and `a4` of one-hot rows.
pub(super) fn one_hot(s: &mut Source) {
    s.line("fn a_number(major: u32) -> u32 {\n    let i = a[d.a_offset + major * d.a_pitch];");
    s.line("    return select(i, 0xffffffffu, i == d.a_nothing);\n}");
    s.line("fn a1(batch: u32, major: u32, minor: u32) -> f32 { return select(0.0, 1.0, a_number(major) == minor); }");
    s.line("fn a4(batch: u32, major: u32, minor: u32) -> vec4<f32> {");
    s.line("    let own = vec4<u32>(minor) + vec4<u32>(0u, 1u, 2u, 3u);");
    s.line("    return select(vec4<f32>(0.0), vec4<f32>(1.0), own == vec4<u32>(a_number(major)));\n}");
}

/// The row of all positions, from `major`; where its words are; and whether a tap lies inside.
const POSITION: &str = "    let spot = d.first + batch * d.apart + major;
    let image = spot / d.positions;
    let at = d.starts + (spot - image * d.positions) * d.words;
";

fn inside(at: &str, tap: &str) -> String {
    format!("((tables[{at} + 1u + {tap} / 32u] >> ({tap} % 32u)) & 1u) == 1u")
}

impl Gemm {
    /// `x1` and `x4` of patches, whose stored rows have `extent` elements: 0 outside of the image. What lies outside is not read.
    pub(super) fn patches(&self, s: &mut Source, side: &Side, extent: &str) {
        let Side { name: x, half, vector, .. } = *side;
        let begins = format!("d.{x}_offset + {} + image * d.image + tables[at]", self.over_batch(x));
        let one = if vector { format!("{x}[i / 4u][i % 4u]") } else { format!("{x}[i]") };
        s.line(format!("fn {x}1(batch: u32, major: u32, minor: u32) -> f32 {{\n    let own = d.terms + 2u * min(minor, {extent} - 1u);"));
        s.line(format!("{POSITION}    var x = 0.0;\n    let tap = tables[own + 1u];\n    if ({}) {{", inside("at", "tap")));
        s.line(format!("        let i = {begins} + tables[own];\n        x = {};\n    }}\n    return x;\n}}", widened(half, false, one)));
        s.line(format!("fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f32> {{"));
        if vector {
            s.line(format!("    let own = d.terms + 2u * min(minor, {extent} - 4u);\n{POSITION}    let tap = tables[own + 1u];"));
            s.line(format!("    let there = {};\n    let i = select(0u, {begins} + tables[own], there);", inside("at", "tap")));
            s.line(format!("    return select(vec4<f32>(), {}, there);\n}}", widened(half, true, format!("{x}[i / 4u]"))));
        } else {
            let four: Vec<String> = (0..4).map(|j| format!("{x}1(batch, major, minor + {j}u)")).collect();
            s.line(format!("    return vec4<f32>({});\n}}", four.join(", ")));
        }
    }

    /// The loader of patches that are read four channels at a time. It remembers of a row of them the first element, its words in the tables and the term; of
    /// a column how far it lies behind a patch's first place, its tap and the row.
    pub(super) fn patches_by_fours(&self, s: &mut Source, side: &Side) {
        let Side { name: x, rows, half, turned, .. } = *side;
        let place = format!("Place{}", x.to_uppercase());
        s.line(format!("alias {place} = vec4<u32>;"));
        s.line(format!("fn {x}_step(terms: u32) -> {place} {{ return vec4<u32>(0u, 0u, terms, 0u); }}"));
        s.line(format!("fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{"));
        let offset = format!("d.{x}_offset + {}", self.over_batch(x));
        if turned {
            s.line(format!("    let own = d.terms + 2u * min(row, d.{rows} - 4u);"));
            s.line(format!("    return vec4<u32>({offset} + tables[own], tables[own + 1u], d.first + batch * d.apart + term, 0u);\n}}"));
        } else {
            s.line(format!("    let major = min(row, d.{rows} - 1u);\n{POSITION}"));
            s.line(format!("    return vec4<u32>({offset} + image * d.image + tables[at], at, term, 0u);\n}}"));
        }
        s.line(format!("fn {x}_at(place: {place}, term: u32, end: u32) -> vec4<f32> {{\n    if (term >= end) {{ return vec4<f32>(); }}"));
        s.line(if turned {
            let at = "    let image = place.z / d.positions;\n    let at = d.starts + (place.z - image * d.positions) * d.words;\n";
            format!(
                "{at}    let there = {};\n    let i = select(0u, place.x + image * d.image + tables[at], there);",
                inside("at", "place.y")
            )
        } else {
            let own = "    let own = d.terms + 2u * place.z;\n    let tap = tables[own + 1u];\n";
            format!("{own}    let there = {};\n    let i = select(0u, place.x + tables[own], there);", inside("place.y", "tap"))
        });
        s.line(format!("    return select(vec4<f32>(), {}, there);\n}}", widened(half, true, format!("{x}[i / 4u]"))));
    }
}

/// The loader of a single factor that has `x4`: it remembers the row, the term and the matrix of the batch.
pub(super) fn by_elements(s: &mut Source, side: &Side) {
    let Side { name: x, rows, turned, .. } = *side;
    let place = format!("Place{}", x.to_uppercase());
    s.line(format!("alias {place} = vec3<u32>;"));
    s.line(format!(
        "fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{ return vec3<u32>(min(row, d.{rows} - 1u), term, batch); }}"
    ));
    s.line(format!("fn {x}_step(terms: u32) -> {place} {{ return vec3<u32>(0u, terms, 0u); }}"));
    s.line(format!("fn {x}_at(place: {place}, term: u32, end: u32) -> vec4<f32> {{\n    if (term >= end) {{ return vec4<f32>(); }}"));
    s.line(if turned {
        format!("    return {x}4(place.z, place.y, place.x);\n}}")
    } else {
        let there = "vec4<u32>(term) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end)";
        format!("    return select(vec4<f32>(), {x}4(place.z, place.x, place.y), {there});\n}}")
    });
}
