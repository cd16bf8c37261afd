//! How a formula is computed over rows of values: in as few passes as its parts allow. A pass reads and writes the first-level cache, which takes
//! longer than the sum or product that it makes; so what formulas often hold is one pass as a whole.

use super::loops::{Functions, stored};
use super::{Binary, Expr, Node, Unary};
use std::sync::LazyLock;

/// One pass over a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pass {
    /// The node that it makes.
    pub node: usize,
    pub what: What,
    /// Whether it is a result, which is normal or 0.
    pub normal: bool,
}

impl Pass {
    /// The nodes that it reads as rows.
    pub fn reads(&self) -> [usize; ROWS] {
        match self.what {
            What::Unary(_, a) => [a; ROWS],
            What::Binary(_, x, y) => [x, y, y, y, y, y],
            What::Select(c, a, b) => [c, a, b, b, b, b],
            What::Several(_, rows, _) => rows,
        }
    }
}

/// What a pass computes, of which nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    Select(usize, usize, usize),
    /// Several nodes at once: of these rows and these numbers, of which it takes as many as it needs.
    Several(Several, [usize; ROWS], [usize; NUMBERS]),
}

/// Most rows that a pass reads.
pub(super) const ROWS: usize = 6;
/// Most numbers, each the same for all of a chunk, that a pass reads.
pub(super) const NUMBERS: usize = 4;

/// A formula that is one pass: what it looks like, and how many of its inputs are rows. The others are numbers.
struct Pattern {
    what: Several,
    f: Expr,
    rows: usize,
}

/// Formulas over rows and numbers, larger ones first. Each is written once: as a pattern, and as what a pass computes.
macro_rules! several {
    ($($name:ident($($row:ident),*; $($number:ident),*) = $f:expr;)*) => {
        /// Nodes that are computed in one pass.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(super) enum Several {
            $($name,)*
        }

        static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| vec![$({
            let (rows, numbers): (&[&str], &[&str]) = (&[$(stringify!($row)),*], &[$(stringify!($number)),*]);
            let f = Expr::of(rows.len() + numbers.len(), |x| {
                let mut inputs = x.iter();
                $(let $row = inputs.next().unwrap_or(&x[0]);)*
                $(let $number = inputs.next().unwrap_or(&x[0]);)*
                vec![$f]
            });
            Pattern { what: Several::$name, f, rows: rows.len() }
        },)*]);

        impl Several {
            #[inline(always)]
            pub(super) fn compute<const NORMAL: bool>(self, rows: [&[f32]; ROWS], numbers: [f32; NUMBERS], out: &mut [f32]) {
                match self {
                    $(Several::$name => {
                        let [$($number,)* ..] = numbers;
                        // of one length, which the compiler sees: an index that might be out of bounds ends a vector's loop early
                        let [$($row,)* ..] = rows;
                        $(let $row = &$row[..out.len()];)*
                        for (i, out) in out.iter_mut().enumerate() {
                            $(let $row = $row[i];)*
                            *out = stored::<NORMAL>($f);
                        }
                    })*
                }
            }
        }
    };
}

several! {
    // normalised rows: less their mean, by the inverse of their deviation, and what comes behind
    Normalised(x, w, b; mean, scale) = (x - mean) * scale * w + b;
    Whitened(x; mean, scale) = (x - mean) * scale;
    // and their gradient: a part of what comes back, what the mean of the squares takes (of a square: the same twice), what the mean takes
    Returned(x, g; keep, mean, by, less) = (x - mean) * by + g * keep + less;
    Doubled(x, g; keep, by) = g * keep + (x * by + x * by);
    Weighed(x, g; mean) = g * (x - mean);
    // the same where each column has numbers of its own
    NormalisedSumRectified(x, mean, scale, b, y;) = ((x - mean) * scale + b + y).relu();
    NormalisedRectified(x, mean, scale, b;) = ((x - mean) * scale + b).relu();
    NormalisedColumns(x, mean, scale, b;) = (x - mean) * scale + b;
    ReturnedColumns(x, mean, v, g, scale, less; c) = g * scale + ((x - mean) * (v * c) + less);
    WeighedColumns(x, g, mean;) = g * (x - mean);
    // an optimizer's step along a direction that is divided by a root
    Scaled(p, m, v; lr, e) = p - lr * (m / (v.sqrt() + e));
    OverRoot(m, v; e) = m / (v.sqrt() + e);
    // moments
    Squares(v, g; keep, add) = keep * v + add * (g * g);
    Blend(x, y; keep, add) = keep * x + add * y;
    Kept(x, y; keep) = keep * x + y;
    Less(x, y; part) = x - part * y;
    // activations of a sum, and their gradients
    Rectified(x, y;) = (x + y).relu();
    MaskedSum(x, y, z;) = (x + y) * z.positive();
    Masked(x, y;) = x * y.positive();
    // along a row: deviations, exponentials, and what is one number for all of it
    Deviation(x; mean) = (x - mean) * (x - mean);
    Exponential(x; top) = Functions::exponential(x - top);
    Scaled3(x, y; scale) = x * y * scale;
    ScaledFirst(x, y; scale) = x * scale * y;
    Affine(x, w, b;) = x * w + b;
    Times(x; y) = x * y;
    Minus(x; y) = x - y;
    Plus(x; y) = x + y;
}

/// The passes that make a formula's outputs, in their order.
/// `alike`: which inputs are one number for all of a chunk.
pub(super) fn passes(f: &Expr, alike: impl Fn(usize) -> bool) -> Vec<Pass> {
    let nodes = f.nodes();
    let (readers, numbers) = (readers(f), numbers(f, alike));
    let mut wanted = vec![false; nodes.len()];
    f.outputs().iter().for_each(|&o| wanted[o] = true);
    let mut found = Vec::new();
    for node in (0..nodes.len()).rev().filter(|&n| operands(&nodes[n])[0].is_some()) {
        if !wanted[node] {
            continue;
        }
        let what = PATTERNS.iter().find_map(|p| p.at(node, nodes, &readers, &numbers)).unwrap_or(match nodes[node] {
            Node::Unary(u, a) => What::Unary(u, a),
            Node::Binary(b, x, y) => What::Binary(b, x, y),
            Node::Select(c, a, b) => What::Select(c, a, b),
            Node::Input(_) | Node::Rate(_) | Node::Const(_) => continue,
        });
        match what {
            What::Several(_, rows, _) => rows.iter().for_each(|&o| wanted[o] = true),
            _ => operands(&nodes[node]).into_iter().flatten().for_each(|o| wanted[o] = true),
        }
        found.push(Pass { node, what, normal: f.outputs().contains(&node) });
    }
    found.reverse();
    found
}

/// How often each node is read; a result counts as read by many.
pub(super) fn readers(f: &Expr) -> Vec<usize> {
    let mut readers = vec![0; f.nodes().len()];
    f.nodes().iter().for_each(|n| operands(n).into_iter().flatten().for_each(|o| readers[o] += 1));
    f.outputs().iter().for_each(|&o| readers[o] = usize::MAX / 2);
    readers
}

/// Which nodes are one number for all of a chunk.
pub(super) fn numbers(f: &Expr, alike: impl Fn(usize) -> bool) -> Vec<bool> {
    let number = |n: &Node| match *n {
        Node::Input(i) => alike(i),
        Node::Rate(_) | Node::Const(_) => true,
        Node::Unary(..) | Node::Binary(..) | Node::Select(..) => false,
    };
    f.nodes().iter().map(number).collect()
}

fn operands(n: &Node) -> [Option<usize>; 3] {
    match *n {
        Node::Unary(_, a) => [Some(a), None, None],
        Node::Binary(_, a, b) => [Some(a), Some(b), None],
        Node::Select(a, b, c) => [Some(a), Some(b), Some(c)],
        Node::Input(_) | Node::Rate(_) | Node::Const(_) => [None; 3],
    }
}

impl Pattern {
    /// The pattern with this node as its result.
    fn at(&self, node: usize, nodes: &[Node], readers: &[usize], numbers: &[bool]) -> Option<What> {
        let bound = Match { nodes, outputs: &[node], readers, numbers, f: &self.f, rows: self.rows }.all()?;
        let of = |i: usize, last: usize| bound.get(i).copied().flatten().filter(|_| i < last);
        let all = self.f.arity();
        // places beyond those that it reads hold the first once more
        let first = of(0, all)?;
        let rows = std::array::from_fn(|i| of(i, self.rows).unwrap_or(first));
        let numbers = std::array::from_fn(|i| of(self.rows + i, all).unwrap_or(first));
        Some(What::Several(self.what, rows, numbers))
    }
}

/// The search for a pattern in a formula.
pub(super) struct Match<'a> {
    pub nodes: &'a [Node],
    /// The nodes that stand for the pattern's results.
    pub outputs: &'a [usize],
    /// How often each node is read.
    pub readers: &'a [usize],
    /// The nodes that are one number for all of a chunk.
    pub numbers: &'a [bool],
    /// The pattern, and how many of its inputs may be rows.
    pub f: &'a Expr,
    pub rows: usize,
}

/// The node that stands for each of a pattern's inputs, as far as they are known.
pub(super) type Bound = [Option<usize>; INPUTS];

/// Most inputs of a pattern.
const INPUTS: usize = 12;

impl Match<'_> {
    /// What stands for the pattern's inputs, if all of its results are there.
    pub fn all(&self) -> Option<Bound> {
        let mut both = self.f.outputs().iter().zip(self.outputs);
        both.try_fold([None; INPUTS], |bound, (&at, &node)| self.inner(at, node, bound))
    }

    /// The pattern's node `at` as the formula's `node`, which is read only here unless it is the result.
    fn any(&self, at: usize, node: usize, mut bound: Bound) -> Option<Bound> {
        if let Some(o) = self.f.outputs().iter().position(|o| *o == at) {
            return (self.outputs[o] == node).then_some(bound);
        }
        let Node::Input(i) = self.f.nodes()[at] else {
            let own = self.f.nodes().iter().flat_map(operands).flatten().filter(|o| *o == at).count();
            return if self.readers[node] == own { self.inner(at, node, bound) } else { None };
        };
        let number = self.numbers[node];
        if bound[i].is_some_and(|b| b != node) || (i >= self.rows && !number) {
            return None;
        }
        bound[i] = Some(node);
        Some(bound)
    }

    fn inner(&self, at: usize, node: usize, bound: Bound) -> Option<Bound> {
        match (self.f.nodes()[at], self.nodes[node]) {
            (Node::Unary(p, a), Node::Unary(u, x)) if p == u => self.any(a, x, bound),
            (Node::Binary(p, a, b), Node::Binary(o, x, y)) if p == o => {
                let two = |x, y| self.any(a, x, bound).and_then(|bound| self.any(b, y, bound));
                // sums and products are the same bits either way round
                two(x, y).or_else(|| matches!(p, Binary::Add | Binary::Mul).then(|| two(y, x))?)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{CHUNK, Evaluator, Scalar, Tape};

    /// Every pattern is one pass, and gives the bits of its nodes one by one.
    #[test]
    fn a_pattern_is_a_pass() {
        for p in PATTERNS.iter() {
            let mut tape = Tape::default();
            let mut args: Vec<usize> = (0..p.rows).map(|i| tape.input(i)).collect();
            args.extend((0..p.f.arity() - p.rows).map(|i| tape.rate(i)));
            let out = tape.inline(&p.f, &args);
            let f = tape.finish(p.rows, &out);
            let made = passes(&f, |_| false);
            assert!(matches!(made[..], [Pass { what: What::Several(w, ..), .. }] if w == p.what), "{:?}: {made:?}", p.what);
            // where every node is a result, each is a pass of its own
            let every: Vec<usize> = (0..f.nodes().len()).collect();
            let apart = Expr { outputs: every, ..f.clone() };
            let (mut e, mut plain, rates) = (Evaluator::new(&f), Evaluator::new(&apart), [0.9, 0.07, 0.3, 1.7]);
            let value = |i: usize, at: usize| ((at * (i + 3)) as f32 * 0.37).sin() + if i == 1 { 0.2 } else { 1.1 };
            for e in [&mut e, &mut plain] {
                e.set_rates(&rates);
                e.chunk(|i, row| row.iter_mut().enumerate().for_each(|(at, v)| *v = value(i, at)));
            }
            let bits = |x: &[f32]| x[..CHUNK].iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(e.output(0)), bits(plain.output(f.outputs()[0])), "{:?}", p.what);
        }
    }

    /// What others read, too, is a pass of its own.
    #[test]
    fn shared_nodes_stand_alone() {
        let kinds = |f: Expr| passes(&f, |_| false).iter().map(|p| matches!(p.what, What::Several(..))).collect::<Vec<_>>();
        let sum = |x: &[Scalar]| &x[0] + &x[1];
        assert_eq!(kinds(Expr::of(2, |x| vec![sum(x).relu()])), [true]);
        assert_eq!(kinds(Expr::of(2, |x| vec![sum(x).relu(), sum(x)])), [false, false]);
        assert_eq!(kinds(Expr::of(2, |x| vec![sum(x).relu() * sum(x)])), [false, false, false]);
        // a row is no number
        assert_eq!(kinds(Expr::of(3, |x| vec![&x[0] - &x[1] * &x[2]])), [false, false]);
        // either way round
        assert_eq!(kinds(Expr::of(2, |x| vec![&x[1] + &x[0] * 0.5])), [true]);
    }

    /// Batch normalisation forward, with what comes behind, and backward: one pass each.
    #[test]
    fn normalised_columns_are_one_pass() {
        let normalised = |x: &[Scalar]| (&x[0] - &x[1]) * &x[2] + &x[3];
        let count = |f: Expr| passes(&f, |_| false).len();
        assert_eq!(count(Expr::of(4, |x| vec![normalised(x)])), 1);
        assert_eq!(count(Expr::of(4, |x| vec![normalised(x).relu()])), 1);
        assert_eq!(count(Expr::of(5, |x| vec![(normalised(x) + &x[4]).relu()])), 1);
        assert_eq!(count(Expr::of(3, |x| vec![x[2].clone(), &x[2] * (&x[0] - &x[1])])), 1);
        assert_eq!(count(Expr::of(6, |x| vec![&x[1] * &x[0] + ((&x[3] - &x[4]) * (&x[2] * 1e-5) + &x[5])])), 1);
    }

    /// The article's optimizer: one pass for each of its results.
    #[test]
    fn adam_is_three_passes() {
        let adam = Expr::of(4, |x| {
            let m = 0.9 * &x[2] + 0.1 * &x[1];
            let v = 0.999 * &x[3] + 0.001 * x[1].square();
            let p = &x[0] - Scalar::rate(0) * (&m / (v.sqrt() + Scalar::rate(1)));
            vec![p, m, v]
        });
        assert_eq!(passes(&adam, |_| false).len(), 3);
    }
}
