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
            };
            // an output that is itself an input or a constant needs no stand-in
            at.push(if i == out && matches!(node, Node::Unary(..) | Node::Binary(..)) { y } else { id });
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
                    let (dp, dq) = match b {
                        Binary::Add => (g, g),
                        Binary::Sub => (g, t.unary(Unary::Neg, g)),
                        Binary::Mul => (t.binary(Binary::Mul, g, at[q]), t.binary(Binary::Mul, g, at[p])),
                        Binary::Div => {
                            let dp = t.binary(Binary::Div, g, at[q]);
                            let slope = t.binary(Binary::Mul, dp, at[i]);
                            (dp, t.unary(Unary::Neg, slope))
                        }
                    };
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
            Unary::Abs => {
                // sign(x), 0 at 0: PyTorch's choice
                let minus = t.unary(Unary::Neg, x);
                let (up, down) = (t.unary(Unary::Positive, x), t.unary(Unary::Positive, minus));
                t.binary(Binary::Sub, up, down)
            }
            Unary::Exp => y,
            Unary::Log => t.binary(Binary::Div, one, x),
            Unary::Sqrt => {
                let half = t.constant(0.5);
                t.binary(Binary::Div, half, y)
            }
            Unary::Tanh => {
                let y2 = t.binary(Binary::Mul, y, y);
                t.binary(Binary::Sub, one, y2)
            }
            Unary::Sigmoid => {
                let rest = t.binary(Binary::Sub, one, y);
                t.binary(Binary::Mul, y, rest)
            }
            Unary::Erf => {
                let x2 = t.binary(Binary::Mul, x, x);
                let minus = t.unary(Unary::Neg, x2);
                let e = t.unary(Unary::Exp, minus);
                let c = t.constant(std::f64::consts::FRAC_2_SQRT_PI);
                t.binary(Binary::Mul, c, e)
            }
            Unary::Relu => t.unary(Unary::Positive, y),
            Unary::Positive => return None,
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
