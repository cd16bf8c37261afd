//! Work along rows: in one launch, or, where they are too long for it, in reductions and a map.

use super::lowering::Lowering;
use super::reduce::{Sums, join};
use super::unplaced::{Place, Symbol, bind};
use crate::expr::{Binary, Expr, Tape, Unary};
use crate::graph::{Op, ReduceKind, Value, op};
use crate::kernels::{Halves, Join, Kernel, Map, Row, RowOperand, RowSpec, Strided, Term};
use crate::plan::fuse::{Group, Read, Reads, Rows};
use std::collections::{HashMap, HashSet};

/// What a group computes along rows.
struct Along {
    /// A formula of the inputs and, behind them, of what the joins give: the terms of the joins, then the results.
    f: Expr,
    joins: Vec<Join>,
    /// What is read.
    inputs: Vec<(Value, Read)>,
    /// The results, those that are rows first.
    outputs: Vec<Value>,
    /// How many are rows.
    whole: usize,
}

impl Lowering<'_> {
    /// A group along rows of this width.
    pub(super) fn row(&mut self, group: &Group, width: usize) {
        let rows = Rows::of(&group.shape, width);
        let along = self.along(group, rows);
        let label = self.label_of_rows(group);
        let places: Vec<Place> = along.outputs.iter().map(|v| self.assign(*v)).collect();
        if Row::is_cut(self.r.target, rows.rows, width) {
            return self.cut(rows, &along, &places, &label);
        }
        let (mut inputs, mut buffers) = (Vec::new(), Vec::new());
        for &(v, read) in &along.inputs {
            let ((from, offset), Read::Values(step) | Read::Number(step)) = (self.place(v), read);
            inputs.push(RowOperand { offset, step });
            buffers.push(from);
        }
        let numbers = along.inputs.iter().map(|(_, read)| matches!(read, Read::Number(_))).collect();
        let mut spec = RowSpec::new(&along.f, numbers, &along.joins, along.whole);
        spec.lanes = Row::lanes_for(self.r.target, width);
        spec.parts = Row::parts_for(spec.lanes, width);
        spec.via = bind(&mut buffers, places.iter().map(|p| p.0));
        spec.halves =
            Halves::new(along.inputs.iter().map(|(v, _)| self.half(*v)).collect(), along.outputs.iter().map(|v| self.half(*v)).collect());
        let outputs = places.iter().map(|p| p.1).collect();
        self.push(Kernel::Row(Row { spec, rows: rows.rows, width, inputs, outputs }), buffers, label);
    }

    /// The formula of a group.
    fn along(&self, group: &Group, rows: Rows) -> Along {
        let g = self.g;
        let Reads { inputs, operands } = rows.reads(g, self.groups, &group.maps).unwrap_or_default();
        let mut tape = Tape::default();
        let mut made: HashMap<Value, usize> = HashMap::new();
        let (mut terms, mut joins) = (Vec::new(), Vec::new());
        let read: HashSet<Value> = group.maps.iter().flat_map(|&n| &g.nodes[n].inputs).map(|v| g.base(*v)).collect();
        for (&id, operands) in group.maps.iter().zip(&operands) {
            let n = &g.nodes[id];
            let each = n.inputs.iter().zip(operands);
            let args: Vec<usize> = each.map(|(v, o)| o.map_or_else(|| made[&g.base(*v)], |i| tape.input(i))).collect();
            let mut joined = |tape: &mut Tape, join: Join, term: usize| {
                if let Some(known) = (0..terms.len()).find(|&j| (terms[j], joins[j]) == (term, join)) {
                    return tape.input(inputs.len() + known);
                }
                terms.push(term);
                joins.push(join);
                tape.input(inputs.len() + joins.len() - 1)
            };
            let value = match &n.op {
                Op::Reduce(op::Reduce { kind: ReduceKind::Variance, .. }) => {
                    let mean = joined(&mut tape, Join::MeanFromFirst, args[0]);
                    let less = tape.binary(Binary::Sub, args[0], mean);
                    let square = tape.binary(Binary::Mul, less, less);
                    joined(&mut tape, Join::Mean, square)
                }
                Op::Reduce(op::Reduce { kind, .. }) => joined(&mut tape, join(*kind), args[0]),
                Op::Softmax(op::Softmax { log }) => {
                    let top = joined(&mut tape, Join::Max, args[0]);
                    let less = tape.binary(Binary::Sub, args[0], top);
                    let e = tape.unary(Unary::Exp, less);
                    let sum = joined(&mut tape, Join::Sum, e);
                    if *log {
                        let log = tape.unary(Unary::Log, sum);
                        tape.binary(Binary::Sub, less, log)
                    } else {
                        let one = tape.constant(1.0);
                        let part = tape.binary(Binary::Div, one, sum);
                        tape.binary(Binary::Mul, e, part)
                    }
                }
                _ => n.op.rule().formula(&mut tape, &args),
            };
            // rounded where it is stored as f16 and the group reads it, so that all readers see the same
            let rounds = self.half(id.into()) && read.contains(&id.into());
            made.insert(id.into(), if rounds { tape.unary(Unary::Half, value) } else { value });
        }
        let (mut outputs, numbers): (Vec<Value>, Vec<Value>) =
            self.groups.outputs(group).into_iter().partition(|v| rows.fills(g.shape(*v)));
        let whole = outputs.len();
        outputs.extend(numbers);
        let ids: Vec<usize> = terms.into_iter().chain(outputs.iter().map(|v| made[v])).collect();
        let f = tape.finish(inputs.len() + joins.len(), &ids);
        Along { f, joins, inputs, outputs, whole }
    }

    /// Rows in pieces: a reduction for each join, then the results by maps.
    fn cut(&mut self, rows: Rows, along: &Along, places: &[Place], label: &str) {
        let Rows { rows, width } = rows;
        // where each input of the formula lies: offset, steps from row to row and along it, and whether it is f16
        let mut lies: Vec<(Symbol, usize, [usize; 2], bool)> = Vec::new();
        for &(v, read) in &along.inputs {
            let (from, offset) = self.place(v);
            let steps = match read {
                Read::Values(step) => [step, 1],
                Read::Number(step) => [step, 0],
            };
            lies.push((from, offset, steps, self.half(v)));
        }
        for (j, join) in along.joins.iter().enumerate() {
            let (f, read) = along.output(j);
            let to = (self.temporary(rows), 0);
            let term = |&i: &usize| Term { offset: lies[i].1, outer: lies[i].2[0], along: lies[i].2[1], inner: 0 };
            let sums = Sums {
                f,
                halves: read.iter().map(|&i| lies[i].3).collect(),
                terms: read.iter().map(term).collect(),
                from: read.iter().map(|&i| lies[i].0).collect(),
                extents: [rows, width, 1],
                joins: vec![*join],
                to: vec![to],
            };
            self.sums(sums, &format!("{label}, {join:?}"));
            lies.push((to.0, 0, [1, 0], false));
        }
        for (o, (v, place)) in along.outputs.iter().zip(places).enumerate() {
            let (f, read) = along.output(along.joins.len() + o);
            let shape = [rows, if o < along.whole { width } else { 1 }];
            let reads = read.iter().map(|&i| Strided::new(lies[i].1, lies[i].2.to_vec())).collect();
            let halves = Halves::new(read.iter().map(|&i| lies[i].3).collect(), vec![self.half(*v)]);
            let buffers = read.iter().map(|&i| lies[i].0).chain([place.0]).collect();
            self.push(Kernel::Map(Map::new(f, &shape, reads, vec![place.1]).storing(halves)), buffers, label.into());
        }
    }

    /// What a group along rows does, for listings.
    fn label_of_rows(&self, group: &Group) -> String {
        let (last, maps) = group.maps.split_last().map_or((0, &[][..]), |(l, m)| (*l, m));
        self.label(last, format!("{} {}", self.describe(last), group.shape), maps)
    }
}

impl Along {
    /// One output as a formula of its own, and the inputs that it reads.
    fn output(&self, o: usize) -> (Expr, Vec<usize>) {
        let mut tape = Tape::default();
        let args: Vec<usize> = (0..self.f.arity()).map(|i| tape.input(i)).collect();
        let made = tape.inline(&self.f, &args);
        tape.finish(self.f.arity(), &[made[o]]).prune()
    }
}
