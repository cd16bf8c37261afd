//! The functions of one and of two values that formulas are made of.

use super::Real;

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unary {
    /// `-x`
    Neg,
    /// Absolute value.
    Abs,
    /// 1, 0 or -1 as `x` is above, at or below 0; 0 for NaN, as in PyTorch.
    Sign,
    /// The largest integer that is not above `x`.
    Floor,
    /// Exponential.
    Exp,
    /// `exp(x) - 1`, exact near 0.
    Expm1,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// Sine of an angle in radians, to 1e-6 up to 8,192.
    Sin,
    /// Cosine of an angle in radians, to 1e-6 up to 8,192.
    Cos,
    /// Hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(1 + exp(x))`, without its overflow.
    Softplus,
    /// The error function.
    Erf,
    /// `x` where it is not negative, else 0; NaN stays NaN.
    Relu,
    /// 1 where `x > 0`, else 0.
    Positive,
    /// `x` rounded to f16: to nearest, ties to even. Where a value is stored as f16 the plan puts this before the readers in the same kernel, so that
    /// they see what all other readers see. Its gradient is 1.
    Half,
}

impl Unary {
    /// Its name in errors and listings.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Sign => "sign",
            Unary::Floor => "floor",
            Unary::Exp => "exp",
            Unary::Expm1 => "expm1",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tanh => "tanh",
            Unary::Sigmoid => "sigmoid",
            Unary::Softplus => "softplus",
            Unary::Erf => "erf",
            Unary::Relu => "relu",
            Unary::Positive => "positive",
            Unary::Half => "half",
        }
    }
}

/// A function of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binary {
    /// `x + y`
    Add,
    /// `x - y`
    Sub,
    /// `x * y`
    Mul,
    /// `x / y`
    Div,
    /// The larger; NaN if either is. Equal ones share the gradient, as in PyTorch.
    Max,
    /// The smaller; NaN if either is. Equal ones share the gradient, as in PyTorch.
    Min,
    /// `x` to the power of `y`; NaN for a negative `x` unless `y` is an integer; `pow(x, 0) = 1`.
    Pow,
    /// 1 where `x < y`, else 0; 0 for NaN. Its gradient is 0, as that of the next two.
    Less,
    /// 1 where `x <= y`, else 0; 0 for NaN.
    LessEqual,
    /// 1 where `x == y`, else 0; 0 for NaN.
    Equal,
}

impl Unary {
    /// Its value at `x`, in the type's own precision.
    pub fn apply<T: Real>(self, x: T) -> T {
        let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
        match self {
            Unary::Neg => zero - x,
            Unary::Abs => x.abs(),
            Unary::Sign => truth::<T>(x > zero) - truth(x < zero),
            Unary::Floor => x.floor(),
            Unary::Exp => x.exp(),
            Unary::Expm1 => x.exp_m1(),
            Unary::Log => x.log(),
            Unary::Sqrt => x.sqrt(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => one / (one + (zero - x).exp()),
            Unary::Softplus => Unary::Relu.apply(x) + (zero - x.abs()).exp().ln_1p(),
            Unary::Erf => x.erf(),
            Unary::Relu => choose(x < zero, zero, x),
            Unary::Positive => truth(x > zero),
            Unary::Half => T::from_f64(half::f16::from_f64(x.to_f64()).into()),
        }
    }
}

impl Binary {
    /// Its value at `(x, y)`.
    pub fn apply<T: Real>(self, x: T, y: T) -> T {
        match self {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Max => choose(y.is_nan() || x < y, y, x),
            Binary::Min => choose(y.is_nan() || x > y, y, x),
            Binary::Pow => x.pow(y),
            Binary::Less => truth(x < y),
            Binary::LessEqual => truth(x <= y),
            Binary::Equal => truth(x == y),
        }
    }
}

pub(super) fn choose<T>(condition: bool, yes: T, no: T) -> T {
    if condition { yes } else { no }
}

fn truth<T: Real>(condition: bool) -> T {
    T::from_f64(choose(condition, 1.0, 0.0))
}
