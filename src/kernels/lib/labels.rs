//! What shaders know of a batch's labels, be they class numbers or probabilities.

use super::binding::{Binding, Element};
use super::source::Source;
use crate::graph::Labels;

/// The binding of a batch's labels, the first of which is element `first` of its buffer.
pub(crate) fn labels_binding(kind: Labels, first: usize, rows: usize, classes: usize) -> Binding {
    let (of, size) = match kind {
        Labels::Classes | Labels::ClassesBut(_) => (Element::U32, rows),
        Labels::Probabilities => (Element::F32, rows * classes),
    };
    Binding::read("labels", of, first..first + size)
}

/// `counted()`: what the means are over, all rows or as many as it is told of.
pub(crate) fn counted(s: &mut Source, kind: Labels) {
    let counted = if kind.ignored().is_some() { "max(counted_rows[d.counted_offset], 1.0)" } else { "f32(d.rows)" };
    s.line(format!("fn counted() -> f32 {{ return {counted}; }}"));
}

/// The binding of the number of rows that count, where not all do.
pub(crate) fn counted_binding(kind: Labels, at: usize) -> Option<Binding> {
    kind.ignored().map(|_| Binding::read("counted_rows", Element::F32, at..at + 1))
}

/// `CLASSES`, `counts`, `target_p`, `target_total`, `target_class`. Classes behave to the bit as one-hot rows do.
pub(crate) fn labels(s: &mut Source, kind: Labels) {
    s.flag("CLASSES", kind.are_classes());
    let counts = if kind.ignored().is_some() { "labels[d.labels_offset + row] != d.ignored" } else { "true" };
    s.line(format!("fn counts(row: u32) -> bool {{ return {counts}; }}"));
    match kind {
        Labels::Classes | Labels::ClassesBut(_) => {
            s.line("fn target_class(row: u32) -> u32 { return labels[d.labels_offset + row]; }");
            s.line("fn target_p(row: u32, c: u32) -> f32 { return select(0.0, 1.0, c == labels[d.labels_offset + row]); }");
            s.line("fn target_total(row: u32) -> f32 { return 1.0; }");
        }
        Labels::Probabilities => {
            s.line("fn target_p(row: u32, c: u32) -> f32 { return labels[d.labels_offset + row * d.classes + c]; }");
            s.line(
                "fn target_total(row: u32) -> f32 {\n    var sum = 0.0;\n    \
                 for (var c = 0u; c < d.classes; c++) { sum += target_p(row, c); }\n    return sum;\n}\n\
                 fn target_class(row: u32) -> u32 {\n    var best = 0u;\n    \
                 for (var c = 1u; c < d.classes; c++) { if (target_p(row, c) > target_p(row, best)) { best = c; } }\n    return best;\n}",
            );
        }
    }
}
