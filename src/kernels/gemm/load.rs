//! Loaders: how the kernels with workgroups read A and B. A kernel's body knows rows (of A; columns of B) and terms, and asks for vectors of four
//! along one of the two; only a loader knows where in memory they lie. It prepares a place once for a tile, and steps.
//!
//! For the operand `a` (`b` alike) a loader prints
//! - `alias PlaceA`: what it must remember of a vector between two slices;
//! - `fn a_start(batch: u32, row: u32, term: u32) -> PlaceA`: the vector that begins there: at four terms of a row where the operand is not
//!   turned (`!TA`; `TB`), else at four rows of a term. The row may lie beyond the last, the term too: no element is read yet;
//! - `alias StepA` and `fn a_step(terms: u32) -> StepA`: how far it is to the place so many terms on; `StepA()` is no step. A body asks before its loop,
//!   since compilers leave there what stands there;
//! - `fn a_on(place: PlaceA, step: StepA) -> PlaceA`: the place that far on, which may lie past the last term;
//! - `alias ThereA` and `fn a_there(place: PlaceA, term: u32, end: u32) -> ThereA`: whether its elements count. It begins at `term`, counted from wherever
//!   `end` is counted from; what stands at `end` or later does not;
//! - `alias ReadA` and `fn a_read(place: PlaceA, there: ThereA) -> ReadA`: its elements as they are stored. Whoever looks at them waits for them;
//! - `fn a_value(read: ReadA, there: ThereA) -> vec4<f32>`: the same, 0 where they do not count. Rows beyond the last are any of the operand's elements:
//!   nobody stores what comes of them;
//! - `fn a_at(place: PlaceA, term: u32, end: u32) -> vec4<f32>`: all three at once.
//!
//! A loader reads no element outside of the operand. Its sizes are its own: `a_offset` and so on, in [`Gemm::dims`](super::Gemm).

use super::Gemm;
use super::side::Side;
use crate::kernels::lib::binding::Element;
use crate::kernels::lib::source::Source;

impl Gemm {
    /// The loader of a stored matrix.
    pub(super) fn matrix(&self, s: &mut Source, side: &Side) {
        let Side { name: x, rows, turned, vector, half, whole } = *side;
        let place = side.place();
        // four single elements along the rows: the first, and how many rows there are beyond it
        let edge = turned && !vector;
        let fours = if vector { " / 4u" } else { "" };
        let kind = if edge { "vec2<u32>" } else { "u32" };
        s.line(format!("alias {place} = {kind};\nalias Step{} = {kind};", x.to_uppercase()));
        s.line(format!("fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{"));
        s.line(format!("    let own = min(row, d.{rows} - {}u);", if turned && vector { 4 } else { 1 }));
        let [major, minor] = if turned { ["term", "own"] } else { ["own", "term"] };
        let batch = self.over_batch(x);
        let first = format!("(d.{x}_offset + {batch} + {major} * d.{x}_pitch + {minor}){fours}");
        s.line(if edge { format!("    return vec2<u32>({first}, d.{rows} - 1u - own);\n}}") } else { format!("    return {first};\n}}") });
        let step = format!("terms{}{fours}", if turned { format!(" * d.{x}_pitch") } else { String::new() });
        let step = if edge { format!("vec2<u32>({step}, 0u)") } else { step };
        s.line(format!("fn {x}_step(terms: u32) -> {kind} {{ return {step}; }}"));
        s.line(format!("fn {x}_on(place: {place}, step: {kind}) -> {place} {{ return place + step; }}"));
        let each = "vec4<u32>(0u, 1u, 2u, 3u)";
        // four terms of a row end one by one
        let ends = !turned && !vector;
        side.there(
            s,
            if ends { "vec4<bool>" } else { "bool" },
            match (whole, ends) {
                (true, true) => "vec4<bool>(true)".into(),
                (true, false) => "true".into(),
                (false, true) => format!("vec4<u32>(term) + {each} < vec4<u32>(end)"),
                (false, false) => "term < end".into(),
            },
        );
        let at = match (vector, edge) {
            (true, _) => "place".into(),
            (false, true) => format!("vec4<u32>(place.x) + min({each}, vec4<u32>(place.y))"),
            (false, false) => format!("vec4<u32>(place) + {each}"),
        };
        let none = if vector { "0u" } else { "vec4<u32>()" };
        s.line(format!(
            "fn {x}_elements(place: {place}, there: There{}) -> {} {{",
            x.to_uppercase(),
            if vector { "u32" } else { "vec4<u32>" }
        ));
        s.line(if whole { format!("    return {at};\n}}") } else { format!("    return select({none}, {at}, there);\n}}") });
        let own = format!("{x}_elements(place, there)");
        let of = Element::float(half).by_fours(true);
        let four: Vec<String> = (0..4).map(|j| format!("{x}[{own}[{j}]]")).collect();
        side.read(s, if vector { format!("{x}[{own}]") } else { format!("{of}({})", four.join(", ")) });
        side.value(s, whole);
    }
}
