//! The derivative of a formula, by a rule for each of its nodes.

use super::{Binary, Expr, Node, Tape, Unary};

impl Expr {
    /// The gradient with respect to input `wrt`: a function of `(inputs.., y, grad)`, where `y` is this function's one output
    /// and `grad` the loss' gradient for it. `None` if the output does not depend on the input.
    ///
    /// Rules are written in terms of `y` where they can be (tanh: `1 - y^2`), so that backward keeps the outputs and not the inputs.
    pub fn gradient(&self, wrt: usize) -> Option<Expr> {
        let &[out] = self.outputs() else { return None };
        let n = self.arity();
        let mut t = Tape::default();
        let (y, grad) = (t.input(n), t.input(n + 1));
        let mut at = Vec::new();
        for (i, node) in self.nodes().iter().enumerate() {
            let id = match *node {
                Node::Input(i) => t.input(i),
                Node::Rate(i) => t.rate(i),
                Node::Const(c) => t.constant(f64::from_bits(c)),
                Node::Unary(u, a) => t.unary(u, at[a]),
                Node::Binary(b, p, q) => t.binary(b, at[p], at[q]),
                Node::Select(c, p, q) => t.select(at[c], at[p], at[q]),
            };
            // `y` need not stand for an output that is itself an input or a constant
            at.push(if i == out && matches!(node, Node::Unary(..) | Node::Binary(..) | Node::Select(..)) { y } else { id });
        }
        let mut adjoint: Vec<Option<usize>> = vec![None; at.len()];
        adjoint[out] = Some(grad);
        let mut result = None;
        for i in (0..at.len()).rev() {
            let Some(g) = adjoint[i] else { continue };
            let mut send = |t: &mut Tape, to: usize, v: usize| {
                adjoint[to] = Some(match adjoint[to] {
                    Some(sum) => t.binary(Binary::Add, sum, v),
                    None => v,
                });
            };
            match self.nodes()[i] {
                Node::Input(k) if k == wrt => result = Some(g),
                Node::Input(_) | Node::Rate(_) | Node::Const(_) => {}
                Node::Unary(u, a) => {
                    if let Some(d) = u.slope(&mut t, at[a], at[i]) {
                        let v = t.binary(Binary::Mul, g, d);
                        send(&mut t, a, v);
                    }
                }
                Node::Binary(b, p, q) => {
                    let Some((dp, dq)) = b.pull(&mut t, g, at[p], at[q], at[i]) else { continue };
                    send(&mut t, p, dp);
                    send(&mut t, q, dq);
                }
                Node::Select(c, p, q) => {
                    let zero = t.constant(0.0);
                    let (dp, dq) = (t.select(at[c], g, zero), t.select(at[c], zero, g));
                    send(&mut t, p, dp);
                    send(&mut t, q, dq);
                }
            }
        }
        result.map(|r| t.finish(n + 2, &[r]))
    }
}

impl Unary {
    /// The derivative at `x`, given also the value `y`; `None` where it is 0 everywhere.
    fn slope(self, t: &mut Tape, x: usize, y: usize) -> Option<usize> {
        let one = t.constant(1.0);
        Some(match self {
            Unary::Neg => t.constant(-1.0),
            // 0 at 0: PyTorch's choice
            Unary::Abs => t.unary(Unary::Sign, x),
            Unary::Exp => y,
            // not y + 1: far below 0 `y` rounds to -1, while the slope is small and not 0
            Unary::Expm1 => t.unary(Unary::Exp, x),
            Unary::Log => t.binary(Binary::Div, one, x),
            Unary::Sqrt => {
                let half = t.constant(0.5);
                t.binary(Binary::Div, half, y)
            }
            Unary::Sin => t.unary(Unary::Cos, x),
            Unary::Cos => {
                let sin = t.unary(Unary::Sin, x);
                t.unary(Unary::Neg, sin)
            }
            Unary::Tanh => {
                let y2 = t.binary(Binary::Mul, y, y);
                t.binary(Binary::Sub, one, y2)
            }
            Unary::Sigmoid => {
                let rest = t.binary(Binary::Sub, one, y);
                t.binary(Binary::Mul, y, rest)
            }
            Unary::Softplus => {
                // sigmoid(x) = 1 - exp(-y): backward keeps y alone
                let minus = t.unary(Unary::Neg, y);
                let e = t.unary(Unary::Expm1, minus);
                t.unary(Unary::Neg, e)
            }
            Unary::Erf => {
                let x2 = t.binary(Binary::Mul, x, x);
                let minus = t.unary(Unary::Neg, x2);
                let e = t.unary(Unary::Exp, minus);
                let c = t.constant(std::f64::consts::FRAC_2_SQRT_PI);
                t.binary(Binary::Mul, c, e)
            }
            Unary::Relu => t.unary(Unary::Positive, y),
            Unary::Half => one,
            Unary::Positive | Unary::Sign | Unary::Floor => return None,
        })
    }
}

impl Binary {
    /// The gradients for `x` and for `y`, from the gradient `g` for the value `v` at `(x, y)`; `None` where both are 0 everywhere.
    fn pull(self, t: &mut Tape, g: usize, x: usize, y: usize, v: usize) -> Option<(usize, usize)> {
        Some(match self {
            Binary::Add => (g, g),
            Binary::Sub => (g, t.unary(Unary::Neg, g)),
            Binary::Mul => (t.binary(Binary::Mul, g, y), t.binary(Binary::Mul, g, x)),
            Binary::Div => {
                let dx = t.binary(Binary::Div, g, y);
                let slope = t.binary(Binary::Mul, dx, v);
                (dx, t.unary(Unary::Neg, slope))
            }
            // PyTorch's choice: half to each of equal values; both get it whole where one is NaN
            Binary::Max | Binary::Min => {
                let (zero, half) = (t.constant(0.0), t.constant(0.5));
                let (equal, shared) = (t.binary(Binary::Equal, x, y), t.binary(Binary::Mul, g, half));
                let even = t.select(equal, shared, g);
                let (below, above) = (t.binary(Binary::Less, x, y), t.binary(Binary::Less, y, x));
                let (x_loses, y_loses) = if self == Binary::Max { (below, above) } else { (above, below) };
                (t.select(x_loses, zero, even), t.select(y_loses, zero, even))
            }
            // PyTorch's choices: 0 for the base where y is 0; 0 for the exponent where x is 0 and y is not negative
            Binary::Pow => {
                let (zero, one) = (t.constant(0.0), t.constant(1.0));
                let less = t.binary(Binary::Sub, y, one);
                let power = t.binary(Binary::Pow, x, less);
                let slope = t.binary(Binary::Mul, y, power);
                let dx = t.binary(Binary::Mul, g, slope);
                let none = t.binary(Binary::Equal, y, zero);
                let dx = t.select(none, zero, dx);
                let log = t.unary(Unary::Log, x);
                let slope = t.binary(Binary::Mul, v, log);
                let dy = t.binary(Binary::Mul, g, slope);
                let (at_zero, grows) = (t.binary(Binary::Equal, x, zero), t.binary(Binary::LessEqual, zero, y));
                let none = t.binary(Binary::Mul, at_zero, grows);
                (dx, t.select(none, zero, dy))
            }
            Binary::Less | Binary::LessEqual | Binary::Equal => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Activation, Expr};

    /// Central differences in f64 for every activation and a formula with each binary operation.
    #[test]
    fn slopes_match_differences() {
        let mut all: Vec<(String, Expr)> = Activation::ALL.iter().map(|a| (a.name().to_string(), a.expr())).collect();
        all.push(("mix".into(), Expr::of(1, |x| vec![(&x[0] * &x[0] + 2.0).log() / (1.5 + x[0].abs()) - (x[0].exp() + 1.0).sqrt()])));
        for (name, f) in all {
            let d = f.gradient(0).unwrap();
            for i in -30..30 {
                let x = f64::from(i) * 0.2 + 0.0317;
                let h = 1e-6;
                let at = |x: f64| f.eval::<f64>(&[x], &[])[0];
                let want = (at(x + h) - at(x - h)) / (2.0 * h);
                let got = d.eval::<f64>(&[x, at(x), 1.0], &[])[0];
                assert!((want - got).abs() < 1e-7, "{name} at {x}: {got} for {want}");
            }
        }
    }

    #[test]
    fn relu_needs_only_its_output() {
        let (_, kept) = Activation::Relu.expr().gradient(0).unwrap().prune();
        assert_eq!(kept, [1, 2]); // y, grad
    }
}
