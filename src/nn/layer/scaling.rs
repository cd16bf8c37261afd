//! Layers that bring inputs to one scale.

use super::kind::LayerKind;
use super::refuse::{refuse, refuse_setting};
use crate::graph::Var;
use crate::nn::{Numbers, Scope};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Each feature less its mean, over its standard deviation (Keras' `Normalization`): `(x - mean) / max(sqrt(variance), 1e-7)` along the last
/// axis. The statistics are not trained; they are buffers `mean` and `variance` `[features]`, saved and loaded with the model, so that a model
/// takes raw values wherever it goes.
///
/// ```
/// use gradus::nn::Normalization;
/// use gradus::prelude::*;
/// use gradus::tensor::HostTensor;
/// let x = HostTensor::f32([4, 2], vec![1.0, 500.0, 2.0, 600.0, 3.0, 700.0, 4.0, 800.0])?;
/// let train = Dataset::new(x, HostTensor::f32([4, 1], vec![1.0, 2.0, 3.0, 4.0])?)?;
/// let net = Sequential::new().add(Normalization::adapt(&train)?).add(Linear::new(1));
/// let mut model = net.compile(Compile::new(Adam::default(), Mse::new()).input([2]).device(Device::cpu()))?;
/// assert_eq!(model.buffer("0.mean")?.as_f32(), Some(&[2.5, 650.0][..]));
/// assert_eq!(model.buffer("0.variance")?.as_f32(), Some(&[1.25, 12500.0][..]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Normalization {
    /// The mean of each feature; one number for all of them, or one for each.
    pub mean: Vec<f64>,
    /// The variance of each feature; one number for all of them, or one for each.
    pub variance: Vec<f64>,
}

impl Normalization {
    /// With statistics that [`Normalization::mean`] and [`Normalization::variance`] give; both are needed. [`Normalization::adapt`] takes a data set's.
    pub fn new() -> Self {
        Self::default()
    }

    /// The mean of each feature, or one for all.
    pub fn mean(mut self, mean: impl Into<Numbers>) -> Self {
        self.mean = mean.into().0;
        self
    }

    /// The variance of each feature, or one for all.
    pub fn variance(mut self, variance: impl Into<Numbers>) -> Self {
        self.variance = variance.into().0;
        self
    }
}

/// One number for all, or one for each.
fn spread(values: &[f64], features: usize) -> Option<Arc<[f32]>> {
    match values {
        [one] => Some(vec![*one as f32; features].into()),
        _ => (values.len() == features).then(|| values.iter().map(|v| *v as f32).collect()),
    }
}

impl LayerKind for Normalization {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        const OP: &str = "Normalization";
        if x.value().is_none() {
            return x.clone();
        }
        if x.shape().rank() < 2 {
            return refuse(s, OP, format!("the input is {}", x.shape()), "give [batch, .., features]");
        }
        let features = x.shape().last();
        let sound = |v: &[f64], least: f64| v.iter().all(|v| (*v as f32).is_finite() && *v >= least);
        for (key, values, least) in [("mean", &self.mean, f64::NEG_INFINITY), ("variance", &self.variance, 0.0)] {
            if !sound(values, least) {
                return refuse_setting(s, OP, key, "statistics that f32 does not hold", "give finite means, and variances of 0 or above");
            }
        }
        let (Some(mean), Some(variance)) = (spread(&self.mean, features), spread(&self.variance, features)) else {
            let problem = format!("{} means and {} variances for {features} features", self.mean.len(), self.variance.len());
            return refuse_setting(
                s,
                OP,
                "mean",
                problem,
                "use `Normalization::adapt(&data)`, or give one mean and variance for each feature",
            );
        };
        let (mean, variance) = (s.buffer_of("mean", mean), s.buffer_of("variance", variance));
        (x - mean) / variance.sqrt().maximum(1e-7)
    }
}

/// `x * scale + offset` (Keras' `Rescaling`): as part of a model, where `Dataset::scale` and `Dataset::shift` are part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Rescaling {
    /// Multiplies every value.
    pub scale: f64,
    /// Added after that; 0.
    #[serde(default)]
    pub offset: f64,
}

impl Rescaling {
    /// By this factor.
    pub fn new(scale: f64) -> Self {
        Rescaling { scale, offset: 0.0 }
    }
    /// Added after scaling.
    pub fn offset(mut self, offset: f64) -> Self {
        self.offset = offset;
        self
    }
}

impl LayerKind for Rescaling {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        for (key, v) in [("scale", self.scale), ("offset", self.offset)] {
            if !(v as f32).is_finite() {
                return refuse_setting(s, "Rescaling", key, v, "give a finite number");
            }
        }
        x * self.scale + self.offset
    }
}
