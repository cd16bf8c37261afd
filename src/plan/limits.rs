//! Indices and class labels that come straight from the data: the host can check them before a step runs.

use crate::graph::{Field, Graph, Limit, Node, Op, Value, is_ordinals, op};

/// Integers of a field that index a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexLimit {
    /// The field's name.
    pub field: String,
    /// Rows of the table: every index must be below.
    pub rows: usize,
    /// The layer and the line that take rows of the table.
    pub at: String,
}

/// The limits that a step sets to its fields.
pub(super) fn index_limits(g: &Graph) -> Vec<IndexLimit> {
    let mut out = Vec::new();
    for n in g.nodes.iter().filter(|n| limit(g, n) == Some(Limit::Rows)) {
        let Some(field) = field(g, n.inputs[1]) else { continue };
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
    /// A label that may lie beyond: its rows do not count.
    pub ignored: Option<u32>,
}

/// The fields that a step reads as classes: those of a loss or accuracy, and those that become one-hot rows.
pub(super) fn label_limits(g: &Graph) -> Vec<LabelLimit> {
    let mut out: Vec<LabelLimit> = Vec::new();
    for n in &g.nodes {
        let found = if let Op::Batch(op::Batch { field: Field { one_hot: Some(classes), name, .. }, .. }) = &n.op {
            Some((name, *classes, None))
        } else if limit(g, n) == Some(Limit::Classes) {
            field(g, n.inputs[1]).map(|field| (&field.name, classes(g, n), ignored(n)))
        } else {
            None
        };
        let limit = found.map(|(field, classes, ignored)| LabelLimit { field: field.clone(), classes, ignored });
        out.extend(limit.filter(|l| !out.contains(l)));
    }
    out
}

/// The bound on the integers that a node reads. Integers that pick from a table of ordinals are class labels.
fn limit(g: &Graph, n: &Node) -> Option<Limit> {
    match n.op.rule().limit()? {
        Limit::Rows if is_ordinals(g, n.inputs[0]) => Some(Limit::Classes),
        limit => Some(limit),
    }
}

/// The number of classes that a node tells apart. A table of ordinals has a row for each class.
fn classes(g: &Graph, n: &Node) -> usize {
    let shape = g.shape(n.inputs[0]);
    if n.op.rule().limit() == Some(Limit::Rows) { shape[0] } else { shape.last() }
}

/// The label that a node passes over.
fn ignored(n: &Node) -> Option<u32> {
    match &n.op {
        Op::CrossEntropy(op) => op.labels.ignored(),
        Op::Accuracy(op) => op.0.ignored(),
        _ => None,
    }
}

/// The field of the batch whose integers a value holds, perhaps in another order of axes.
fn field(g: &Graph, v: Value) -> Option<&Field> {
    let node = &g.nodes[g.base(v).node];
    if let Op::Permute(_) = node.op {
        return field(g, node.inputs[0]);
    }
    if let Op::Batch(op::Batch { field, .. }) = &node.op { Some(field) } else { None }
}
