//! The table of activations.

use super::{Expr, Scalar};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The activations. **To add one, add an entry to this table**: its name and its formula; WGSL, CPU, derivative, `--activation`
/// and the tests follow.
macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident $name:literal = |$x:ident| $formula:expr;)*) => {
        /// An elementwise activation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Activation { $($(#[$doc])* $variant,)* }

        impl Activation {
            /// Every activation there is.
            pub const ALL: &'static [Activation] = &[$(Activation::$variant),*];

            /// Its name, as flags and recipes spell it.
            pub fn name(self) -> &'static str {
                match self { $(Activation::$variant => $name,)* }
            }

            /// The name of its type, as listings of layers have it.
            pub(crate) fn type_name(self) -> &'static str {
                match self { $(Activation::$variant => stringify!($variant),)* }
            }

            /// Its formula.
            pub fn expr(self) -> Expr {
                match self { $(Activation::$variant => Expr::of(1, |v| { let $x = &v[0]; vec![$formula] }),)* }
            }
        }
    };
}

activations! {
    /// `max(x, 0)`
    Relu "relu" = |x| x.relu();
    /// Hyperbolic tangent.
    Tanh "tanh" = |x| x.tanh();
    /// `1 / (1 + exp(-x))`
    Sigmoid "sigmoid" = |x| x.sigmoid();
    /// `x * sigmoid(x)` (swish).
    Silu "silu" = |x| x * x.sigmoid();
    /// `x * Phi(x)` with the error function (Hendrycks & Gimpel 2016; PyTorch's default).
    Gelu "gelu" = |x| 0.5 * x * (1.0 + (x * std::f64::consts::FRAC_1_SQRT_2).erf());
    /// GELU by the tanh approximation, as `x * sigmoid(2u)`: equal to `x / 2 * (1 + tanh(u))`, without its cancellation for `x << 0`.
    GeluTanh "gelu_tanh" = |x| x * (2.0 * gelu_inner(x)).sigmoid();
    /// `x` where it is above 0, else `0.01 x`. `nn::LeakyRelu` takes another slope.
    LeakyRelu "leaky_relu" = |x| x.leaky_relu(0.01);
    /// `x` where it is above 0, else `exp(x) - 1` (Clevert et al. 2015). `nn::Elu` takes another alpha.
    Elu "elu" = |x| x.elu(1.0);
    /// ELU with the scale and alpha that keep mean 0 and variance 1 (Klambauer et al. 2017).
    Selu "selu" = |x| SELU_SCALE * x.elu(SELU_ALPHA);
    /// `log(1 + exp(x))`
    Softplus "softplus" = |x| x.softplus();
    /// `x * tanh(softplus(x))` (Misra 2019), as `x n / (n + 2)` with `n = e (e + 2)` and `e = exp(x)`: exact far below 0, where a tanh may be off by
    /// more than its value.
    Mish "mish" = |x| x * mish_part(x);
    /// `x * relu6(x + 3) / 6` (Howard et al. 2019).
    Hardswish "hardswish" = |x| x * (x + 3.0).relu6() * (1.0 / 6.0);
    /// `relu6(x + 3) / 6`
    Hardsigmoid "hardsigmoid" = |x| (x + 3.0).relu6() * (1.0 / 6.0);
    /// `min(max(x, 0), 6)`
    Relu6 "relu6" = |x| x.relu6();
    /// `x / (1 + |x|)`
    Softsign "softsign" = |x| x / (1.0 + x.abs());
    /// `log(sigmoid(x))`
    LogSigmoid "log_sigmoid" = |x| -(-x).softplus();
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// `tanh(softplus(x))`: 1 in f32 from 10 on.
fn mish_part(x: &Scalar) -> Scalar {
    let e = x.greater(20.0).select(20.0, x).exp();
    let n = &e * (&e + 2.0);
    &n / (&n + 2.0)
}

fn gelu_inner(x: &Scalar) -> Scalar {
    (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * (x * x * x))
}

impl std::str::FromStr for Activation {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let names: Vec<&str> = Self::ALL.iter().map(|a| a.name()).collect();
        Self::ALL.iter().copied().find(|a| a.name() == s).ok_or_else(|| Error::unknown_choice("activation", s, &names))
    }
}
