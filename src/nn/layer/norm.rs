//! Normalisation of the rows of a batch: by layer, by root mean square, by groups of channels.

use super::kind::LayerKind;
use super::refuse::{refuse, refuse_setting};
use crate::graph::Var;
use crate::nn::{Init, Scope};
use serde::{Deserialize, Serialize};

fn yes() -> bool {
    true
}

/// `y * weight + bias`; a weight or bias of `None` is left out.
pub(super) fn affine(y: &Var, weight: Option<&Var>, bias: Option<&Var>) -> Var {
    let y = weight.map_or_else(|| y.clone(), |w| y * w);
    bias.map_or_else(|| y.clone(), |b| &y + b)
}

fn good_eps(eps: f64) -> bool {
    eps.is_finite() && eps >= 0.0
}

const EPS: &str = "give an eps of 0 or above";

/// The setters of layers that normalise the last axes: `row_setters!(LayerNorm, "What eps is added to.", "What the affine part is.")`.
macro_rules! row_setters {
    ($layer:ident, $eps:literal, $affine:literal) => {
        impl $layer {
            /// How many of the last axes are normalised together.
            pub fn axes(mut self, axes: usize) -> Self {
                self.axes = axes;
                self
            }

            #[doc = $eps]
            pub fn eps(mut self, eps: f64) -> Self {
                self.eps = eps;
                self
            }

            #[doc = $affine]
            pub fn elementwise_affine(mut self, affine: bool) -> Self {
                self.elementwise_affine = affine;
                self
            }
        }
    };
}

/// Layer normalisation (Ba et al. 2016; PyTorch's `LayerNorm`): each row of the last axes less its mean, over the root of its (biased)
/// variance plus `eps`, times `weight`, plus `bias`, both of the shape of those axes. The same in training and evaluation.
///
/// PyTorch's `LayerNorm([c, h])` is `LayerNorm::new().axes(2)` here: sizes are inferred.
///
/// ```
/// use gradus::nn::LayerNorm;
/// use gradus::prelude::*;
/// let net = Sequential::new().add(Linear::new(16)).add(LayerNorm::new()).add(Gelu).add(Linear::new(1));
/// let model = net.compile(Compile::new(Adam::default(), Mse::new()).input([8]).device(Device::cpu()))?;
/// assert_eq!(model.parameter_names().nth(2), Some("1.weight"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "LayerNormalization")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct LayerNorm {
    /// How many of the last axes are normalised together; 1.
    pub axes: usize,
    /// Added to the variance; 1e-5.
    pub eps: f64,
    /// Whether there is a `weight` (1 at first), and a `bias`; there is.
    pub elementwise_affine: bool,
    /// Whether there is a `bias` (0 at first) beside the weight; there is.
    pub bias: bool,
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerNorm {
    /// Over the last axis, with PyTorch's defaults.
    pub fn new() -> Self {
        LayerNorm { axes: 1, eps: 1e-5, elementwise_affine: true, bias: true }
    }

    /// With or without a `bias` beside the weight.
    pub fn bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }
}

row_setters!(LayerNorm, "Added to the variance.", "With or without `weight` and `bias`.");

/// The last axes of an input. An `Err` is a poisoned value: the layer cannot have these axes, and the mistake is noted.
fn last_axes(s: &Scope, layer: &str, x: &Var, axes: usize, eps: f64) -> Result<Vec<usize>, Var> {
    let rank = x.shape().rank();
    if x.value().is_none() {
        return Err(x.clone());
    }
    if !good_eps(eps) {
        return Err(refuse_setting(s, layer, "eps", eps, EPS));
    }
    // the first axis is the batch
    if axes == 0 || axes >= rank {
        return Err(refuse(
            s,
            layer,
            format!("the last {axes} axes of {}", x.shape()),
            "give at least one axis, and leave the batch's out",
        ));
    }
    Ok((rank - axes..rank).collect())
}

impl LayerKind for LayerNorm {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let axes = match last_axes(s, "LayerNorm", x, self.axes, self.eps) {
            Ok(axes) => axes,
            Err(v) => return v,
        };
        let shape = x.shape();
        let own = &shape.dims()[axes[0]..];
        let weight = self.elementwise_affine.then(|| s.param("weight", own, Init::Ones));
        let bias = (self.elementwise_affine && self.bias).then(|| s.param("bias", own, Init::Zeros));
        affine(&normalised(x, &axes, self.eps), weight.as_ref(), bias.as_ref())
    }
}

/// Mean 0 and variance 1 over these axes; 0 to the bit where all are equal.
fn normalised(x: &Var, axes: &[usize], eps: f64) -> Var {
    let centred = x - x.mean_from_first(axes);
    let var = x.variance_keep(axes);
    // one division for a row, and none for its values
    centred * (1.0 / (var + eps).sqrt())
}

/// Root mean square normalisation (Zhang & Sennrich 2019; PyTorch's `RMSNorm`): each row of the last axes over the root of its mean square
/// plus `eps`, times `weight`. The same in training and evaluation.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::nn::RMSNorm;
/// let net = Sequential::new().add(Linear::new(16)).add(RMSNorm::new()).add(Silu).add(Linear::new(1));
/// net.compile(Compile::new(Adam::default(), Mse::new()).input([8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "RmsNorm")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct RMSNorm {
    /// How many of the last axes are normalised together; 1.
    pub axes: usize,
    /// Added to the mean square; 2^-23, PyTorch's default for f32.
    pub eps: f64,
    /// Whether there is a `weight` (1 at first); there is.
    pub elementwise_affine: bool,
}

impl Default for RMSNorm {
    fn default() -> Self {
        Self::new()
    }
}

impl RMSNorm {
    /// Over the last axis, with PyTorch's defaults.
    pub fn new() -> Self {
        RMSNorm { axes: 1, eps: f64::from(f32::EPSILON), elementwise_affine: true }
    }
}

row_setters!(RMSNorm, "Added to the mean square.", "With or without a `weight`.");

impl LayerKind for RMSNorm {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let axes = match last_axes(s, "RMSNorm", x, self.axes, self.eps) {
            Ok(axes) => axes,
            Err(v) => return v,
        };
        let weight = self.elementwise_affine.then(|| s.param("weight", &x.shape().dims()[axes[0]..], Init::Ones));
        affine(&(x * (1.0 / (x.square().mean_keep(&axes) + self.eps).sqrt())), weight.as_ref(), None)
    }
}

/// Group normalisation (Wu & He 2018; PyTorch's `GroupNorm`): the channels of `[batch, channels, ..]` in groups of neighbours, each group of
/// each row less its mean, over the root of its (biased) variance plus `eps`; then each channel times `weight`, plus `bias`. The same
/// in training and evaluation.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::nn::GroupNorm;
/// let net = Sequential::new().add(Linear::new(16)).add(GroupNorm::new(4)).add(Relu).add(Linear::new(1));
/// net.compile(Compile::new(Adam::default(), Mse::new()).input([8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "GroupNormalization")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct GroupNorm {
    /// Groups that the channels are cut into; must divide their number.
    pub num_groups: usize,
    /// Added to the variance; 1e-5.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Whether there are `weight` (1 at first) and `bias` (0), `[channels]`; there are.
    #[serde(default = "yes")]
    pub affine: bool,
}

fn eps() -> f64 {
    1e-5
}

impl GroupNorm {
    /// With this many groups, and PyTorch's defaults.
    pub fn new(num_groups: usize) -> Self {
        GroupNorm { num_groups, eps: 1e-5, affine: true }
    }

    /// Added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// With or without `weight` and `bias`.
    pub fn affine(mut self, affine: bool) -> Self {
        self.affine = affine;
        self
    }
}

impl LayerKind for GroupNorm {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let shape = x.shape();
        if x.value().is_none() {
            return x.clone();
        }
        if shape.rank() < 2 {
            return refuse(s, "GroupNorm", format!("the input is {shape}"), "give [batch, channels, ..]");
        }
        if !good_eps(self.eps) {
            return refuse_setting(s, "GroupNorm", "eps", self.eps, EPS);
        }
        let (rows, channels, groups) = (shape[0], shape[1], self.num_groups);
        if groups == 0 || channels % groups != 0 {
            let problem = format!("{channels} channels cannot be cut into {groups} groups of equal size");
            return refuse_setting(s, "GroupNorm", "num_groups", problem, "give a divisor of the number of channels");
        }
        let flat = x.reshape([rows, groups, shape.size() / (rows * groups)]);
        let y = normalised(&flat, &[2], self.eps).reshape(shape.clone());
        let mut own = vec![1; shape.rank() - 1];
        own[0] = channels;
        let of = |name: &str, init| s.param(name, [channels], init).reshape(own.clone());
        let weight = self.affine.then(|| (of("weight", Init::Ones), of("bias", Init::Zeros)));
        affine(&y, weight.as_ref().map(|w| &w.0), weight.as_ref().map(|w| &w.1))
    }
}
