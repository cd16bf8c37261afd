//! Values with operators, by which a formula is written in Rust.

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
    Select(Scalar, Scalar, Scalar),
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

    fn binary(&self, b: Binary, y: impl Into<Scalar>) -> Scalar {
        Scalar(Arc::new(Term::Binary(b, self.clone(), y.into())))
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

    /// 1, 0 or -1, as it is above, at or below 0.
    pub fn sign(&self) -> Scalar {
        self.unary(Unary::Sign)
    }
    /// The largest integer that is not above it; its gradient is 0.
    pub fn floor(&self) -> Scalar {
        self.unary(Unary::Floor)
    }
    /// Sine of an angle in radians.
    pub fn sin(&self) -> Scalar {
        self.unary(Unary::Sin)
    }
    /// Cosine of an angle in radians.
    pub fn cos(&self) -> Scalar {
        self.unary(Unary::Cos)
    }
    /// `exp(x) - 1`, exact near 0.
    pub fn expm1(&self) -> Scalar {
        self.unary(Unary::Expm1)
    }
    /// `log(1 + exp(x))`, without its overflow.
    pub fn softplus(&self) -> Scalar {
        self.unary(Unary::Softplus)
    }
    /// `x * x`
    pub fn square(&self) -> Scalar {
        self * self
    }
    /// To the power of `y`. NaN for a negative base, unless `y` is an integer.
    pub fn pow(&self, y: impl Into<Scalar>) -> Scalar {
        self.binary(Binary::Pow, y)
    }
    /// The larger of two; NaN if either is.
    pub fn maximum(&self, y: impl Into<Scalar>) -> Scalar {
        self.binary(Binary::Max, y)
    }
    /// The smaller of two; NaN if either is.
    pub fn minimum(&self, y: impl Into<Scalar>) -> Scalar {
        self.binary(Binary::Min, y)
    }
    /// 1 where it is below `y`, else 0; 0 for NaN, as for the next four.
    pub fn less(&self, y: impl Into<Scalar>) -> Scalar {
        self.binary(Binary::Less, y)
    }
    /// 1 where it is not above `y`, else 0.
    pub fn less_equal(&self, y: impl Into<Scalar>) -> Scalar {
        self.binary(Binary::LessEqual, y)
    }
    /// 1 where it is above `y`, else 0.
    pub fn greater(&self, y: impl Into<Scalar>) -> Scalar {
        y.into().less(self)
    }
    /// 1 where it is not below `y`, else 0.
    pub fn greater_equal(&self, y: impl Into<Scalar>) -> Scalar {
        y.into().less_equal(self)
    }
    /// 1 where both are the same number, else 0.
    pub fn equal(&self, y: impl Into<Scalar>) -> Scalar {
        self.binary(Binary::Equal, y)
    }
    /// 1 where they are not the same number, else 0; 1 for NaN.
    pub fn not_equal(&self, y: impl Into<Scalar>) -> Scalar {
        1.0 - self.equal(y)
    }
    /// `yes` where it is not 0, else `no`. The value that is not chosen may be NaN. But its gradient, which is 0, is still multiplied by the
    /// derivatives of the formula that made it, and 0 times infinity is NaN: give that formula a safe argument.
    pub fn select(&self, yes: impl Into<Scalar>, no: impl Into<Scalar>) -> Scalar {
        Scalar(Arc::new(Term::Select(self.clone(), yes.into(), no.into())))
    }
    /// Not below `low` and not above `high`, which wins; an infinite bound is none. The gradient is 0 at the bounds, as in PyTorch 2.15.
    pub fn clamp(&self, low: f64, high: f64) -> Scalar {
        let x = if low == f64::NEG_INFINITY { self.clone() } else { self.less_equal(low).select(low, self) };
        if high == f64::INFINITY { x } else { x.greater_equal(high).select(high, &x) }
    }
    /// `x` where it is above 0, else `negative_slope * x`.
    pub fn leaky_relu(&self, negative_slope: f64) -> Scalar {
        self.greater(0.0).select(self, negative_slope * self)
    }
    /// `x` where it is above 0, else `alpha * (exp(x) - 1)`.
    pub fn elu(&self, alpha: f64) -> Scalar {
        // the exponential of the negative part alone: that of a large number would be infinite, and infinity times a gradient of 0 is NaN
        let below = self.greater(0.0).select(0.0, self);
        self.relu() + alpha * below.expm1()
    }
    /// `min(max(x, 0), 6)`, whose gradient is 0 at 0 and at 6.
    pub fn relu6(&self) -> Scalar {
        self.greater_equal(6.0).select(6.0, self.relu())
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
            Term::Select(c, a, b) => {
                let (c, a, b) = (c.record(tape), a.record(tape), b.record(tape));
                tape.select(c, a, b)
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
