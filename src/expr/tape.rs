//! Formulas under construction: equal nodes are kept once, constants are folded.

use super::{Binary, Expr, Node, Unary};
use std::collections::HashMap;

/// Builds an [`Expr`]: each distinct node is kept once, constants are folded, and what nothing reads is dropped at the end.
#[derive(Debug, Default, Clone)]
pub struct Tape {
    nodes: Vec<Node>,
    index: HashMap<Node, usize>,
}

impl Tape {
    fn push(&mut self, n: Node) -> usize {
        *self.index.entry(n).or_insert_with(|| {
            self.nodes.push(n);
            self.nodes.len() - 1
        })
    }

    fn value(&self, id: usize) -> Option<f64> {
        if let Node::Const(c) = self.nodes[id] { Some(f64::from_bits(c)) } else { None }
    }

    /// The function's input of this number.
    pub fn input(&mut self, i: usize) -> usize {
        self.push(Node::Input(i))
    }

    /// A rate of the step.
    pub fn rate(&mut self, i: usize) -> usize {
        self.push(Node::Rate(i))
    }

    /// A constant.
    pub fn constant(&mut self, x: f64) -> usize {
        self.push(Node::Const(x.to_bits()))
    }

    /// A function of one node.
    pub fn unary(&mut self, u: Unary, a: usize) -> usize {
        match (u, self.value(a)) {
            (_, Some(x)) if u.apply(x).is_finite() => self.constant(u.apply(x)),
            _ => self.push(Node::Unary(u, a)),
        }
    }

    /// A function of two nodes.
    pub fn binary(&mut self, b: Binary, x: usize, y: usize) -> usize {
        match (b, self.value(x), self.value(y)) {
            (_, Some(p), Some(q)) if b.apply(p, q).is_finite() => self.constant(b.apply(p, q)),
            (Binary::Add, Some(0.0), _) | (Binary::Mul, Some(1.0), _) => y,
            (Binary::Add | Binary::Sub, _, Some(0.0)) | (Binary::Mul | Binary::Div, _, Some(1.0)) => x,
            (Binary::Mul, Some(-1.0), _) => self.unary(Unary::Neg, y),
            (Binary::Mul, _, Some(-1.0)) => self.unary(Unary::Neg, x),
            (Binary::Pow, Some(1.0), _) => x,
            (Binary::Pow, _, Some(n)) if n.fract() == 0.0 && n.abs() <= 8.0 => self.power(x, n as i32),
            (Binary::Pow, _, Some(0.5)) => self.unary(Unary::Sqrt, x),
            _ => self.push(Node::Binary(b, x, y)),
        }
    }

    /// Small powers as products: faster, exact for negative bases on every device, and PyTorch's gradients at 0.
    fn power(&mut self, x: usize, n: i32) -> usize {
        if n < 0 {
            let (one, below) = (self.constant(1.0), self.power(x, -n));
            return self.binary(Binary::Div, one, below);
        }
        match n {
            0 => self.constant(1.0),
            1 => x,
            _ => {
                let half = self.power(x, n / 2);
                let even = self.binary(Binary::Mul, half, half);
                if n % 2 == 0 { even } else { self.binary(Binary::Mul, even, x) }
            }
        }
    }

    /// Node `a` where `condition` is not 0, else `b`.
    pub fn select(&mut self, condition: usize, a: usize, b: usize) -> usize {
        match self.value(condition) {
            _ if a == b => a,
            Some(c) => super::primitive::choose(c == 0.0, b, a),
            None => self.push(Node::Select(condition, a, b)),
        }
    }

    /// Records another function with these nodes as its inputs; gives its outputs' nodes. Inputs it never reads may be `usize::MAX`.
    pub fn inline(&mut self, f: &Expr, args: &[usize]) -> Vec<usize> {
        let mut at = Vec::with_capacity(f.nodes.len());
        for n in &f.nodes {
            at.push(match *n {
                Node::Input(i) => args[i],
                Node::Rate(i) => self.rate(i),
                Node::Const(c) => self.push(Node::Const(c)),
                Node::Unary(u, a) => self.unary(u, at[a]),
                Node::Binary(b, x, y) => self.binary(b, at[x], at[y]),
                Node::Select(c, a, b) => self.select(at[c], at[a], at[b]),
            });
        }
        f.outputs.iter().map(|&o| at[o]).collect()
    }

    /// The function with these nodes as outputs.
    pub fn finish(&self, arity: usize, outputs: &[usize]) -> Expr {
        let mut live = vec![false; self.nodes.len()];
        outputs.iter().for_each(|&o| live[o] = true);
        for i in (0..self.nodes.len()).rev() {
            match self.nodes[i] {
                Node::Unary(_, a) if live[i] => live[a] = true,
                Node::Binary(_, x, y) if live[i] => (live[x], live[y]) = (true, true),
                Node::Select(c, a, b) if live[i] => (live[c], live[a], live[b]) = (true, true, true),
                _ => {}
            }
        }
        let mut new = vec![usize::MAX; self.nodes.len()];
        let mut nodes = Vec::new();
        for (i, n) in self.nodes.iter().enumerate().filter(|(i, _)| live[*i]) {
            new[i] = nodes.len();
            nodes.push(match *n {
                Node::Unary(u, a) => Node::Unary(u, new[a]),
                Node::Binary(b, x, y) => Node::Binary(b, new[x], new[y]),
                Node::Select(c, a, b) => Node::Select(new[c], new[a], new[b]),
                leaf => leaf,
            });
        }
        Expr { arity, nodes, outputs: outputs.iter().map(|&o| new[o]).collect() }
    }
}
