//! The two sides of a product, for what differs between them by name alone.

use crate::kernels::lib::binding::Element;
use crate::kernels::lib::halves::widened;
use crate::kernels::lib::source::Source;

/// An operand as a loader sees it.
pub(super) struct Side {
    /// `a` or `b`.
    pub name: &'static str,
    /// The size that says how many rows of A, or columns of B, there are.
    pub rows: &'static str,
    /// Vectors of four lie along its rows.
    pub turned: bool,
    /// It is read four elements at a time, which are aligned and whole: see `Matrix::in_fours`.
    pub vector: bool,
    /// It is f16.
    pub half: bool,
    /// The body asks for no term beyond the last.
    pub whole: bool,
}

impl Side {
    /// The name of its places.
    pub fn place(&self) -> String {
        format!("Place{}", self.name.to_uppercase())
    }

    /// `x_there`: whether what stands at a place counts, for all four elements or each.
    pub fn there(&self, s: &mut Source, kind: &str, condition: String) {
        let (x, place, side) = (self.name, self.place(), self.name.to_uppercase());
        s.line(format!("alias There{side} = {kind};"));
        s.line(format!("fn {x}_there(place: {place}, term: u32, end: u32) -> There{side} {{ return {condition}; }}"));
    }

    /// `x_read`: the elements as they are stored, or others where none is there.
    pub fn read(&self, s: &mut Source, four: String) {
        let (x, place, side) = (self.name, self.place(), self.name.to_uppercase());
        s.line(format!("alias Read{side} = {};", Element::float(self.half).by_fours(true)));
        s.line(format!("fn {x}_read(place: {place}, there: There{side}) -> Read{side} {{ return {four}; }}"));
    }

    /// `x_value`: what was read, or 0; and `x_at`: both at once.
    pub fn value(&self, s: &mut Source, all: bool) {
        let (x, place, side) = (self.name, self.place(), self.name.to_uppercase());
        let four = widened(self.half, true, "read".into());
        let value = if all { four } else { format!("select(vec4<f32>(), {four}, there)") };
        s.line(format!("fn {x}_value(read: Read{side}, there: There{side}) -> vec4<f32> {{ return {value}; }}"));
        s.line(format!("fn {x}_at(place: {place}, term: u32, end: u32) -> vec4<f32> {{"));
        s.line(format!("    let there = {x}_there(place, term, end);\n    return {x}_value({x}_read(place, there), there);\n}}"));
    }
}
