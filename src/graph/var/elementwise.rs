//! Formulas on [`Var`]s, element for element; operands of other shapes are repeated by NumPy's rule.

use super::{Operand, Var};
use crate::expr::{Activation, Expr, Scalar};
use crate::graph::op;
use crate::tensor::DType;

macro_rules! formulas {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) = |$x:ident| $formula:expr;)*) => {
        impl Var {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self $(, $arg: $ty)*) -> Var {
                self.map(Expr::of(1, |v| { let $x = &v[0]; vec![$formula] }), &[])
            }
        )*}
    };
}

macro_rules! formulas_of_two {
    ($($(#[$doc:meta])* $name:ident = |$x:ident, $y:ident| $formula:expr;)*) => {
        impl Var {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name<'a>(&self, other: impl Into<Operand<'a>>) -> Var {
                self.two(other.into(), |$x, $y| $formula)
            }
        )*}
    };
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident = |$x:ident, $y:ident| $formula:expr;)*) => {
        impl Var {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name<'a>(&self, other: impl Into<Operand<'a>>) -> Var {
                let mut cast = None;
                let other = match other.into() {
                    Operand::Var(v) => Operand::Var(if v.dtype() == DType::U32 { cast.insert(v.to_f32()) } else { v }),
                    number => number,
                };
                self.to_f32().two(other, |$x, $y| $formula)
            }
        )*}
    };
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident = $activation:ident;)*) => {
        impl Var {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Var {
                self.activation(Activation::$activation)
            }
        )*}
    };
}

activations! {
    /// `max(x, 0)`
    relu = Relu;
    /// Hyperbolic tangent.
    tanh = Tanh;
    /// `1 / (1 + exp(-x))`
    sigmoid = Sigmoid;
    /// `x * sigmoid(x)`
    silu = Silu;
    /// GELU with the error function.
    gelu = Gelu;
    /// GELU by the tanh approximation.
    gelu_tanh = GeluTanh;
    /// ELU with the scale and alpha that keep mean 0 and variance 1.
    selu = Selu;
    /// `log(1 + exp(x))`
    softplus = Softplus;
    /// `x * tanh(softplus(x))`
    mish = Mish;
    /// `x * relu6(x + 3) / 6`
    hardswish = Hardswish;
    /// `relu6(x + 3) / 6`
    hardsigmoid = Hardsigmoid;
    /// `min(max(x, 0), 6)`
    relu6 = Relu6;
    /// `x / (1 + |x|)`
    softsign = Softsign;
    /// `log(sigmoid(x))`
    log_sigmoid = LogSigmoid;
}

formulas! {
    /// `x` where it is above 0, else `negative_slope * x`.
    leaky_relu(negative_slope: f64) = |x| x.leaky_relu(negative_slope);
    /// `x` where it is above 0, else `alpha * (exp(x) - 1)`.
    elu(alpha: f64) = |x| x.elu(alpha);
    /// `x * x`
    square() = |x| x.square();
    /// Square root.
    sqrt() = |x| x.sqrt();
    /// Exponential.
    exp() = |x| x.exp();
    /// `exp(x) - 1`, exact near 0.
    expm1() = |x| x.expm1();
    /// Natural logarithm.
    log() = |x| x.log();
    /// Absolute value; its gradient is 0 at 0.
    abs() = |x| x.abs();
    /// 1, 0 or -1, as it is above, at or below 0 (0 for NaN). No gradient comes through.
    sign() = |x| x.sign();
    /// The largest integer that is not above it. No gradient comes through.
    floor() = |x| x.floor();
    /// Sine of an angle in radians, to 1e-6 up to 8,192.
    sin() = |x| x.sin();
    /// Cosine of an angle in radians, to 1e-6 up to 8,192.
    cos() = |x| x.cos();
    /// To a fixed power: products for integers up to 8, else as [`Var::pow_tensor`].
    pow(exponent: f64) = |x| x.pow(exponent);
    /// Not below `low` and not above `high`, which wins where they cross; an infinite bound is none, NaN stays. The gradient passes
    /// between the bounds alone: it is 0 at a bound, as in PyTorch 2.15.
    clamp(low: f64, high: f64) = |x| x.clamp(low, high);
}

formulas_of_two! {
    /// The larger of two; NaN if either is. Equal ones share the gradient, as in PyTorch.
    maximum = |x, y| x.maximum(y);
    /// The smaller of two; NaN if either is. Equal ones share the gradient, as in PyTorch.
    minimum = |x, y| x.minimum(y);
    /// To the power of `other`: NaN for a negative base unless the exponent is an integer, 1 for the exponent 0. The gradient for the
    /// exponent takes the base's logarithm: NaN below 0, as in PyTorch. The error grows with the size of the result's logarithm, about
    /// 1e-6 of the result for each factor of 10.
    pow_tensor = |x, y| x.pow(y);
}

comparisons! {
    /// 1 where it is below `other`, else 0; 0 for NaN. Integers are compared as [`Var::to_f32`] has them, as in the next five. No gradient comes through a comparison.
    less = |x, y| x.less(y);
    /// 1 where it is not above `other`, else 0; 0 for NaN.
    less_equal = |x, y| x.less_equal(y);
    /// 1 where it is above `other`, else 0; 0 for NaN.
    greater = |x, y| x.greater(y);
    /// 1 where it is not below `other`, else 0; 0 for NaN.
    greater_equal = |x, y| x.greater_equal(y);
    /// 1 where both are the same number, else 0; 0 for NaN.
    equal = |x, y| x.equal(y);
    /// 0 where both are the same number, else 1; 1 for NaN.
    not_equal = |x, y| x.not_equal(y);
}

impl Var {
    /// An activation by its value.
    #[track_caller]
    pub fn activation(&self, a: Activation) -> Var {
        self.map(a.expr(), &[])
    }

    /// `yes` where this is not 0, else `no`: PyTorch's `where`, on what a comparison gives. What is not chosen leaves no trace in the
    /// value, be it NaN; it gets the gradient 0, which a formula of infinite slope before it still turns into NaN.
    ///
    /// ```
    /// use gradus::graph::{Builder, Var};
    /// let b = Builder::new();
    /// let x = b.parameter("x", [3].into());
    /// let safe: Var = x.greater(&x.number(0.0)).select(&x, &x.number(1.0)).log();
    /// assert_eq!(safe.shape().dims(), [3]);
    /// ```
    #[doc(alias = "where")]
    #[track_caller]
    pub fn select<'a, 'b>(&self, yes: impl Into<Operand<'a>>, no: impl Into<Operand<'b>>) -> Var {
        let (yes, no) = (yes.into(), no.into());
        let (own, other) = (yes.var(), no.var());
        let others: Vec<&Var> = own.iter().chain(&other).copied().collect();
        let f = Expr::of(1 + others.len(), |v| {
            let mut next = v[1..].iter();
            let mut of = |o: &Operand<'_>| o.number().map_or_else(|| next.next().cloned().unwrap_or_else(|| 0.0.into()), Scalar::from);
            let (yes, no) = (of(&yes), of(&no));
            vec![v[0].select(yes, no)]
        });
        self.map(f, &others)
    }

    /// A formula of this and another.
    #[track_caller]
    fn two(&self, other: Operand<'_>, f: impl Fn(&Scalar, &Scalar) -> Scalar) -> Var {
        match (other.var(), other.number()) {
            (Some(other), _) => self.map(Expr::of(2, |v| vec![f(&v[0], &v[1])]), &[other]),
            (None, number) => self.map(Expr::of(1, |v| vec![f(&v[0], &number.unwrap_or_default().into())]), &[]),
        }
    }

    /// The same value, through which no gradient flows: PyTorch's `detach`, TensorFlow's `stop_gradient`. What it was made of gets none from
    /// here, and backward computes none. It costs nothing.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// // a straight-through estimator: the value of the step, the gradient of x
    /// let rounded = module(|_, x| {
    ///     let whole = (x + 0.5).floor();
    ///     x + (whole - x).detach()
    /// });
    /// # rounded.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([3]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "stop_gradient")]
    #[track_caller]
    pub fn detach(&self) -> Var {
        self.op(op::Detach, &[])
    }

    /// Integers (u32: token ids, classes, what [`Var::argmax`] gives) as f32, to the nearest: exact up to 2^24. What is f32 stays as it is. No
    /// gradient flows through it.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::tensor::{DType, HostTensor};
    /// // the mean of the embeddings of all tokens but 0, which pads: Keras' `mask_zero`
    /// let net = module(|s, ids| {
    ///     let mask = ids.not_equal(0).unsqueeze(2); // [batch, length, 1]
    ///     let h = s.at("embedding").call(&Embedding::new(50, 8), ids); // [batch, length, 8]
    ///     let mean = (h * &mask).sum_axes(&[1]) / mask.sum_axes(&[1]).maximum(1.0);
    ///     s.at("head").call(&Linear::new(2), &mean)
    /// });
    /// let ids = HostTensor::u32([2, 3], vec![7, 3, 0, 9, 0, 0])?;
    /// let data = Dataset::new(ids, HostTensor::u32([2], vec![0, 1])?)?.integers();
    /// let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([3]).input_dtype(DType::U32).device(Device::cpu());
    /// let mut model = net.compile(settings)?;
    /// model.fit(&data, Fit::new().verbose(0))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "cast")]
    #[doc(alias = "float")]
    #[track_caller]
    pub fn to_f32(&self) -> Var {
        if self.dtype() == DType::U32 { self.op(op::ToF32, &[]) } else { self.clone() }
    }

    /// Classes (u32, of any shape) as rows of 0 and 1: `[..]` to `[.., classes]`, as PyTorch's `F.one_hot`. Integers that come straight from the
    /// data are looked at before a step runs: one of `classes` or above is an `Err`. Others give a row of NaN there.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Var {
        if self.value().is_none() {
            return self.clone();
        }
        self.class_ordinals(classes).one_hot_rows(classes)
    }

    /// A number as a value `[]` of this model. It costs no memory. (Methods that take two values take numbers as they are: `x.maximum(0.5)`.)
    #[track_caller]
    pub fn number(&self, value: f64) -> Var {
        self.builder.constant(value, [])
    }
}
