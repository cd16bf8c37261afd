//! How parameters start.

mod orthogonal;
mod scheme;
mod words;

pub use scheme::InitScheme;

use crate::rng::Philox;
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// How a parameter starts. Drawn on the host in f64, from the seed and the parameter's own name: the same on every device, and
/// adding a layer does not change the others' values.
///
/// ```
/// use gradus::nn::{Fan, Gain, Init, Linear};
/// let layer = Linear::new(64).weight_init(Init::kaiming_normal(Fan::In, Gain::Relu)).bias_init(Init::Zeros);
/// assert_eq!(layer.bias_init, Some(Init::Zeros));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// One value everywhere.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform(f64),
    /// Uniform from `low` to `high`.
    UniformBetween {
        /// The least value.
        low: f64,
        /// The bound that no value exceeds.
        high: f64,
    },
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with mean 0, but a row of the first axis is 0: a table with a padding row.
    NormalPadded {
        /// The standard deviation.
        std: f64,
        /// The row that is 0.
        padding: usize,
    },
    /// Uniform in `[-bound, bound)`, but a row of the first axis is 0: a table with a padding row.
    UniformPadded {
        /// The bound.
        bound: f64,
        /// The row that is 0.
        padding: usize,
    },
    /// Normal.
    NormalAround {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// Normal, drawn again where it is outside `low` to `high`: PyTorch's `trunc_normal_(mean, std, a, b)`.
    TruncatedNormal {
        /// The mean before the cut.
        mean: f64,
        /// The standard deviation before the cut; cut at 2 of them it becomes 0.8796 of itself.
        std: f64,
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
    /// Uniform with the standard deviation `1 / sqrt(fan_in)` (LeCun et al. 1998): Keras' `LecunUniform`.
    LecunUniform,
    /// Normal with the standard deviation `1 / sqrt(fan_in)` (LeCun et al. 1998), cut at two deviations of what is drawn: Keras' and JAX'
    /// `lecun_normal`, what [`Selu`](super::Selu) is made for.
    LecunNormal,
    /// A matrix with orthonormal rows, or columns where it has more rows than columns, times the gain; a weight `[out, in, ..]` counts as `[out,
    /// in * ..]` (Saxe et al. 2014): PyTorch's `orthogonal_`. Made in f64; of `n` by `n` it takes about `2 n^3` operations of the host, a second or
    /// less for 1024.
    Orthogonal(Gain),
    /// Uniform with the standard deviation `gain * sqrt(2 / (fan_in + fan_out))` (Glorot & Bengio 2010).
    #[doc(alias = "glorot_uniform")]
    XavierUniform(Gain),
    /// Normal with the standard deviation `gain * sqrt(2 / (fan_in + fan_out))` (Glorot & Bengio 2010).
    #[doc(alias = "glorot_normal")]
    XavierNormal(Gain),
    /// Uniform with the standard deviation `gain / sqrt(fan)` (He et al. 2015).
    #[doc(alias = "he_uniform")]
    KaimingUniform {
        /// Which side's variance is kept.
        fan: Fan,
        /// For the activation that follows.
        gain: Gain,
    },
    /// Normal with the standard deviation `gain / sqrt(fan)` (He et al. 2015).
    #[doc(alias = "he_normal")]
    KaimingNormal {
        /// Which side's variance is kept.
        fan: Fan,
        /// For the activation that follows.
        gain: Gain,
    },
}

/// The side of a layer whose variance Kaiming's initialisation keeps. Of a weight `[out, in, ..]` the fan in is `in`, the fan out is `out`,
/// either times the elements of the axes that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fan {
    /// Of the values, forward.
    In,
    /// Of the gradients, backward.
    Out,
}

/// What makes up for the activation that follows: the numbers of PyTorch's `calculate_gain`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gain {
    /// 1: no activation.
    Linear,
    /// 1
    Sigmoid,
    /// 5 / 3
    Tanh,
    /// The square root of 2.
    Relu,
    /// The square root of `2 / (1 + slope^2)`.
    LeakyRelu(f64),
    /// 3 / 4
    Selu,
    /// This number.
    Of(f64),
}

impl Gain {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Gain::Linear | Gain::Sigmoid => 1.0,
            Gain::Tanh => 5.0 / 3.0,
            Gain::Relu => std::f64::consts::SQRT_2,
            Gain::LeakyRelu(slope) => libm::sqrt(2.0 / (1.0 + slope * slope)),
            Gain::Selu => 0.75,
            Gain::Of(gain) => gain,
        }
    }
}

/// The distributions behind the names.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Constant(f64),
    Uniform { low: f64, high: f64 },
    Normal { mean: f64, std: f64 },
    Truncated { mean: f64, std: f64, low: f64, high: f64 },
    Orthogonal(f64),
}

/// The standard deviation of N(0, 1) cut at -2 and 2.
const CUT_AT_TWO: f64 = 0.879_625_661_034_239_8;

/// The least part of a normal distribution that a cut may leave: draws outside it are drawn again.
const LEAST_LEFT: f64 = 0.01;

impl Init {
    /// Uniform from `low` to `high`.
    pub fn uniform(low: f64, high: f64) -> Self {
        Init::UniformBetween { low, high }
    }
    /// Normal with this mean and standard deviation.
    pub fn normal(mean: f64, std: f64) -> Self {
        Init::NormalAround { mean, std }
    }
    /// [`Init::XavierUniform`]: PyTorch's `xavier_uniform_`, Keras' `GlorotUniform` where the gain is 1.
    pub fn xavier_uniform(gain: Gain) -> Self {
        Init::XavierUniform(gain)
    }
    /// [`Init::XavierNormal`]: PyTorch's `xavier_normal_`.
    pub fn xavier_normal(gain: Gain) -> Self {
        Init::XavierNormal(gain)
    }
    /// [`Init::KaimingUniform`]: PyTorch's `kaiming_uniform_`; Keras' `HeUniform` is `(Fan::In, Gain::Relu)`.
    pub fn kaiming_uniform(fan: Fan, gain: Gain) -> Self {
        Init::KaimingUniform { fan, gain }
    }
    /// [`Init::KaimingNormal`]: PyTorch's `kaiming_normal_`.
    pub fn kaiming_normal(fan: Fan, gain: Gain) -> Self {
        Init::KaimingNormal { fan, gain }
    }

    /// [`Init::TruncatedNormal`] within two standard deviations of the mean: Keras' `TruncatedNormal`; PyTorch's `trunc_normal_` cuts at the
    /// values -2 and 2 unless it is told otherwise.
    pub fn truncated_normal(mean: f64, std: f64) -> Self {
        Init::TruncatedNormal { mean, std, low: mean - 2.0 * std, high: mean + 2.0 * std }
    }
    /// [`Init::LecunUniform`].
    pub fn lecun_uniform() -> Self {
        Init::LecunUniform
    }
    /// [`Init::LecunNormal`].
    pub fn lecun_normal() -> Self {
        Init::LecunNormal
    }
    /// [`Init::Orthogonal`]: PyTorch's `orthogonal_`.
    pub fn orthogonal(gain: Gain) -> Self {
        Init::Orthogonal(gain)
    }

    /// The values of a parameter of this shape, for this seed and name.
    ///
    /// A parameter without two axes has no fans: Xavier, Kaiming and LeCun then draw as if both were 1, and one column is orthogonal. (`Scope::param` refuses it.)
    pub fn draw(self, seed: u64, name: &str, shape: &Shape) -> Vec<f32> {
        let mut r = Philox::new(seed, name);
        let how = self.distribution(shape);
        if let Draw::Orthogonal(gain) = how {
            let rows = shape.dims().first().copied().unwrap_or(1).max(1);
            return orthogonal::orthogonal(&mut r, rows, shape.size() / rows, gain);
        }
        let one = |_| match how {
            Draw::Constant(c) => c as f32,
            Draw::Uniform { low, high } if low == -high => (high * (2.0 * r.uniform() - 1.0)) as f32,
            Draw::Uniform { low, high } => (low + (high - low) * r.uniform()) as f32,
            Draw::Normal { mean, std } => (mean + std * r.normal()) as f32,
            Draw::Truncated { mean, std, low, high } => truncated(&mut r, mean, std, low, high),
            Draw::Orthogonal(gain) => gain as f32,
        };
        let mut values: Vec<f32> = (0..shape.size()).map(one).collect();
        if let (Init::NormalPadded { padding, .. } | Init::UniformPadded { padding, .. }, [rows, ..]) = (self, shape.dims()) {
            values.chunks_mut((shape.size() / rows.max(&1)).max(1)).skip(padding).take(1).for_each(|row| row.fill(0.0));
        }
        values
    }

    fn distribution(self, shape: &Shape) -> Draw {
        let (fan_in, fan_out) = fans(shape).unwrap_or((1.0, 1.0));
        let fan = |side| if side == Fan::In { fan_in } else { fan_out };
        let even = |std: f64| Draw::Uniform { low: -libm::sqrt(3.0) * std, high: libm::sqrt(3.0) * std };
        let xavier = |gain: Gain| gain.value() * libm::sqrt(2.0 / (fan_in + fan_out));
        match self {
            Init::Zeros => Draw::Constant(0.0),
            Init::Ones => Draw::Constant(1.0),
            Init::Constant(c) => Draw::Constant(c),
            Init::Uniform(bound) => Draw::Uniform { low: -bound, high: bound },
            Init::UniformPadded { bound, .. } => Draw::Uniform { low: -bound, high: bound },
            Init::UniformBetween { low, high } => Draw::Uniform { low, high },
            Init::Normal(std) => Draw::Normal { mean: 0.0, std },
            Init::NormalPadded { std, .. } => Draw::Normal { mean: 0.0, std },
            Init::NormalAround { mean, std } => Draw::Normal { mean, std },
            Init::TruncatedNormal { mean, std, low, high } => Draw::Truncated { mean, std, low, high },
            Init::LecunUniform => even(1.0 / libm::sqrt(fan_in)),
            Init::LecunNormal => {
                let std = 1.0 / libm::sqrt(fan_in) / CUT_AT_TWO;
                Draw::Truncated { mean: 0.0, std, low: -2.0 * std, high: 2.0 * std }
            }
            Init::Orthogonal(gain) => Draw::Orthogonal(gain.value()),
            Init::XavierUniform(gain) => even(xavier(gain)),
            Init::XavierNormal(gain) => Draw::Normal { mean: 0.0, std: xavier(gain) },
            Init::KaimingUniform { fan: side, gain } => even(gain.value() / libm::sqrt(fan(side))),
            Init::KaimingNormal { fan: side, gain } => Draw::Normal { mean: 0.0, std: gain.value() / libm::sqrt(fan(side)) },
        }
    }

    /// The same with a row of zeros, for those that have such a twin.
    pub(super) fn padded(self, padding: usize) -> Option<Self> {
        match self {
            Init::Normal(std) => Some(Init::NormalPadded { std, padding }),
            Init::Uniform(bound) => Some(Init::UniformPadded { bound, padding }),
            _ => None,
        }
    }

    /// What is wrong with it for a parameter of this shape, and what to do.
    pub(super) fn fault(self, shape: &Shape) -> Option<(String, &'static str)> {
        use Init::{KaimingNormal, KaimingUniform, LecunNormal, LecunUniform, Orthogonal, XavierNormal, XavierUniform};
        let by_fan = matches!(
            self,
            XavierUniform(_) | XavierNormal(_) | KaimingUniform { .. } | KaimingNormal { .. } | LecunUniform | LecunNormal | Orthogonal(_)
        );
        if by_fan && shape.rank() < 2 {
            return Some((
                format!("{self:?} needs two axes, [out, in], and the shape is {shape}"),
                "start it with `Init::Zeros`, or by numbers",
            ));
        }
        let sound = match self.distribution(shape) {
            Draw::Constant(c) => c.is_finite(),
            Draw::Uniform { low, high } => low.is_finite() && high.is_finite() && low <= high,
            Draw::Normal { mean, std } => mean.is_finite() && std.is_finite() && std >= 0.0,
            Draw::Truncated { mean, std, low, high } => {
                let finite = [mean, std, low, high].iter().all(|x| x.is_finite());
                if finite && std > 0.0 && low < high && left(mean, std, low, high) < LEAST_LEFT {
                    let problem = format!("{self:?} cuts away more than 99 % of the distribution");
                    return Some((problem, "widen `low` and `high`, or draw with `Init::uniform(low, high)`"));
                }
                finite && std > 0.0 && low < high
            }
            Draw::Orthogonal(gain) => gain.is_finite(),
        };
        (!sound).then(|| (format!("{self:?} gives no numbers"), "bounds must be finite and in order, deviations finite and not negative"))
    }
}

/// The part of the normal distribution between two values.
fn left(mean: f64, std: f64, low: f64, high: f64) -> f64 {
    let below = |x: f64| libm::erf((x - mean) / (std * std::f64::consts::SQRT_2));
    (below(high) - below(low)) / 2.0
}

/// A draw that lies between two values, before and after it is rounded to f32.
fn truncated(r: &mut Philox, mean: f64, std: f64, low: f64, high: f64) -> f32 {
    // `fault` refuses cuts that leave less than a hundredth: that none of 100,000 draws fits means one of those, asked for by hand
    let found =
        (0..100_000).map(|_| mean + std * r.normal()).find(|x| (low..=high).contains(x) && (low..=high).contains(&f64::from(*x as f32)));
    found.unwrap_or((low + high) / 2.0) as f32
}

/// Fan in and fan out of a weight `[out, in, ..]`.
fn fans(shape: &Shape) -> Option<(f64, f64)> {
    let (&[out, inputs], field) = shape.dims().split_first_chunk::<2>()?;
    let field: f64 = field.iter().map(|&d| d as f64).product();
    Some((inputs as f64 * field, out as f64 * field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(v: &[f32]) -> (f64, f64) {
        let n = v.len() as f64;
        let mean = v.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        (mean, (v.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    /// Of `[60, 40, 3, 5]`: fan in 600, fan out 900; 36,000 draws are within 0.02 of a standard deviation of theirs.
    #[test]
    fn statistics_and_bounds() {
        let shape = Shape::from([60, 40, 3, 5]);
        let sqrt = |x: f64| x.sqrt();
        // what it is, mean, standard deviation, whether uniform
        let table = [
            (Init::Uniform(0.3), 0.0, 0.3 / sqrt(3.0), true),
            (Init::uniform(-1.0, 3.0), 1.0, 4.0 / sqrt(12.0), true),
            (Init::Normal(0.7), 0.0, 0.7, false),
            (Init::normal(2.0, 0.5), 2.0, 0.5, false),
            (Init::xavier_uniform(Gain::Linear), 0.0, sqrt(2.0 / 1500.0), true),
            (Init::xavier_normal(Gain::Tanh), 0.0, 5.0 / 3.0 * sqrt(2.0 / 1500.0), false),
            (Init::kaiming_uniform(Fan::In, Gain::Relu), 0.0, sqrt(2.0 / 600.0), true),
            (Init::kaiming_normal(Fan::Out, Gain::LeakyRelu(0.2)), 0.0, sqrt(2.0 / 1.04 / 900.0), false),
            (Init::kaiming_normal(Fan::In, Gain::Selu), 0.0, 0.75 / sqrt(600.0), false),
            (Init::xavier_uniform(Gain::Of(3.0)), 0.0, 3.0 * sqrt(2.0 / 1500.0), true),
            (Init::LecunUniform, 0.0, sqrt(1.0 / 600.0), true),
        ];
        for (init, mean, std, uniform) in table {
            let v = init.draw(3, "weight", &shape);
            let (m, s) = moments(&v);
            assert!((m - mean).abs() < 0.02 * std && (s / std - 1.0).abs() < 0.02, "{init:?}: {m} +- {s} for {mean} +- {std}");
            let reach = v.iter().fold(0.0f64, |r, &x| r.max((f64::from(x) - mean).abs()));
            let bound = sqrt(3.0) * std;
            assert!(if uniform { reach <= bound * 1.000001 && reach > 0.999 * bound } else { reach > 3.0 * std }, "{init:?}: {reach}");
        }
        assert_eq!(Init::Constant(0.25).draw(0, "b", &[3].into()), [0.25; 3]);
        assert_eq!((Init::Zeros.draw(0, "b", &[2].into()), Init::Ones.draw(0, "b", &[2].into())), (vec![0.0; 2], vec![1.0; 2]));
    }

    /// Cut distributions: moments of theory (the density at the cuts over what is left), and no value outside.
    #[test]
    fn truncated_moments_and_bounds() {
        let shape = Shape::from([60, 40, 3, 5]);
        let narrow = Init::TruncatedNormal { mean: 0.5, std: 1.0, low: 0.0, high: 0.75 };
        for (init, mean, std, low, high) in [
            (Init::truncated_normal(0.0, 0.5), 0.0, 0.5 * CUT_AT_TWO, -1.0, 1.0),
            (Init::truncated_normal(3.0, 0.1), 3.0, 0.1 * CUT_AT_TWO, 2.8, 3.2),
            (Init::LecunNormal, 0.0, (1.0f64 / 600.0).sqrt(), -2.0 / 600f64.sqrt() / CUT_AT_TWO, 2.0 / 600f64.sqrt() / CUT_AT_TWO),
            (narrow, 0.380_749, 0.214_435, 0.0, 0.75),
        ] {
            let v = init.draw(3, "weight", &shape);
            let (m, s) = moments(&v);
            assert!((m - mean).abs() < 0.02 * std && (s / std - 1.0).abs() < 0.02, "{init:?}: {m} +- {s} for {mean} +- {std}");
            assert!(v.iter().all(|&x| (low..=high).contains(&f64::from(x))), "{init:?}");
        }
    }

    /// A weight of four axes is orthogonal as `[out, in * ..]`; every row has the length of the gain.
    #[test]
    fn orthogonal_over_all_axes() {
        let v = Init::orthogonal(Gain::Relu).draw(7, "conv", &[6, 2, 3, 3].into());
        for (i, a) in v.chunks(18).enumerate() {
            for (j, b) in v.chunks(18).enumerate() {
                let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - if i == j { 2.0 } else { 0.0 }).abs() < 1e-5, "{i} {j} {product}");
            }
        }
        assert_ne!(v, Init::orthogonal(Gain::Relu).draw(8, "conv", &[6, 2, 3, 3].into()));
    }

    /// PyTorch's default for `Linear` under its own name.
    #[test]
    fn kaiming_with_sqrt_5_is_the_default() {
        let shape = Shape::from([8, 50]);
        let (a, b) = (Init::kaiming_uniform(Fan::In, Gain::LeakyRelu(5f64.sqrt())), Init::Uniform(1.0 / 50f64.sqrt()));
        let (a, b) = (a.draw(1, "w", &shape), b.draw(1, "w", &shape));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-7), "{a:?} {b:?}");
    }

    #[test]
    fn faults() {
        assert!(Init::kaiming_normal(Fan::In, Gain::Relu).fault(&[3].into()).is_some());
        assert!(Init::xavier_uniform(Gain::Relu).fault(&[3, 4].into()).is_none());
        for init in [Init::LecunNormal, Init::LecunUniform, Init::orthogonal(Gain::Linear)] {
            assert!(init.fault(&[3].into()).is_some() && init.fault(&[3, 4].into()).is_none());
        }
        for init in [
            Init::Normal(-1.0),
            Init::uniform(1.0, 0.0),
            Init::Constant(f64::NAN),
            Init::Uniform(f64::INFINITY),
            Init::Uniform(-0.1),
            Init::truncated_normal(0.0, 0.0),
            Init::TruncatedNormal { mean: 0.0, std: 1.0, low: 3.0, high: 4.0 },
            Init::TruncatedNormal { mean: 0.0, std: 1.0, low: 1.0, high: -1.0 },
            Init::orthogonal(Gain::Of(f64::NAN)),
        ] {
            assert!(init.fault(&[3, 4].into()).is_some(), "{init:?}");
        }
    }
}
