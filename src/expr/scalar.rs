use super::{Binary, Tape, Unary};
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::Arc;

/// A value in a formula under construction: what the closures of [`Expr::of`](super::Expr::of) compute with.
#[derive(Debug, Clone)]
pub struct Scalar(Arc<Term>);

#[derive(Debug)]
enum Term {
    Input(usize),
    Rate(usize),
    Const(f64),
    Unary(Unary, Scalar),
    Binary(Binary, Scalar, Scalar),
}

impl Scalar {
    pub(super) fn input(i: usize) -> Scalar {
        Scalar(Arc::new(Term::Input(i)))
    }

    /// The rate of this number in the step's row of the rate table.
    pub fn rate(i: usize) -> Scalar {
        Scalar(Arc::new(Term::Rate(i)))
    }

    fn unary(&self, u: Unary) -> Scalar {
        Scalar(Arc::new(Term::Unary(u, self.clone())))
    }

    /// Absolute value.
    pub fn abs(&self) -> Scalar {
        self.unary(Unary::Abs)
    }
    /// Exponential.
    pub fn exp(&self) -> Scalar {
        self.unary(Unary::Exp)
    }
    /// Natural logarithm.
    pub fn log(&self) -> Scalar {
        self.unary(Unary::Log)
    }
    /// Square root.
    pub fn sqrt(&self) -> Scalar {
        self.unary(Unary::Sqrt)
    }
    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Scalar {
        self.unary(Unary::Tanh)
    }
    /// Logistic function.
    pub fn sigmoid(&self) -> Scalar {
        self.unary(Unary::Sigmoid)
    }
    /// Error function.
    pub fn erf(&self) -> Scalar {
        self.unary(Unary::Erf)
    }
    /// 0 where negative.
    pub fn relu(&self) -> Scalar {
        self.unary(Unary::Relu)
    }
    /// 1 where above 0, else 0.
    pub fn positive(&self) -> Scalar {
        self.unary(Unary::Positive)
    }

    pub(super) fn record(&self, tape: &mut Tape) -> usize {
        match &*self.0 {
            Term::Input(i) => tape.input(*i),
            Term::Rate(i) => tape.rate(*i),
            Term::Const(c) => tape.constant(*c),
            Term::Unary(u, a) => {
                let a = a.record(tape);
                tape.unary(*u, a)
            }
            Term::Binary(b, x, y) => {
                let (x, y) = (x.record(tape), y.record(tape));
                tape.binary(*b, x, y)
            }
        }
    }
}

impl From<f64> for Scalar {
    fn from(x: f64) -> Scalar {
        Scalar(Arc::new(Term::Const(x)))
    }
}
impl From<&Scalar> for Scalar {
    fn from(x: &Scalar) -> Scalar {
        x.clone()
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<R: Into<Scalar>> $trait<R> for Scalar {
            type Output = Scalar;
            fn $method(self, r: R) -> Scalar {
                Scalar(Arc::new(Term::Binary(Binary::$trait, self, r.into())))
            }
        }
        impl<R: Into<Scalar>> $trait<R> for &Scalar {
            type Output = Scalar;
            fn $method(self, r: R) -> Scalar {
                self.clone().$method(r)
            }
        }
        impl $trait<Scalar> for f64 {
            type Output = Scalar;
            fn $method(self, r: Scalar) -> Scalar {
                Scalar::from(self).$method(r)
            }
        }
        impl $trait<&Scalar> for f64 {
            type Output = Scalar;
            fn $method(self, r: &Scalar) -> Scalar {
                Scalar::from(self).$method(r)
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl Neg for Scalar {
    type Output = Scalar;
    fn neg(self) -> Scalar {
        self.unary(Unary::Neg)
    }
}
impl Neg for &Scalar {
    type Output = Scalar;
    fn neg(self) -> Scalar {
        self.unary(Unary::Neg)
    }
}
