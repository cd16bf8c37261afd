//! What a custom op may get wrong, and what `vjp` sees.

use super::checker::check;
use crate::error::Error;
use crate::graph::{Builder, CustomOp, Type, Var, gradients};

type Vjp = fn(&[Var], &[Var], &[Var]) -> Result<Vec<Option<Var>>, String>;

/// `x tanh(y)`, with any gradient.
struct Op {
    vjp: Vjp,
    lost: usize,
}

impl CustomOp for Op {
    fn name(&self) -> &str {
        "gated"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        if x.len() != 2 || x[0] != x[1] {
            return Err("a gate takes two values of one shape".into());
        }
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().zip(x[1]).skip(self.lost).map(|(a, b)| a * b.tanh()).collect()]
    }
    fn vjp(&self, x: &[Var], y: &[Var], g: &[Var]) -> Result<Vec<Option<Var>>, String> {
        (self.vjp)(x, y, g)
    }
}

const TRUE: Vjp = |x, _, g| {
    let t = x[1].tanh();
    Ok(vec![Some(&g[0] * &t), Some(&g[0] * &x[0] * (1.0 - t.square()))])
};

fn gated(b: &Builder, vjp: Vjp, lost: usize) -> Var {
    b.enter("blocks.0");
    let (x, y) = (b.parameter("x", [2, 3].into()), b.parameter("y", [2, 3].into()));
    let z = x.sigmoid().custom(Op { vjp, lost }, &[&(&y * 1.5)]);
    ((&z * &y).tanh() * 3.0 + z).mean()
}

#[test]
fn finite_differences() {
    check("gated", |b| gated(b, TRUE, 0)).unwrap_or_else(|e| panic!("{e}"));
    // by its result: x tanh(y) / x
    let by_result: Vjp = |x, y, g| {
        let t = &y[0] / &x[0];
        Ok(vec![Some(&g[0] * &t), Some(&g[0] * &x[0] * (1.0 - t.square()))])
    };
    check("gated by its result", |b| gated(b, by_result, 0)).unwrap_or_else(|e| panic!("{e}"));
    let wrong: Vjp = |x, _, g| Ok(vec![Some(&g[0] * &x[1].tanh()), Some(&g[0] * &x[0])]);
    assert!(check("gated", |b| gated(b, wrong, 0)).unwrap_err().contains("the gradient of `y`"));
}

fn differentiated(vjp: Vjp) -> Result<(), Error> {
    let b = Builder::new();
    let loss = gated(&b, vjp, 0).value();
    let mut g = b.finish()?;
    let wrt: Vec<_> = (0..2).map(|n| n.into()).collect();
    gradients(&mut g, loss.unwrap(), &wrt).map(|_| ())
}

#[test]
fn gradients_that_do_not_fit() {
    let says = |vjp: Vjp, code: &str, part: &str| {
        let e = differentiated(vjp).unwrap_err();
        let text = e.to_string();
        assert!(e.code() == code && text.contains(part) && text.contains("gated"), "{}: {text}", e.code());
    };
    says(|_, _, _| Err("not today".into()), "unsupported", "not today");
    says(|_, _, g| Ok(vec![Some(g[0].clone())]), "shape-mismatch", "for operands of [2, 3], [2, 3]");
    says(|_, _, g| Ok(vec![Some(g[0].sum()), None]), "shape-mismatch", "[], none");
    says(|_, _, _| Ok(vec![Some(Builder::new().constant(1.0, [2, 3])), None]), "shape-mismatch", "the Vars that `vjp` was given");
    let e = differentiated(|x, _, _| Ok(vec![Some(x[0].matmul(&x[1])), None])).unwrap_err();
    assert!(e.to_string().contains("matmul") && e.to_string().contains("custom.rs"), "{e}");
    assert!(differentiated(|_, _, _| Ok(vec![None, None])).is_ok());
}

#[test]
fn operands_and_results_that_do_not_fit() {
    let b = Builder::new();
    let x = b.parameter("x", [2].into());
    let line = line!() + 1;
    let y = x.custom(Op { vjp: TRUE, lost: 0 }, &[]);
    assert_eq!(y.custom_all(Op { vjp: TRUE, lost: 0 }, &[&x]).len(), 1);
    let e = b.finish().unwrap_err().to_string();
    assert!(e.contains("two values of one shape") && e.contains(&format!("custom.rs:{line}")), "{e}");
    let e = check("gated", |b| gated(b, TRUE, 1)).unwrap_err();
    assert!(e.contains("`reference` gives results of 5 elements, `infer` announces 6"), "{e}");
}
