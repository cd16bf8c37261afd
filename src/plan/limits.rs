//! Indices and class labels that come straight from the data: the host can look at them before a step runs.

use super::fuse::base;
use crate::graph::{Field, Graph, Labels, Op, Value, is_ordinals};

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
pub(super) fn index_limits(g: &Graph) -> Vec<IndexLimit> {
    let mut out = Vec::new();
    for n in &g.nodes {
        let Op::Take { .. } = n.op else { continue };
        if is_ordinals(g, n.inputs[0]) {
            continue; // class labels
        }
        let Op::Batch { field, .. } = &g.nodes[origin(g, n.inputs[1]).node].op else { continue };
        let at = n.site();
        let limit = IndexLimit { field: field.name.clone(), rows: g.shape(n.inputs[0])[0], at };
        if !out.contains(&limit) {
            out.push(limit);
        }
    }
    out
}

/// A field of class labels, and how many classes there are for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelLimit {
    /// The field's name.
    pub field: String,
    /// Labels run from 0 to one less.
    pub classes: usize,
}

/// The fields that a step reads as classes: those of a loss or accuracy, and those that become one-hot rows.
pub(super) fn label_limits(g: &Graph) -> Vec<LabelLimit> {
    let mut out: Vec<LabelLimit> = Vec::new();
    for n in &g.nodes {
        let found = match &n.op {
            Op::Batch { field: Field { one_hot: Some(classes), name, .. }, .. } => Some((name, *classes)),
            Op::CrossEntropy { labels: Labels::Classes, .. } | Op::Accuracy(Labels::Classes) => {
                match &g.nodes[origin(g, n.inputs[1]).node].op {
                    Op::Batch { field, .. } => Some((&field.name, g.shape(n.inputs[0]).last())),
                    _ => None,
                }
            }
            Op::Take { .. } if is_ordinals(g, n.inputs[0]) => match &g.nodes[origin(g, n.inputs[1]).node].op {
                Op::Batch { field, .. } => Some((&field.name, g.shape(n.inputs[0])[0])),
                _ => None,
            },
            _ => None,
        };
        let limit = found.map(|(field, classes)| LabelLimit { field: field.clone(), classes });
        out.extend(limit.filter(|l| !out.contains(l)));
    }
    out
}

/// Follows what moves every element to the value that it moves.
fn origin(g: &Graph, v: Value) -> Value {
    let v = base(g, v);
    if let Op::Permute(_) = g.nodes[v.node].op { origin(g, g.nodes[v.node].inputs[0]) } else { v }
}
