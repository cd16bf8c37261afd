//! Indices that come straight from the data: the host can look at them before a step runs.

use super::{Step, fuse::base};
use crate::error::place;
use crate::graph::Op;

/// Integers of a field that index a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexLimit {
    /// The field's name.
    pub field: String,
    /// Rows of the table: every index must be below.
    pub rows: usize,
    /// The layer and the line that take them.
    pub at: String,
}

/// The limits that a step sets to its fields.
pub(super) fn limits(step: &Step) -> Vec<IndexLimit> {
    let g = &step.graph;
    let mut out = Vec::new();
    for n in &g.nodes {
        let Op::Take = n.op else { continue };
        let Op::Batch { field, .. } = &g.nodes[base(g, n.inputs[1]).node].op else { continue };
        let line = place(n.place);
        let at = if n.layer.is_empty() { line } else { format!("layer `{}`, {line}", n.layer) };
        let limit = IndexLimit { field: field.name.clone(), rows: g.shape(n.inputs[0])[0], at };
        if !out.contains(&limit) {
            out.push(limit);
        }
    }
    out
}
