//! The stages of work along rows, cut out of one formula: each joins what can be known when it begins.

use super::RowSpec;
use super::linear::earlier;
use crate::expr::{Binary, Expr, Node, Tape, Unary};
use crate::kernels::lib::halves::Halves;
use crate::kernels::lib::join::Join;

/// One way along a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stage {
    /// Numbers that are made before it.
    pub numbers: Expr,
    /// At each place: the term of each join, then what is kept for later stages. In the last stage the results.
    pub f: Expr,
    /// How the terms are joined.
    pub joins: Vec<Join>,
}

impl Stage {
    /// How many values a place it keeps for later stages.
    pub fn kept(&self) -> usize {
        if self.joins.is_empty() { 0 } else { self.f.outputs().len() - self.joins.len() }
    }
}

/// What a formula along rows reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A number for each row, an operand or made before.
    Number,
    /// An operand with a value at each place.
    Values,
    /// What an earlier stage has kept of each place.
    Kept,
}

impl RowSpec {
    /// The stages of a formula over operands, of which some are `numbers`, and behind them what `joins` give, in their order. Its outputs are the
    /// terms of the joins, then `whole` results that are rows, then those that are one number for a row.
    pub fn new(f: &Expr, numbers: Vec<bool>, joins: &[Join], whole: usize) -> Self {
        match earlier(f, &numbers, joins) {
            Some((f, joins)) => Self::cut(&f, numbers, &joins, whole),
            None => Self::cut(f, numbers, joins, whole),
        }
    }

    fn cut(f: &Expr, numbers: Vec<bool>, joins: &[Join], whole: usize) -> Self {
        debug_assert!(!joins.contains(&Join::Variance), "along rows a variance is a mean behind a mean");
        let known = Known::new(f, &numbers, joins.len());
        let (terms, results) = f.outputs().split_at(joins.len());
        let (rows, singles) = results.split_at(whole);
        let last = terms.iter().map(|&t| known.level[t] + 1).max().unwrap_or(0);
        let of_stage = |s: usize| (0..joins.len()).filter(|&j| known.level[terms[j]] == s).collect::<Vec<_>>();
        let in_stage = |s: usize| of_stage(s).iter().map(|&j| terms[j]).collect();
        let wanted: Vec<Vec<usize>> = (0..last).map(in_stage).chain([rows.to_vec()]).collect();
        let kept = known.kept(&wanted);
        // what stands for each node from now on, and for each join
        let mut place: Vec<Option<usize>> = vec![None; f.nodes().len()];
        let mut joined = vec![usize::MAX; joins.len()];
        let mut next = numbers.len();
        let mut stages = Vec::new();
        for (s, wanted) in wanted.iter().enumerate() {
            let mut new = known.new_numbers(wanted, &place);
            // results are numbers of their own where no join is the result itself
            let unmade = |&&n: &&usize| known.level[n] <= s && known.join(n).is_none() && place[n].is_none();
            new.extend(singles.iter().filter(unmade));
            new.sort_unstable();
            new.dedup();
            let made = known.formula(&new, next, |n| place[n], &joined);
            new.iter().zip(next..).for_each(|(&n, slot)| place[n] = Some(slot));
            next += new.len();
            let keep: Vec<usize> = (0..f.nodes().len()).filter(|&n| kept[n] == Some(s)).collect();
            let outputs: Vec<usize> = wanted.iter().chain(&keep).copied().collect();
            let along = known.formula(&outputs, next, |n| place[n], &joined);
            let own = of_stage(s);
            own.iter().zip(next..).for_each(|(&j, slot)| joined[j] = slot);
            next += own.len();
            keep.iter().zip(next..).for_each(|(&n, slot)| place[n] = Some(slot));
            next += keep.len();
            stages.push(Stage { numbers: made, f: along, joins: own.iter().map(|&j| joins[j]).collect() });
        }
        let stored = singles.iter().map(|&n| known.join(n).map_or_else(|| place[n].unwrap_or(0), |j| joined[j])).collect();
        let via = (0..results.len()).collect();
        RowSpec { numbers, stages, stored, lanes: 1, parts: 1, via, halves: Halves::default() }
    }

    /// What formulas read, by its number.
    pub fn slots(&self) -> Vec<Slot> {
        let operand = |number: &bool| if *number { Slot::Number } else { Slot::Values };
        let mut slots: Vec<Slot> = self.numbers.iter().map(operand).collect();
        for s in &self.stages {
            slots.resize(slots.len() + s.numbers.outputs().len() + s.joins.len(), Slot::Number);
            slots.resize(slots.len() + s.kept(), Slot::Kept);
        }
        slots
    }

    /// The formula of a stage over operands and numbers alone, without what it keeps: what earlier stages have kept is computed again.
    pub fn alone(&self, stage: usize) -> Expr {
        let mut tape = Tape::default();
        let mut args: Vec<usize> = (0..self.numbers.len()).map(|i| tape.input(i)).collect();
        for (s, Stage { numbers, f, joins }) in self.stages.iter().enumerate().take(stage + 1) {
            for _ in numbers.outputs() {
                let next = tape.input(args.len());
                args.push(next);
            }
            let made = tape.inline(f, &args);
            if s == stage {
                let wanted = if joins.is_empty() { &made[..] } else { &made[..joins.len()] };
                return tape.finish(args.len(), wanted);
            }
            for _ in joins {
                let next = tape.input(args.len());
                args.push(next);
            }
            args.extend(&made[joins.len()..]);
        }
        tape.finish(args.len(), &[])
    }
}

/// What is known of each node of a formula.
pub(super) struct Known<'a> {
    pub nodes: &'a [Node],
    /// How many inputs are operands.
    pub operands: usize,
    /// Whether it differs along a row.
    pub along: Vec<bool>,
    /// The first stage that can compute it.
    pub level: Vec<usize>,
    /// Whether it takes long to compute again.
    dear: Vec<bool>,
}

fn args(n: &Node) -> impl Iterator<Item = usize> {
    let all = match *n {
        Node::Input(_) | Node::Rate(_) | Node::Const(_) => [None; 3],
        Node::Unary(_, a) => [Some(a), None, None],
        Node::Binary(_, a, b) => [Some(a), Some(b), None],
        Node::Select(a, b, c) => [Some(a), Some(b), Some(c)],
    };
    all.into_iter().flatten()
}

fn is_dear(n: &Node) -> bool {
    match n {
        Node::Unary(u, _) => !matches!(u, Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Relu | Unary::Positive),
        Node::Binary(b, ..) => matches!(b, Binary::Div | Binary::Pow),
        _ => false,
    }
}

impl<'a> Known<'a> {
    pub fn new(f: &'a Expr, numbers: &[bool], joins: usize) -> Self {
        let (nodes, operands) = (f.nodes(), numbers.len());
        let mut k = Known { nodes, operands, along: vec![], level: vec![], dear: vec![] };
        let mut levels = vec![0; joins];
        // a join's number stands behind its term in the formula's order, or it would depend on itself
        for (i, n) in nodes.iter().enumerate() {
            let (along, level) = match *n {
                Node::Input(x) if x < operands => (!numbers[x], 0),
                Node::Input(x) => (false, levels[x - operands]),
                _ => (args(n).any(|a| k.along[a]), args(n).map(|a| k.level[a]).max().unwrap_or(0)),
            };
            k.along.push(along);
            k.level.push(level);
            k.dear.push(along && (is_dear(n) || args(n).any(|a| k.dear[a])));
            for j in (0..joins).filter(|&j| f.outputs()[j] == i) {
                levels[j] = level + 1;
            }
        }
        k
    }

    /// The join whose number a node is.
    fn join(&self, node: usize) -> Option<usize> {
        if let Node::Input(x) = self.nodes[node] { x.checked_sub(self.operands) } else { None }
    }

    fn is_leaf(&self, node: usize) -> bool {
        matches!(self.nodes[node], Node::Input(_) | Node::Rate(_) | Node::Const(_))
    }

    /// The stage that keeps each node's values for later ones, of those that are dear to compute.
    fn kept(&self, wanted: &[Vec<usize>]) -> Vec<Option<usize>> {
        let mut first: Vec<Option<usize>> = vec![None; self.nodes.len()];
        let mut kept = first.clone();
        for (s, wanted) in wanted.iter().enumerate() {
            let mut live = vec![false; self.nodes.len()];
            wanted.iter().for_each(|&n| live[n] = true);
            for n in (0..self.nodes.len()).rev().filter(|&n| self.along[n] && !self.is_leaf(n)) {
                if !live[n] {
                    continue;
                }
                match first[n] {
                    Some(earlier) if self.dear[n] => kept[n] = Some(earlier),
                    _ => {
                        first[n].get_or_insert(s);
                        args(&self.nodes[n]).for_each(|a| live[a] = true);
                    }
                }
            }
        }
        kept
    }

    /// The numbers that formulas along the row read and that are not made yet.
    fn new_numbers(&self, wanted: &[usize], place: &[Option<usize>]) -> Vec<usize> {
        let mut live = vec![false; self.nodes.len()];
        wanted.iter().for_each(|&n| live[n] = true);
        let mut found = Vec::new();
        for n in (0..self.nodes.len()).rev() {
            if !live[n] || place[n].is_some() || self.is_leaf(n) {
                continue;
            }
            if self.along[n] { args(&self.nodes[n]).for_each(|a| live[a] = true) } else { found.push(n) }
        }
        found
    }

    /// These nodes as a formula of its own, of `arity` inputs: what has a place is read there.
    fn formula(&self, outputs: &[usize], arity: usize, place: impl Fn(usize) -> Option<usize>, joined: &[usize]) -> Expr {
        let mut live = vec![false; self.nodes.len()];
        outputs.iter().for_each(|&n| live[n] = true);
        for n in (0..self.nodes.len()).rev().filter(|&n| place(n).is_none()) {
            if live[n] {
                args(&self.nodes[n]).for_each(|a| live[a] = true);
            }
        }
        let mut tape = Tape::default();
        let mut at = vec![usize::MAX; self.nodes.len()];
        for n in (0..self.nodes.len()).filter(|&n| live[n]) {
            at[n] = match (place(n), self.nodes[n]) {
                (Some(slot), _) => tape.input(slot),
                (None, Node::Input(x)) => tape.input(x.checked_sub(self.operands).map_or(x, |j| joined[j])),
                (None, Node::Rate(r)) => tape.rate(r),
                (None, Node::Const(c)) => tape.constant(f64::from_bits(c)),
                (None, Node::Unary(u, a)) => tape.unary(u, at[a]),
                (None, Node::Binary(b, x, y)) => tape.binary(b, at[x], at[y]),
                (None, Node::Select(c, a, b)) => tape.select(at[c], at[a], at[b]),
            };
        }
        let ids: Vec<usize> = outputs.iter().map(|&n| at[n]).collect();
        tape.finish(arity, &ids)
    }
}
