//! Layers that disturb their input in training: dropout and noise.

use super::kind::LayerKind;
use super::refuse::{refuse, refuse_setting};
use crate::expr::Expr;
use crate::graph::Var;
use crate::nn::Scope;
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// In training, each value is 0 with the probability `p` and `1 / (1 - p)` times itself otherwise (Srivastava et al. 2014; PyTorch's
/// `Dropout`); in evaluation and inference it is as it came. Which values go is drawn anew in every step, keyed by the seed, the layer's
/// path and the batch; backward draws the same again, and nothing is stored.
///
/// ```
/// use gradus::prelude::*;
/// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Dropout::new(0.5)).add(Linear::new(1));
/// net.compile(Compile::new(Adam::default(), Mse::new()).input([8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Dropout {
    /// How likely a value is to become 0: from 0 to 1.
    pub p: f64,
}

impl Dropout {
    /// With this probability; PyTorch's default is 0.5.
    pub fn new(p: f64) -> Self {
        Dropout { p }
    }
}

impl LayerKind for Dropout {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        dropped(s, x, "Dropout", self.p, x.shape())
    }
}

/// In training, whole channels are 0 with the probability `p` and `1 / (1 - p)` times themselves otherwise (Tompson et al. 2015, "spatial dropout"; PyTorch's
/// `Dropout2d`): the first two axes of `[N, C, ..]` are drawn for, and what lies behind them goes together, for neighbours in an image tell much of each
/// other. In evaluation and inference all is as it came. Drawn as [`Dropout`]'s mask is.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::nn::Dropout2d;
/// let net = Sequential::new().add(Dropout2d::new(0.2)).add(Flatten).add(Linear::new(1));
/// net.compile(Compile::new(Adam::default(), Mse::new()).input([3, 8, 8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "SpatialDropout2D")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Dropout2d {
    /// How likely a channel is to become 0: from 0 to 1.
    pub p: f64,
}

impl Dropout2d {
    /// With this probability; PyTorch's default is 0.5.
    pub fn new(p: f64) -> Self {
        Dropout2d { p }
    }
}

impl LayerKind for Dropout2d {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        if x.value().is_none() {
            return x.clone();
        }
        let shape = x.shape();
        if shape.rank() < 3 {
            return refuse(s, "Dropout2d", format!("the input is {shape}"), "give [N, C, ..] of three axes or more");
        }
        let channels: Vec<usize> = shape.dims().iter().enumerate().map(|(axis, &n)| if axis < 2 { n } else { 1 }).collect();
        dropped(s, x, "Dropout2d", self.p, channels.into())
    }
}

/// Dropout by a mask of this shape.
fn dropped(s: &Scope, x: &Var, layer: &str, p: f64, mask: Shape) -> Var {
    if !(0.0..=1.0).contains(&p) {
        return refuse_setting(s, layer, "p", p, "give a probability from 0 to 1");
    }
    if !s.training() || p == 0.0 || x.value().is_none() {
        return x.clone();
    }
    let keep = 1.0 - p;
    if keep == 0.0 {
        return x * 0.0;
    }
    // one formula over both, which rides on whatever makes `x`
    x.map(Expr::of(2, |v| vec![&v[0] * (&v[1] * (1.0 / keep))]), &[&s.bernoulli(keep, mask)])
}

/// In training, normal noise of mean 0 and this standard deviation is added to each value (Keras' `GaussianNoise`); in evaluation and
/// inference nothing. It is drawn as [`Dropout`]'s mask is.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::nn::GaussianNoise;
/// let net = Sequential::new().add(GaussianNoise::new(0.1)).add(Linear::new(1));
/// net.compile(Compile::new(Adam::default(), Mse::new()).input([8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct GaussianNoise {
    /// The noise's standard deviation: 0 or above.
    pub stddev: f64,
}

impl GaussianNoise {
    /// With this standard deviation.
    pub fn new(stddev: f64) -> Self {
        GaussianNoise { stddev }
    }
}

impl LayerKind for GaussianNoise {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        if !(self.stddev.is_finite() && self.stddev >= 0.0) {
            return refuse_setting(s, "GaussianNoise", "stddev", self.stddev, "give a standard deviation of 0 or above");
        }
        if !s.training() || self.stddev == 0.0 || x.value().is_none() {
            return x.clone();
        }
        x.map(Expr::of(2, |v| vec![&v[0] + &v[1] * self.stddev]), &[&s.normal(x.shape())])
    }
}
