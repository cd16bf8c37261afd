//! Work along the same rows becomes one kernel: reductions over the last axes with the maps and reductions around them, and softmaxes.

use super::fuser::Fuser;
use super::sums::results;
use super::{Core, Group, Groups};
use crate::graph::{Graph, Kind, NodeId, Op, Value, op};
use crate::kernels::Row;
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::{DType, Shape};
use std::collections::HashMap;

/// Joins of one kernel.
const MOST_JOINS: usize = 4;

/// How a row kernel reads an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Read {
    /// A value at each place of a row; so many from one row to the next, 0 where all rows read the same.
    Values(usize),
    /// A number for each row (1), or one for all (0).
    Number(usize),
}

/// What a kernel along rows reads.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// The values from outside.
    pub inputs: Vec<(Value, Read)>,
    /// Of each node for each operand which of these it is; nothing where the kernel makes it.
    pub operands: Vec<Vec<Option<usize>>>,
}

/// The rows that a kernel goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub rows: usize,
    /// Values of each.
    pub width: usize,
}

impl Rows {
    /// Rows of `width` values that fill a shape.
    pub fn of(shape: &Shape, width: usize) -> Self {
        Rows { rows: shape.size() / width, width }
    }

    /// Whether a shape has a value at each place of the rows; else it has a number for each row.
    pub fn fills(&self, shape: &Shape) -> bool {
        shape.size() == self.rows * self.width
    }

    /// How an operand of this shape is read by a node that goes over that one.
    fn read(&self, own: &Shape, over: &Shape) -> Option<Read> {
        if own.size() == 1 {
            return Some(Read::Number(0));
        }
        if own.size() == over.size() {
            return Some(if self.fills(over) { Read::Values(self.width) } else { Read::Number(1) });
        }
        // numbers of rows have no axis along them
        if !self.fills(over) {
            return None;
        }
        let first = (0..over.rank()).find(|&a| over.dims()[a..].iter().product::<usize>() == self.width)?;
        let steps = own.broadcast_strides(over);
        let axes = |from: usize, to: usize| (from..to).rev().filter(|&a| over[a] != 1);
        let repeated = |from, to| axes(from, to).all(|a| steps[a] == 0);
        let dense = |from, to| {
            let mut step = 1;
            axes(from, to).all(|a| {
                let next = step * over[a];
                std::mem::replace(&mut step, next) == steps[a]
            })
        };
        let last = over.rank();
        match (repeated(0, first), repeated(first, last)) {
            (true, false) if dense(first, last) => Some(Read::Values(0)),
            (false, true) if dense(0, first) => Some(Read::Number(1)),
            _ => None,
        }
    }

    /// What these nodes, in their order, read; `None` where a kernel along the rows cannot compute them.
    pub fn reads(&self, g: &Graph, f: &Groups, nodes: &[NodeId]) -> Option<Reads> {
        let mut made: HashMap<Value, bool> = HashMap::new();
        let mut found = Reads::default();
        for &id in nodes {
            let n = &g.nodes[id];
            let own = &n.outputs[0].shape;
            let over = match g.kind(id) {
                Kind::Map | Kind::Constant if self.fills(own) || own.size() == self.rows => own,
                _ if reduced(g, id) == Some(self.width) => g.shape(n.inputs[0]),
                _ => return None,
            };
            let mut operand = |v: Value| {
                let (base, read) = (g.base(v), self.read(g.shape(v), over)?);
                if let Some(whole) = made.get(&base) {
                    return (*whole == matches!(read, Read::Values(_))).then_some(None);
                }
                if f.views.sees(g, v) || f.drawn.contains(&base.node) || g.ty(base).dtype == DType::U32 {
                    return None;
                }
                let known = found.inputs.iter().position(|i| *i == (base, read));
                Some(Some(known.unwrap_or_else(|| {
                    found.inputs.push((base, read));
                    found.inputs.len() - 1
                })))
            };
            let operands = n.inputs.iter().map(|&v| operand(v)).collect::<Option<Vec<_>>>()?;
            found.operands.push(operands);
            made.insert(id.into(), self.fills(own));
        }
        Some(found)
    }

    /// Whether one launch is no worse than several: where rows are few and wide, several share the work of a row among more lanes.
    fn are_worth_it(&self) -> bool {
        self.width > 1 && (self.rows >= Row::FEW || self.width <= Row::WIDE)
    }
}

/// The values of a row that a node reduces, or takes the softmax of.
fn reduced(g: &Graph, id: NodeId) -> Option<usize> {
    let shape = g.shape(*g.nodes[id].inputs.first()?);
    match &g.nodes[id].op {
        Op::Softmax(_) => Some(shape.last()),
        Op::Reduce(op::Reduce { axes, .. }) => {
            let (lo, hi) = (*axes.iter().min()?, axes.iter().max()? + 1);
            let behind: usize = shape.dims()[hi..].iter().product();
            (behind == 1).then(|| shape.dims()[lo..].iter().product())
        }
        _ => None,
    }
}

impl Fuser<'_> {
    /// Brings what runs along the same rows together, as far as a kernel can.
    pub(super) fn join_rows(&mut self) {
        for k in 0..self.f.groups.len() {
            if let Core::Alone(n) = self.f.groups[k].core
                && let (Op::Softmax(_), Some(width)) = (&self.g.nodes[n].op, reduced(self.g, n))
            {
                (self.f.groups[k].core, self.f.groups[k].maps) = (Core::Row(width), vec![n]);
            }
        }
        for k in 0..self.f.groups.len() {
            let mut at = k;
            while let Some(joined) = self.join_one(at) {
                at = joined;
            }
        }
    }

    /// Brings a group with reductions and one that it reads, or that reads it, together: the place of both.
    fn join_one(&mut self, k: usize) -> Option<usize> {
        let rows = self.rows(k)?;
        let before = self.needs.sources(k).iter().map(|&s| (s, k));
        let behind = self.needs.targets(k).iter().map(|&t| (k, t));
        let pairs: Vec<(usize, usize)> = before.chain(behind).collect();
        for (a, b) in pairs {
            let Some(nodes) = self.together(rows, a, b) else { continue };
            // nothing that the second reads may need the first
            let others: Vec<usize> = self.needs.sources(b).iter().copied().filter(|&s| s != a).collect();
            if others.iter().any(|&s| self.needs.depends(s, a)) {
                continue;
            }
            let shape = if self.rows(a).is_some() { self.f.groups[a].shape.clone() } else { self.f.groups[b].shape.clone() };
            nodes.iter().for_each(|&n| _ = self.f.owner.insert(n, a));
            self.f.groups[a] = Group { core: Core::Row(rows.width), maps: nodes, row_sum: None, sums: vec![], shape };
            self.f.groups[b] = Group { core: Core::Maps, maps: vec![], ..self.f.groups[b].clone() };
            self.needs.merge(a, b);
            return Some(a);
        }
        None
    }

    /// The rows of a group that reduces any.
    fn rows(&self, k: usize) -> Option<Rows> {
        let group = &self.f.groups[k];
        let width = match group.core {
            Core::Row(width) => width,
            Core::Reduce(n) => reduced(self.g, n)?,
            _ => return None,
        };
        Some(Rows::of(&group.shape, width)).filter(Rows::are_worth_it)
    }

    /// The nodes of two groups, if one kernel along these rows can have them.
    fn together(&self, rows: Rows, a: usize, b: usize) -> Option<Vec<NodeId>> {
        let g = self.g;
        let of_rows = |k: usize| match self.f.groups[k].core {
            Core::Maps => true,
            Core::Row(_) | Core::Reduce(_) => self.rows(k) == Some(rows),
            Core::Gemm(_) | Core::Alone(_) => false,
        };
        if !of_rows(a) || !of_rows(b) {
            return None;
        }
        let mut nodes: Vec<NodeId> = [a, b].iter().flat_map(|&k| self.f.groups[k].nodes()).collect();
        nodes.sort_unstable();
        let of = |kind: fn(&Op) -> bool| nodes.iter().copied().filter(move |n| kind(&g.nodes[*n].op));
        let joins = results(g, of(|op| matches!(op, Op::Reduce(_)))) + 2 * of(|op| matches!(op, Op::Softmax(_))).count();
        let inputs = rows.reads(g, &self.f, &nodes)?.inputs;
        let group = Group { core: Core::Row(rows.width), maps: nodes, row_sum: None, sums: vec![], shape: self.f.groups[a].shape.clone() };
        let buffers = inputs.len() + self.f.outputs(&group).len() + if rows.width > Row::LONG { joins } else { 0 };
        (joins <= MOST_JOINS && buffers <= STORAGE_BUFFERS).then_some(group.maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few wide rows go as they went: their sums are cut into pieces.
    #[test]
    fn few_wide_rows_are_shared() {
        let few = Rows { rows: 3, width: 4000 };
        assert!(!few.are_worth_it() && Rows { rows: 16, width: 4000 }.are_worth_it() && Rows { rows: 3, width: 1000 }.are_worth_it());
    }

    #[test]
    fn operands_are_read_by_their_axes() {
        let rows = Rows { rows: 12, width: 5 };
        let read = |own: &[usize], over: &[usize]| rows.read(&own.into(), &over.into());
        assert_eq!(read(&[3, 4, 5], &[3, 4, 5]), Some(Read::Values(5)));
        assert_eq!(read(&[12, 5], &[3, 4, 5]), Some(Read::Values(5)));
        assert_eq!(read(&[5], &[3, 4, 5]), Some(Read::Values(0)));
        assert_eq!(read(&[1, 1, 5], &[3, 4, 5]), Some(Read::Values(0)));
        assert_eq!(read(&[3, 4, 1], &[3, 4, 5]), Some(Read::Number(1)));
        assert_eq!(read(&[12], &[12]), Some(Read::Number(1)));
        assert_eq!(read(&[1], &[3, 4, 5]), Some(Read::Number(0)));
        assert_eq!(read(&[4, 1], &[3, 4, 5]), None);
        assert_eq!(read(&[4, 5], &[3, 4, 5]), None);
        assert_eq!(read(&[3, 1, 5], &[3, 4, 5]), None);
        // of numbers, whose last axis is as long as a row is wide
        let numbers = Rows { rows: 12, width: 4 };
        let of = |own: &[usize]| numbers.read(&own.into(), &[3, 4].into());
        assert_eq!([of(&[4]), of(&[3, 1]), of(&[3, 4]), of(&[1])], [None, None, Some(Read::Number(1)), Some(Read::Number(0))]);
        let square = Rows { rows: 5, width: 5 };
        assert_eq!(square.read(&[5].into(), &[5, 5].into()), Some(Read::Values(0)));
        assert_eq!(square.read(&[5, 1].into(), &[5, 5].into()), Some(Read::Number(1)));
    }
}
