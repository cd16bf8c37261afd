//! Factors whose elements are not stored one by one: how a shader finds them.

use super::Gemm;
use super::side::Side;
use crate::kernels::lib::binding::Element;
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

/// The row of all positions, from `major`, and where its words are.
const POSITION: &str = "    let spot = d.first + batch * d.apart + major;
    let image = spot / d.positions;
    let at = d.starts + (spot - image * d.positions) * d.words;
";

/// Whether a tap of a row that has been found lies inside.
fn inside(tap: &str) -> String {
    format!("((tables[row.y + {tap} / 32u] >> ({tap} % 32u)) & 1u) == 1u")
}

impl Gemm {
    /// `x1` and `x4` of patches, whose stored rows have `extent` elements: 0 outside of the image. What lies outside is not read. They are made of a row
    /// that has been found, `x_row`, and of what the tables tell of its next elements, `x_told`: either may serve many times.
    pub(super) fn patches(&self, s: &mut Source, side: &Side, extent: &str) {
        let Side { name: x, half, vector, .. } = *side;
        let (one, told) = (if vector { format!("{x}[i / 4u][i % 4u]") } else { format!("{x}[i]") }, format!("Told{}", x.to_uppercase()));
        s.line(format!("fn {x}_row(batch: u32, major: u32) -> vec2<u32> {{\n{POSITION}"));
        s.line(format!("    return vec2<u32>(d.{x}_offset + {} + image * d.image + tables[at], at + 1u);\n}}", self.over_batch(x)));
        if side.turned {
            s.line(format!("fn {x}_first(batch: u32) -> vec2<u32> {{\n    let major = 0u;\n{POSITION}"));
            s.line(format!("    return vec2<u32>(d.{x}_offset + {} + image * d.image, at);\n}}", self.over_batch(x)));
        }
        s.line(format!("fn {x}1_of(row: vec2<u32>, minor: u32) -> f32 {{\n    let own = d.terms + 2u * min(minor, {extent} - 1u);"));
        s.line(format!(
            "    let tap = tables[own + 1u];\n    var x = 0.0;\n    if ({}) {{\n        let i = row.x + tables[own];",
            inside("tap")
        ));
        s.line(format!("        x = {};\n    }}\n    return x;\n}}", widened(half, false, one)));
        if vector {
            s.line(format!("alias {told} = vec2<u32>;\nfn {x}_told(minor: u32) -> {told} {{"));
            s.line(format!(
                "    let own = d.terms + 2u * min(minor, {extent} - 4u);\n    return vec2<u32>(tables[own], tables[own + 1u]);\n}}"
            ));
            s.line(format!("fn {x}4_of(row: vec2<u32>, told: {told}) -> vec4<f32> {{\n    let there = {};", inside("told.y")));
            s.line("    let i = select(0u, row.x + told.x, there);");
            s.line(format!("    return select(vec4<f32>(), {}, there);\n}}", widened(half, true, format!("{x}[i / 4u]"))));
        } else {
            let four: Vec<String> = (0..4).map(|j| format!("{x}1_of(row, told + {j}u)")).collect();
            s.line(format!("alias {told} = u32;\nfn {x}_told(minor: u32) -> {told} {{ return minor; }}"));
            s.line(format!("fn {x}4_of(row: vec2<u32>, told: {told}) -> vec4<f32> {{ return vec4<f32>({}); }}", four.join(", ")));
        }
        s.line(format!("fn {x}1(batch: u32, major: u32, minor: u32) -> f32 {{ return {x}1_of({x}_row(batch, major), minor); }}"));
        s.line(format!(
            "fn {x}4(batch: u32, major: u32, minor: u32) -> vec4<f32> {{ return {x}4_of({x}_row(batch, major), {x}_told(minor)); }}"
        ));
    }

    /// The loader of patches, which divides where it starts and nowhere else.
    pub(super) fn patch_loader(&self, s: &mut Source, side: &Side) {
        let Side { name: x, turned, vector, .. } = *side;
        let place = side.place();
        s.line(format!("alias Step{} = vec4<u32>;", x.to_uppercase()));
        s.line(format!("fn {x}_step(terms: u32) -> Step{} {{", x.to_uppercase()));
        s.line(if turned {
            "    let images = terms / d.positions;\n    return vec4<u32>(images * d.image, 0u, (terms - images * d.positions) * d.words, 0u);\n}"
        } else {
            "    return vec4<u32>(0u, 0u, 2u * terms, 0u);\n}"
        });
        s.line(format!("fn {x}_far(own: vec4<u32>, step: vec4<u32>) -> vec4<u32> {{\n    let next = own + step;"));
        s.line(if turned {
            "    let all = d.positions * d.words;\n    return next + select(vec4<u32>(), vec4<u32>(d.image, 0u, 0u - all, 0u), next.z >= all);\n}"
        } else {
            "    return next;\n}"
        });
        if vector {
            // what the tables say of a place is on its way one step ahead of its elements
            s.line(format!("alias {place} = array<vec4<u32>, 2>;"));
            self.look(s, side);
            by_fours(s, side);
        } else {
            s.line(format!("alias {place} = vec4<u32>;"));
            self.by_ones(s, side);
        }
        let far = |own: &str| format!("{x}_far({own}, step)");
        let on = if vector { format!("{place}({0}, {x}_look({0}))", far("place[0]")) } else { far("place") };
        s.line(format!("fn {x}_on(place: {place}, step: vec4<u32>) -> {place} {{ return {on}; }}"));
        s.line(format!("fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{"));
        let made = self.patch_start(s, side);
        s.line(if vector {
            format!("    let own = {made};\n    return {place}(own, {x}_look(own));\n}}")
        } else {
            format!("    return {made};\n}}")
        });
    }

    /// Of a row: its first element, where the bits of its taps are, where the term is told of, and the bits of the first taps. Of a column: how far an image's
    /// first element lies before the tap's, the word that has the tap's bit, where the row is told of, and the bit; or, of columns read one by one, how
    /// far it lies before the image, where the columns are told of, the row, and how many columns follow.
    fn patch_start(&self, s: &mut Source, side: &Side) -> String {
        let Side { name: x, rows, turned, vector, .. } = *side;
        s.line(format!("    let major = {};", if turned { "term".into() } else { format!("min(row, d.{rows} - 1u)") }));
        s.line(format!("{POSITION}    let first = d.{x}_offset + {} + image * d.image;", self.over_batch(x)));
        if !turned {
            return "vec4<u32>(first + tables[at], at + 1u, d.terms + 2u * term, tables[at + 1u])".into();
        }
        s.line(format!("    let column = min(row, d.{rows} - {}u);", if vector { 4 } else { 1 }));
        if !vector {
            return format!("vec4<u32>(first, d.terms + 2u * column, at - d.starts, d.{rows} - 1u - column)");
        }
        s.line("    let told = d.terms + 2u * column;\n    let tap = tables[told + 1u];");
        "vec4<u32>(first + tables[told], tap / 32u + 1u, at - d.starts, 1u << (tap % 32u))".into()
    }

    /// What the tables say of a place: how far its tap lies from the first, its bit's number, and the bits; or where the row begins, and the bits. Of places
    /// past the last term what they say of that.
    fn look(&self, s: &mut Source, side: &Side) {
        s.line(format!("fn {}_look(own: vec4<u32>) -> vec4<u32> {{", side.name));
        s.line(match (side.turned, self.spec.many_taps) {
            (true, _) => "    let at = d.starts + own.z;\n    return vec4<u32>(tables[at], tables[at + own.y], 0u, 0u);\n}".into(),
            (false, many) => format!(
                "    let at = min(own.z, d.terms + 2u * d.k - 2u);\n    let tap = tables[at + 1u];\n    return vec4<u32>(tables[at], tap % 32u, {}, 0u);\n}}",
                if many { "tables[own.y + tap / 32u]" } else { "own.w" }
            ),
        });
    }

    /// How four terms of a row are read, or four columns of a term, one by one.
    fn by_ones(&self, s: &mut Source, side: &Side) {
        let Side { name: x, turned, whole, .. } = *side;
        let each = |of: &dyn Fn(usize) -> String| (0..4).map(of).collect::<Vec<_>>().join(", ");
        // past the last column and the last term there is nothing to be looked up
        s.line(format!("fn {x}_told(place: vec4<u32>) -> vec4<u32> {{"));
        s.line(if turned {
            "    return vec4<u32>(place.y) + 2u * min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(place.w));\n}"
        } else {
            "    return min(vec4<u32>(place.z) + vec4<u32>(0u, 2u, 4u, 6u), vec4<u32>(d.terms + 2u * d.k - 2u));\n}"
        });
        s.line(format!("fn {x}_inside(place: vec4<u32>) -> vec4<bool> {{\n    let told = {x}_told(place);"));
        s.line(format!("    let tap = vec4<u32>({});", each(&|j| format!("tables[told[{j}] + 1u]"))));
        let words = if turned { "d.starts + place.z + 1u" } else { "place.y" };
        s.line(if self.spec.many_taps {
            format!("    let words = {words};\n    let bits = vec4<u32>({});", each(&|j| format!("tables[words + tap[{j}] / 32u]")))
        } else {
            format!("    let bits = vec4<u32>({});", if turned { format!("tables[{words}]") } else { "place.w".into() })
        });
        s.line("    return ((bits >> (tap % vec4<u32>(32u))) & vec4<u32>(1u)) == vec4<u32>(1u);\n}");
        let before_end = if turned { "vec4<bool>(term < end)" } else { "vec4<u32>(term) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end)" };
        side.there(s, "vec4<bool>", if whole { format!("{x}_inside(place)") } else { format!("{x}_inside(place) & ({before_end})") });
        let first = if turned { "place.x + tables[d.starts + place.z]" } else { "place.x" };
        s.line(format!("fn {x}_first(place: vec4<u32>) -> u32 {{ return {first}; }}"));
        let told = each(&|j| format!("tables[{x}_told(place)[{j}]]"));
        s.line(format!("fn {x}_elements(place: vec4<u32>, there: vec4<bool>) -> vec4<u32> {{"));
        s.line(format!("    return select(vec4<u32>(), vec4<u32>({x}_first(place)) + vec4<u32>({told}), there);\n}}"));
        let of = Element::float(side.half).by_fours(true);
        side.read(s, format!("{of}({})", each(&|j| format!("{x}[{x}_elements(place, there)[{j}]]"))));
        side.value(s, false);
    }
}

/// How four channels are read.
fn by_fours(s: &mut Source, side: &Side) {
    let Side { name: x, turned, .. } = *side;
    let inside = if turned { "(place[1].y & place[0].w) != 0u" } else { "((place[1].z >> place[1].y) & 1u) == 1u" };
    side.there(s, "bool", if side.whole { inside.into() } else { format!("term < end && {inside}") });
    side.read(s, format!("{x}[select(0u, place[0].x + place[1].x, there) / 4u]"));
    side.value(s, false);
}

/// The loader of a single factor that has `x4`: it remembers the row, the term and the matrix of the batch.
pub(super) fn by_elements(s: &mut Source, side: &Side) {
    let Side { name: x, rows, turned, .. } = *side;
    let place = side.place();
    s.line(format!("alias {place} = vec3<u32>;\nalias Step{} = vec3<u32>;", x.to_uppercase()));
    s.line(format!(
        "fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{ return vec3<u32>(min(row, d.{rows} - 1u), term, batch); }}"
    ));
    s.line(format!("fn {x}_step(terms: u32) -> {place} {{ return vec3<u32>(0u, terms, 0u); }}"));
    s.line(format!("fn {x}_on(place: {place}, step: {place}) -> {place} {{ return place + step; }}"));
    if turned {
        side.there(s, "bool", "term < end".into());
        // past the last term nothing is read
        side.read(s, format!("{x}4(place.z, select(0u, place.y, there), place.x)"));
    } else {
        side.there(s, "vec4<bool>", "vec4<u32>(term) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end)".into());
        side.read(s, format!("{x}4(place.z, place.x, place.y)"));
    }
    side.value(s, false);
}
