//! Scalar formulas, written once: printed as WGSL for the GPU, evaluated over slices on the CPU, differentiated by rule.
//!
//! An [`Expr`] is a function from some inputs (and the step's *rates*: learning rate, bias corrections) to some outputs, kept
//! as a list of nodes in which every sub-expression stands once.
//!
//! ```
//! use gradus::expr::Expr;
//! let f = Expr::of(2, |x| vec![(&x[0] * &x[1]).tanh()]);
//! assert_eq!(f.eval::<f64>(&[0.0, 5.0], &[]), [0.0]);
//! assert!(f.wgsl(&["a", "b"]).statements.contains("tanh"));
//! ```

mod ahead;
mod along;
mod compute;
mod derive;
mod eval;
mod loops;
mod passes;
mod primitive;
mod real;
mod row;
mod scalar;
mod table;
mod tape;
mod together;
pub mod vector;
mod wgsl;

#[cfg(test)]
mod tests;

pub(crate) use ahead::ahead;
pub use along::{Behind, Made, Source};
pub use eval::Evaluator;
pub use primitive::{Binary, Unary};
pub use real::Real;
pub use row::{CHUNK, MOST};
pub use scalar::Scalar;
pub use table::Activation;
pub use tape::Tape;
pub use wgsl::Printed;

/// One value of an [`Expr`]; operands are earlier nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Node {
    /// The function's input of this number.
    Input(usize),
    /// The rate of this number in the step's row of the rate table.
    Rate(usize),
    /// A constant, as the bits of an f64.
    Const(u64),
    /// A function of one node.
    Unary(Unary, usize),
    /// A function of two nodes.
    Binary(Binary, usize, usize),
    /// The second node where the first is not 0, else the third. The other one has no influence, even if it is NaN.
    Select(usize, usize, usize),
}

/// A function from `arity` inputs to one or more outputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expr {
    arity: usize,
    nodes: Vec<Node>,
    outputs: Vec<usize>,
}

impl Expr {
    /// Whether any of its nodes is rounded to f16.
    pub fn rounds(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n, Node::Unary(Unary::Half, _)))
    }

    /// Writes a formula with operators: `Expr::of(2, |x| vec![&x[0] + &x[1]])`.
    pub fn of(arity: usize, f: impl FnOnce(&[Scalar]) -> Vec<Scalar>) -> Expr {
        let inputs: Vec<Scalar> = (0..arity).map(Scalar::input).collect();
        let mut tape = Tape::default();
        let outputs: Vec<usize> = f(&inputs).iter().map(|s| s.record(&mut tape)).collect();
        tape.finish(arity, &outputs)
    }

    /// `f(x) = x`.
    pub fn identity() -> Expr {
        Expr::of(1, |x| vec![x[0].clone()])
    }

    /// How many inputs it takes.
    pub fn arity(&self) -> usize {
        self.arity
    }

    /// Its nodes, operands first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that are its results.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// Whether it is `f(x) = x`.
    pub fn is_identity(&self) -> bool {
        self.arity == 1 && self.outputs.len() == 1 && self.nodes[self.outputs[0]] == Node::Input(0)
    }

    /// Whether it is `f(x, y) = x * y`.
    pub fn is_product(&self) -> bool {
        let input = |n: usize| if let Node::Input(i) = self.nodes[n] { Some(i) } else { None };
        let [out] = self.outputs[..] else { return false };
        let Node::Binary(Binary::Mul, a, b) = self.nodes[out] else { return false };
        self.arity == 2 && matches!((input(a), input(b)), (Some(0), Some(1)) | (Some(1), Some(0)))
    }

    /// Whether it costs less than its result's way through memory: two operations at most, and no division, power or function.
    pub(crate) fn is_light(&self) -> bool {
        self.flops() <= 2
            && self.nodes.iter().all(|n| match n {
                Node::Input(_) | Node::Rate(_) | Node::Const(_) | Node::Select(..) => true,
                Node::Unary(u, _) => matches!(u, Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu | Unary::Positive),
                Node::Binary(b, ..) => !matches!(b, Binary::Div | Binary::Pow),
            })
    }

    /// Floating-point operations of one evaluation.
    pub fn flops(&self) -> usize {
        self.nodes.iter().filter(|n| matches!(n, Node::Unary(..) | Node::Binary(..) | Node::Select(..))).count()
    }

    /// Drops the inputs that nothing reads; gives the numbers of those that stay.
    pub fn prune(&self) -> (Expr, Vec<usize>) {
        let mut kept: Vec<usize> = self.nodes.iter().filter_map(|n| if let Node::Input(i) = n { Some(*i) } else { None }).collect();
        kept.sort_unstable();
        kept.dedup();
        let mut tape = Tape::default();
        let mut args = vec![usize::MAX; self.arity];
        for (new, &old) in kept.iter().enumerate() {
            args[old] = tape.input(new);
        }
        let outputs = tape.inline(self, &args);
        (tape.finish(kept.len(), &outputs), kept)
    }

    /// Evaluates it once, in f32 or f64 and in the plainest way, for the reference.
    pub fn eval<T: Real>(&self, inputs: &[T], rates: &[T]) -> Vec<T> {
        let mut v: Vec<T> = Vec::with_capacity(self.nodes.len());
        for n in &self.nodes {
            v.push(match *n {
                Node::Input(i) => inputs[i],
                Node::Rate(i) => rates[i],
                Node::Const(c) => T::from_f64(f64::from_bits(c)),
                Node::Unary(u, a) => u.apply(v[a]),
                Node::Binary(b, x, y) => b.apply(v[x], v[y]),
                Node::Select(c, a, b) => primitive::choose(v[c] == T::from_f64(0.0), v[b], v[a]),
            });
        }
        self.outputs.iter().map(|&o| v[o]).collect()
    }
}
