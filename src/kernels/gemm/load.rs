//! Loaders: how the kernels with workgroups read A and B. A kernel's body knows rows (of A; columns of B) and terms, and asks for vectors of four
//! along one of the two; only a loader knows where in memory they lie. It prepares a place once for a tile, and steps.
//!
//! For the operand `a` (`b` alike) a loader prints
//! - `alias PlaceA`: what it must remember of a vector between two slices: a number, or a vector of numbers;
//! - `fn a_start(batch: u32, row: u32, term: u32) -> PlaceA`: the vector that begins there: at four terms of a row where the operand is not
//!   turned (`!TA`; `TB`), else at four rows of a term. The row may lie beyond the last, the term too: nothing is read yet by what the term says;
//! - `fn a_step(terms: u32) -> PlaceA`: what added to a place makes it the one so many terms on. A body asks before its loop, since compilers leave
//!   there what stands there;
//! - `fn a_at(place: PlaceA, term: u32, end: u32) -> vec4<f32>`: its elements. It begins at `term`, counted from wherever `end` is counted from;
//!   what stands at `end` or later is 0, and not read. Rows beyond the last are any of the operand's elements: nobody stores what comes of them.
//!
//! A loader reads no element outside of the operand. Its sizes are its own: `a_offset` and so on, in [`Gemm::dims`](super::Gemm).

use super::Gemm;
use super::side::Side;
use crate::kernels::lib::binding::Element;
use crate::kernels::lib::halves::widened;
use crate::kernels::lib::source::Source;

impl Gemm {
    /// The loader of a stored matrix.
    pub(super) fn matrix(&self, s: &mut Source, side: &Side) {
        let Side { name: x, rows, turned, vector, half, whole } = *side;
        let place = format!("Place{}", x.to_uppercase());
        // four single elements along the rows: the first, and how many rows there are beyond it
        let edge = turned && !vector;
        let fours = if vector { " / 4u" } else { "" };
        s.line(format!("alias {place} = {};", if edge { "vec2<u32>" } else { "u32" }));
        s.line(format!("fn {x}_start(batch: u32, row: u32, term: u32) -> {place} {{"));
        s.line(format!("    let own = min(row, d.{rows} - {}u);", if turned && vector { 4 } else { 1 }));
        let [major, minor] = if turned { ["term", "own"] } else { ["own", "term"] };
        let batch = self.over_batch(x);
        let first = format!("(d.{x}_offset + {batch} + {major} * d.{x}_pitch + {minor}){fours}");
        s.line(if edge { format!("    return vec2<u32>({first}, d.{rows} - 1u - own);\n}}") } else { format!("    return {first};\n}}") });
        let step = format!("terms{}{fours}", if turned { format!(" * d.{x}_pitch") } else { String::new() });
        let step = if edge { format!("vec2<u32>({step}, 0u)") } else { step };
        s.line(format!("fn {x}_step(terms: u32) -> {place} {{ return {step}; }}"));
        s.line(format!("fn {x}_at(place: {place}, term: u32, end: u32) -> vec4<f32> {{"));
        let each = "vec4<u32>(0u, 1u, 2u, 3u)";
        let (there, at) = match (vector, edge) {
            (true, _) => ("term < end".into(), "place".into()),
            (false, true) => ("term < end".into(), format!("vec4<u32>(place.x) + min({each}, vec4<u32>(place.y))")),
            (false, false) => (format!("vec4<u32>(term) + {each} < vec4<u32>(end)"), format!("vec4<u32>(place) + {each}")),
        };
        let none = if vector { "0u" } else { "vec4<u32>()" };
        match whole {
            true => s.line(format!("    let at = {at};")),
            false => s.line(format!("    let there = {there};\n    let at = select({none}, {at}, there);")),
        };
        let of = Element::float(half).by_fours(true);
        let read = if vector { format!("{x}[at]") } else { format!("{of}({x}[at.x], {x}[at.y], {x}[at.z], {x}[at.w])") };
        let four = widened(half, true, read);
        s.line(if whole { format!("    return {four};\n}}") } else { format!("    return select(vec4<f32>(), {four}, there);\n}}") });
    }
}
