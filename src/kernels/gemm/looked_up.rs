//! Factors whose elements are not stored one by one: how a shader finds them.

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

/// `x1` and `x4` of patches, whose stored rows have `extent` elements: 0 outside of the image.
pub(super) fn patches(s: &mut Source, side: &Side, extent: &str) {
    let Side { name: x, half, .. } = *side;
    let image = "major / d.positions * d.image";
    let place = format!("{x}[d.{x}_offset + {image} + tables[at] + tables[d.steps + tap] + own % d.channels]");
    s.line(format!("fn {x}1(batch: u32, major: u32, minor: u32) -> f32 {{\n    let own = min(minor, {extent} - 1u);"));
    s.line("    let tap = own / d.channels;\n    let at = d.starts + 2u * (major % d.positions);\n    var x = 0.0;");
    s.line(format!("    if (((tables[at + 1u] >> tap) & 1u) == 1u) {{ x = {}; }}\n    return x;\n}}", widened(half, false, place)));
    let four: Vec<String> = (0..4).map(|j| format!("{x}1(batch, major, minor + {j}u)")).collect();
    s.line(format!("fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f32> {{ return vec4<f32>({}); }}", four.join(", ")));
}

/// The loader of a single factor that has `x4`: it remembers the row and the term.
pub(super) fn by_elements(s: &mut Source, side: &Side) {
    let Side { name: x, rows, turned, .. } = *side;
    let place = format!("Place{}", x.to_uppercase());
    s.line(format!("alias {place} = vec2<u32>;"));
    s.line(format!("fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{ return vec2<u32>(min(row, d.{rows} - 1u), term); }}"));
    s.line(format!("fn {x}_step(terms: u32) -> {place} {{ return vec2<u32>(0u, terms); }}"));
    s.line(format!("fn {x}_at(place: {place}, term: u32, end: u32) -> vec4<f32> {{\n    if (term >= end) {{ return vec4<f32>(); }}"));
    s.line(if turned {
        format!("    return {x}4(0u, place.y, place.x);\n}}")
    } else {
        let there = "vec4<u32>(term) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end)";
        format!("    return select(vec4<f32>(), {x}4(0u, place.x, place.y), {there});\n}}")
    });
}
