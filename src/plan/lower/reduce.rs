//! Sums, means and largest values over axes; long ones are cut into pieces.

use super::lowering::Lowering;
use super::unplaced::{Place, Symbol, bind};
use crate::error::Result;
use crate::expr::{Expr, Scalar, Tape};
use crate::graph::{NodeId, Op, ReduceKind, Value, op};
use crate::kernels::{Halves, Join, Kernel, Lanes, Reduce, Term};
use crate::plan::fuse::{Group, Groups, Operand};
use crate::plan::views::{along, extents};

/// How a kernel joins what a reduction reduces.
pub(super) fn join(kind: ReduceKind) -> Join {
    match kind {
        ReduceKind::Sum => Join::Sum,
        ReduceKind::Mean => Join::Mean,
        ReduceKind::MeanFromFirst => Join::MeanFromFirst,
        ReduceKind::Variance => Join::Variance,
        ReduceKind::Max => Join::Max,
    }
}

/// Sums, means or largest over the middle of `[outer, length, inner]`.
pub(super) struct Sums {
    /// The formulas of a term over the inputs, one for each result.
    pub f: Expr,
    /// What is f16 of the inputs.
    pub halves: Vec<bool>,
    /// How they are read.
    pub terms: Vec<Term>,
    /// Their buffers.
    pub from: Vec<Symbol>,
    /// Outer, length, inner.
    pub extents: [usize; 3],
    /// How each result joins.
    pub joins: Vec<Join>,
    /// Where each goes.
    pub to: Vec<Place>,
}

impl Lowering<'_> {
    /// Reductions of the same extents with the maps in front of them.
    pub(super) fn reduce(&mut self, node: NodeId, group: &Group, op: &op::Reduce) -> Result<()> {
        let g = self.g;
        let shape = g.shape(g.nodes[node].inputs[0]).clone();
        let nodes = Groups::reductions(group);
        let inputs = self.groups.sum_inputs(g, group);
        let results = self.paired(&nodes);
        let f = self.term(group, &results.iter().map(|r| r.0).collect::<Vec<_>>(), &inputs);
        let halves: Vec<bool> = inputs.iter().map(|o| self.half(o.value)).collect();
        let mut terms = Vec::new();
        let mut from = Vec::new();
        for o in inputs {
            let (symbol, read) = self.read(o, &shape);
            let Some([outer, along, inner]) = along(&shape, &read.strides, op) else { return Err(self.no_kernel(node)) };
            from.push(symbol);
            terms.push(Term { offset: read.offset, outer, along, inner });
        }
        let extents = extents(&shape, op);
        let (mut joins, mut to, mut names) = (vec![], vec![], vec![]);
        for &(n, how, own) in &results {
            joins.push(how);
            to.push(if own { self.assign(n.into()) } else { (self.temporary(extents[0] * extents[2]), 0) });
            names.extend(own.then(|| g.nodes[n].op.name()));
        }
        let label = self.label(node, format!("{} {shape} to {}", names.join(", "), g.shape(node.into())), &group.maps);
        self.sums(Sums { f, halves, terms, from, extents, joins, to }, &label);
        Ok(())
    }

    /// The results of these reductions: of each the node whose terms it joins, how, and whether it is the node's own. Before each variance stands the mean
    /// of its terms, another node's or one that nobody reads.
    fn paired(&self, nodes: &[NodeId]) -> Vec<(NodeId, Join, bool)> {
        let g = self.g;
        let how = |n: NodeId| if let Op::Reduce(op) = &g.nodes[n].op { join(op.kind) } else { Join::Sum };
        let mut left: Vec<NodeId> = nodes.iter().copied().filter(|&n| how(n) != Join::Variance).collect();
        let mut results = Vec::new();
        for &n in nodes.iter().filter(|&&n| how(n) == Join::Variance) {
            let of = |m: NodeId| g.base(g.nodes[m].inputs[0]);
            let mean = left.iter().position(|&m| how(m) == Join::MeanFromFirst && of(m) == of(n)).map(|at| left.remove(at));
            results.push((mean.unwrap_or(n), Join::MeanFromFirst, mean.is_some()));
            results.push((n, Join::Variance, true));
        }
        left.into_iter().map(|n| (n, how(n), true)).chain(results).collect()
    }

    /// The formulas of a term of these reductions, over what they read from outside.
    fn term(&self, group: &Group, nodes: &[NodeId], inputs: &[Operand]) -> Expr {
        let g = self.g;
        let value = |n: NodeId| g.base(g.nodes[n].inputs[0]);
        let made: Vec<Value> = nodes.iter().map(|&n| value(n)).filter(|v| group.maps.contains(&v.node)).collect();
        let mut tape = Tape::default();
        let args: Vec<usize> = (0..inputs.len()).map(|i| tape.input(i)).collect();
        // the maps' operands are the first of all
        let outputs = if made.is_empty() { vec![] } else { tape.inline(&self.formula(group, None, &made).0, &args) };
        let term = |n: &NodeId| match made.iter().position(|m| *m == value(*n)) {
            Some(i) => outputs[i],
            None => args[inputs.iter().position(|o| *o == self.groups.reduced(g, *n)).unwrap_or(0)],
        };
        let terms: Vec<usize> = nodes.iter().map(term).collect();
        tape.finish(inputs.len(), &terms)
    }

    /// In one launch, or in two where they are long.
    pub(super) fn sums(&mut self, s: Sums, label: &str) {
        let Sums { f, halves, terms, mut from, extents, joins, to } = s;
        let (target, [outer, length, inner]) = (self.r.target, extents);
        let (rows, results) = (outer * inner, joins.len());
        let halves = Halves::new(halves, vec![]);
        let pieces = Lanes::pieces(target, extents, Reduce::fours_for(extents, &terms, &[]));
        let places: Vec<usize> = to.iter().map(|p| p.1).collect();
        let mut last = Reduce::new(target, f.clone(), joins.clone(), extents, 1, terms.clone(), places.clone()).storing(halves.clone());
        if pieces > 1 {
            // the pieces of all results lie one behind the other
            let between = self.temporary(results * rows * pieces);
            let starts: Vec<usize> = (0..results).map(|k| k * rows * pieces).collect();
            let partial = joins.iter().map(|j| j.of_piece()).collect();
            let mut first = Reduce::new(target, f, partial, extents, pieces, terms, starts.clone()).storing(halves);
            first.spec.via = vec![0; results];
            let weights = [first.piece(), length];
            from.push(between);
            self.push(Kernel::Reduce(first), from, format!("{label}, pieces"));
            let inputs = starts.iter().map(|&offset| Term { offset, outer: pieces * inner, along: inner, inner: 1 }).collect();
            let all = Expr::of(results, |x| x.to_vec());
            last = Reduce::new(target, all, joins, [outer, pieces, inner], 1, inputs, places).weighing(weights);
            from = vec![between; results];
        }
        last.spec.via = bind(&mut from, to.iter().map(|p| p.0));
        self.push(Kernel::Reduce(last), from, label.into());
    }

    /// The mean over rows of one value a row: over all, or over as many as stand there, at least 1.
    pub(super) fn mean_of_rows(&mut self, from: Symbol, rows: usize, counted: Option<Place>, to: Place, label: &str) {
        let mut terms = vec![Term { offset: 0, outer: rows, along: 1, inner: 0 }];
        terms.extend(counted.map(|(_, offset)| Term { offset, outer: 0, along: 0, inner: 0 }));
        let over = |x: &[Scalar]| vec![&x[0] / x[1].maximum(1.0)];
        let sums = Sums {
            f: if counted.is_some() { Expr::of(2, over) } else { Expr::identity() },
            halves: vec![],
            terms,
            from: std::iter::once(from).chain(counted.map(|c| c.0)).collect(),
            extents: [1, rows, 1],
            joins: vec![if counted.is_some() { Join::Sum } else { Join::Mean }],
            to: vec![to],
        };
        self.sums(sums, label);
    }
}
