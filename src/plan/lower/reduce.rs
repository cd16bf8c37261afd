//! Sums, means and largest values over axes; long ones are cut into pieces.

use super::lowering::Lowering;
use super::unplaced::{Place, Symbol};
use crate::error::Result;
use crate::expr::{Binary, Expr, Scalar, Tape};
use crate::graph::{NodeId, ReduceKind, op};
use crate::kernels::{Halves, Kernel, Map, Reduce, ReduceSpec, Strided, Term};
use crate::plan::fuse::Group;
use crate::plan::views::{along, extents};

/// A sum, mean or largest over the middle of `[outer, length, inner]`.
pub(super) struct Sum {
    /// The formula of a term, over the inputs.
    pub f: Expr,
    /// What is f16 of them.
    pub halves: Vec<bool>,
    /// How they are read.
    pub terms: Vec<Term>,
    /// Their buffers.
    pub from: Vec<Symbol>,
    /// Where it goes.
    pub to: Place,
    /// Outer, length, inner.
    pub extents: [usize; 3],
    /// How.
    pub kind: ReduceKind,
    /// What a mean divides by.
    pub count: usize,
}

impl Lowering<'_> {
    /// A reduction with the maps in front of it.
    pub(super) fn reduce(&mut self, node: NodeId, group: &Group, op: &op::Reduce) -> Result<()> {
        let n = &self.g.nodes[node];
        let shape = self.g.shape(n.inputs[0]).clone();
        let [outer, length, inner] = extents(&shape, op);
        let (f, inputs) = if group.maps.is_empty() {
            (Expr::identity(), self.groups.operands(self.g, node))
        } else {
            self.formula(group, None, &[self.g.base(n.inputs[0])])
        };
        let halves: Vec<bool> = inputs.iter().map(|o| self.half(o.value)).collect();
        let mut terms = Vec::new();
        let mut from = Vec::new();
        for o in inputs {
            let (symbol, read) = self.read(o, &shape);
            let Some([outer, along, inner]) = along(&shape, &read.strides, op) else { return Err(self.no_kernel(node)) };
            from.push(symbol);
            terms.push(Term { offset: read.offset, outer, along, inner });
        }
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} {shape} to {}", n.op.name(), self.g.shape(node.into())), &group.maps);
        self.sum(Sum { f, halves, terms, from, to, extents: [outer, length, inner], kind: op.kind, count: length }, &label);
        Ok(())
    }

    /// In one launch, or in two where it is long; in three where what a long mean is summed from comes back.
    pub(super) fn sum(&mut self, s: Sum, label: &str) {
        let target = self.r.target;
        let [outer, length, inner] = s.extents;
        let rows = outer * inner;
        let max = s.kind == ReduceKind::Max;
        let pieces = Reduce::pieces_for(target, rows, length, inner, max);
        let from_first = s.kind == ReduceKind::MeanFromFirst;
        let divisor = if matches!(s.kind, ReduceKind::Mean | ReduceKind::MeanFromFirst) { s.count } else { 1 };
        let spec = |f: Expr, terms: usize, halves: Vec<bool>, from_first: bool| {
            let group = if max { 1 } else { Reduce::group_for(target, terms, inner) };
            ReduceSpec { f, group, parts: Reduce::parts_for(group, terms, max), max, from_first, halves: Halves::new(halves, vec![]) }
        };
        let first = |pieces: usize, divisor: usize, output: usize| Reduce {
            spec: spec(s.f.clone(), length.div_ceil(pieces), s.halves.clone(), from_first),
            rows,
            inner,
            length,
            pieces,
            divisor,
            inputs: s.terms.clone(),
            output,
        };
        let bound = |to: Symbol| s.from.iter().copied().chain([to]).collect::<Vec<_>>();
        if pieces == 1 {
            return self.push(Kernel::Reduce(first(1, divisor, s.to.1)), bound(s.to.0), label.into());
        }
        let between = self.temporary(rows * pieces);
        self.push(Kernel::Reduce(first(pieces, 1, 0)), bound(between), format!("{label}, pieces"));
        let to = if from_first { (self.temporary(rows), 0) } else { s.to };
        let last = Reduce {
            spec: spec(Expr::identity(), pieces, vec![], false),
            rows,
            inner,
            length: pieces,
            pieces: 1,
            divisor,
            inputs: vec![Term { offset: 0, outer: pieces * inner, along: inner, inner: 1 }],
            output: to.1,
        };
        self.push(Kernel::Reduce(last), vec![between, to.0], label.into());
        if !from_first {
            return;
        }
        // the first term, by the same formula, and the mean of the differences from it
        let arity = s.terms.len();
        let mut tape = Tape::default();
        let args: Vec<usize> = (0..arity).map(|i| tape.input(i)).collect();
        let (one, mean) = (tape.inline(&s.f, &args)[0], tape.input(arity));
        let both = tape.binary(Binary::Add, one, mean);
        let f = tape.finish(arity + 1, &[both]);
        let mut reads: Vec<Strided> = s.terms.iter().map(|t| Strided::new(t.offset, vec![t.outer, t.inner])).collect();
        reads.push(Strided::new(0, vec![inner, 1]));
        let halves = s.halves.iter().copied().chain([false]).collect();
        let map = Map::new(f, &[outer, inner], reads, vec![s.to.1]).storing(Halves::new(halves, vec![]));
        let buffers = s.from.iter().copied().chain([to.0, s.to.0]).collect();
        self.push(Kernel::Map(map), buffers, format!("{label}, from the first"));
    }

    /// The mean over rows of one value a row: over all, or over as many as stand there, at least 1.
    pub(super) fn mean_of_rows(&mut self, from: Symbol, rows: usize, counted: Option<Place>, to: Place, label: &str) {
        let mut terms = vec![Term { offset: 0, outer: rows, along: 1, inner: 0 }];
        terms.extend(counted.map(|(_, offset)| Term { offset, outer: 0, along: 0, inner: 0 }));
        let over = |x: &[Scalar]| vec![&x[0] / x[1].maximum(1.0)];
        let sum = Sum {
            f: if counted.is_some() { Expr::of(2, over) } else { Expr::identity() },
            halves: vec![],
            terms,
            from: std::iter::once(from).chain(counted.map(|c| c.0)).collect(),
            to,
            extents: [1, rows, 1],
            kind: if counted.is_some() { ReduceKind::Sum } else { ReduceKind::Mean },
            count: rows,
        };
        self.sum(sum, label);
    }
}
