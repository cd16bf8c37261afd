//! A formula printed as WGSL.

use super::{Binary, Expr, Node, Unary};
use std::fmt::Write;

/// A formula as WGSL: statements, and the names that then hold the outputs.
#[derive(Debug, Clone)]
pub struct Printed {
    /// `let` statements, one a line.
    pub statements: String,
    /// The names of the outputs.
    pub outputs: Vec<String>,
}

impl Expr {
    /// Prints the formula over the type `V` (an alias the kernel makes: `f32` or `vec4<f32>`); `inputs` are the names of its inputs.
    /// Rates are read by `rate(i)`, functions that WGSL lacks stand in `shaders/lib/math.wgsl`.
    pub fn wgsl(&self, inputs: &[&str]) -> Printed {
        let mut statements = String::new();
        let mut names: Vec<String> = Vec::new();
        for (i, n) in self.nodes().iter().enumerate() {
            let rhs = match *n {
                Node::Input(k) => {
                    names.push(inputs[k].to_string());
                    continue;
                }
                Node::Rate(k) => format!("V(rate({k}u))"),
                Node::Const(c) => format!("V({})", literal(f64::from_bits(c))),
                Node::Unary(u, a) => u.wgsl(&names[a]),
                Node::Binary(b, x, y) => b.wgsl(&names[x], &names[y]),
                Node::Select(c, a, b) => format!("select({}, {}, {} == V(0.0))", names[a], names[b], names[c]),
            };
            let _ = writeln!(statements, "    let t{i} = {rhs};");
            names.push(format!("t{i}"));
        }
        Printed { statements, outputs: self.outputs().iter().map(|&o| names[o].clone()).collect() }
    }
}

impl Unary {
    fn wgsl(self, x: &str) -> String {
        match self {
            Unary::Neg => format!("-{x}"),
            Unary::Abs => format!("abs({x})"),
            Unary::Sign => format!("sign_of({x})"),
            Unary::Floor => format!("floor({x})"),
            Unary::Exp => format!("exp({x})"),
            Unary::Expm1 => format!("expm1({x})"),
            Unary::Log => format!("log({x})"),
            Unary::Sqrt => format!("sqrt({x})"),
            Unary::Sin => format!("sine({x}, 0.0)"),
            Unary::Cos => format!("sine({x}, 1.0)"),
            Unary::Tanh => format!("safe_tanh({x})"),
            Unary::Sigmoid => format!("V(1.0) / (V(1.0) + exp(-{x}))"),
            Unary::Softplus => format!("softplus({x})"),
            Unary::Erf => format!("erf({x})"),
            Unary::Relu => format!("select({x}, V(0.0), {x} < V(0.0))"),
            Unary::Half => format!("half_of({x})"),
            Unary::Positive => format!("select(V(0.0), V(1.0), {x} > V(0.0))"),
        }
    }
}

impl Binary {
    fn wgsl(self, x: &str, y: &str) -> String {
        match self {
            Binary::Add => format!("{x} + {y}"),
            Binary::Sub => format!("{x} - {y}"),
            Binary::Mul => format!("{x} * {y}"),
            Binary::Div => format!("{x} / {y}"),
            Binary::Max => format!("safe_max({x}, {y})"),
            Binary::Min => format!("safe_min({x}, {y})"),
            Binary::Pow => format!("safe_pow({x}, {y})"),
            Binary::Less => format!("select(V(0.0), V(1.0), {x} < {y})"),
            Binary::LessEqual => format!("select(V(0.0), V(1.0), {x} <= {y})"),
            Binary::Equal => format!("select(V(0.0), V(1.0), {x} == {y})"),
        }
    }
}

/// An f32 literal that parses back to the same bits, in browsers too.
fn literal(x: f64) -> String {
    let x = x as f32;
    // WGSL refuses an infinity or a NaN that it can see at compile time
    if !x.is_finite() {
        return format!("from_bits({}u)", x.to_bits());
    }
    // and the largest f32 in decimals: the shortest that means it lies above it
    if x.abs() == f32::MAX { format!("{}0x1.fffffep+127f", if x < 0.0 { "-" } else { "" }) } else { format!("{x:?}f") }
}
