//! Normalisation over the rows of a batch.

use super::kind::LayerKind;
use super::norm::affine;
use super::refuse::{refuse, refuse_setting};
use crate::graph::Var;
use crate::nn::{Init, Scope};
use serde::{Deserialize, Serialize};

/// The types, which differ in name, documentation and the inputs that they take.
macro_rules! batch_norms {
    ($($(#[$about:meta])* $Name:ident, $ranks:pat, $takes:literal;)*) => {$(
        $(#[$about])*
        #[doc(alias = "BatchNormalization")]
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $Name {
            /// Added to the variance; 1e-5.
            pub eps: f64,
            /// The new batch's part of a running average; 0.1. `None`: the plain average over all batches.
            pub momentum: Option<f64>,
            /// Whether there are `weight` (1 at first) and `bias` (0); there are.
            pub affine: bool,
            /// Whether running averages are kept; without them `evaluate` and `predict` use each batch's own. They are.
            pub track_running_stats: bool,
        }

        impl Default for $Name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl $Name {
            /// PyTorch's defaults: eps 1e-5, momentum 0.1, weight and bias, running averages.
            pub fn new() -> Self {
                $Name { eps: 1e-5, momentum: Some(0.1), affine: true, track_running_stats: true }
            }

            /// Added to the variance.
            pub fn eps(mut self, eps: f64) -> Self {
                self.eps = eps;
                self
            }

            /// The new batch's part of a running average (Keras' `momentum` is 1 less this); `None` for the plain average over all batches.
            pub fn momentum(mut self, momentum: impl Into<Option<f64>>) -> Self {
                self.momentum = momentum.into();
                self
            }

            /// With or without `weight` and `bias`.
            pub fn affine(mut self, affine: bool) -> Self {
                self.affine = affine;
                self
            }

            /// With or without running averages.
            pub fn track_running_stats(mut self, track: bool) -> Self {
                self.track_running_stats = track;
                self
            }
        }

        impl LayerKind for $Name {
            fn forward(&self, s: &Scope, x: &Var) -> Var {
                if x.value().is_none() {
                    return x.clone();
                }
                if !matches!(x.shape().rank(), $ranks) {
                    return refuse(s, stringify!($Name), format!("the input is {}", x.shape()), $takes);
                }
                let $Name { eps, momentum, affine, track_running_stats } = *self;
                BatchNorm { name: stringify!($Name), eps, momentum, affine, track_running_stats }.forward(s, x)
            }
        }
    )*};
}

batch_norms! {
    /// Batch normalisation (Ioffe & Szegedy 2015; PyTorch's `BatchNorm1d`): each channel of `[batch, channels]` or `[batch, channels, length]`
    /// less its mean over the batch (and the length), over the root of its variance plus `eps`, times `weight`, plus `bias`.
    ///
    /// In training these are the batch's own mean and (biased) variance, and running averages of mean and unbiased variance move towards them:
    /// the buffers `running_mean`, `running_var` `[channels]` and the count `num_batches_tracked`, PyTorch's names in files. `evaluate` and
    /// `predict` normalise with the running ones. A smaller last batch counts as one batch, as in PyTorch. They move at every batch that
    /// training sees, and not in a step whose loss is not finite.
    ///
    /// **One row.** A training batch with one value per channel has no variance: it is an `Err` (`invalid-config`) of `prepare` and `fit`, before
    /// the first step, also where only the last batch of an epoch would have one row. Choose another batch size, or leave a row out
    /// (`data.take(n)`). PyTorch fails at that batch.
    ///
    /// **Frozen.** Where a frozen [`Group`](crate::optim::Group) covers the layer (its `running_mean`, as `"trunk.*"` does, or all of its
    /// parameters), its statistics stand still, and training normalises with them, as `evaluate` does: Keras' `trainable = False`, PyTorch's
    /// `requires_grad = False` with `eval()`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([64, 8], (0..512).map(|i| (i % 13) as f32).collect())?, HostTensor::f32([64, 1], vec![1.0; 64])?)?;
    /// let net = Sequential::new().add(Linear::new(16).bias(false)).add(BatchNorm1d::new()).add(Relu).add(Linear::new(1));
    /// let mut model = net.compile(Compile::new(Adam::default(), Mse::new()).input([8]).device(Device::cpu()))?;
    /// model.fit(&data, Fit::new().batch_size(32).verbose(0))?;
    /// assert_eq!(model.buffer("1.num_batches_tracked")?.as_f32(), Some(&[2.0][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    BatchNorm1d, 2 | 3, "give [batch, channels] or [batch, channels, length]";
    /// Batch normalisation of images (Ioffe & Szegedy 2015; PyTorch's `BatchNorm2d`): each channel of `[batch, channels, height, width]` less its mean over batch, height
    /// and width, over the root of its variance plus `eps`, times `weight`, plus `bias`. In all else it is [`BatchNorm1d`].
    ///
    /// ```
    /// use gradus::nn::{BatchNorm2d, Conv2d};
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(Conv2d::new(8, 3).padding(1).bias(false)).add(BatchNorm2d::new()).add(Relu).add(Flatten).add(Linear::new(10));
    /// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 8, 8]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    BatchNorm2d, 4, "give [batch, channels, height, width]";
}

/// The buffers of a layer: running mean, running variance, and the count of batches.
struct Running {
    mean: Var,
    var: Var,
    count: Var,
}

/// One of the layers, whose input has the axes that it takes.
struct BatchNorm {
    name: &'static str,
    eps: f64,
    momentum: Option<f64>,
    affine: bool,
    track_running_stats: bool,
}

impl BatchNorm {
    fn is_frozen(&self, s: &Scope) -> bool {
        s.frozen("running_mean") || (self.affine && s.frozen("weight") && s.frozen("bias"))
    }

    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let shape = x.shape();
        let part = self.momentum.unwrap_or(0.0);
        for (good, key, value) in
            [(self.eps.is_finite() && self.eps >= 0.0, "eps", self.eps), ((0.0..=1.0).contains(&part), "momentum", part)]
        {
            if !good {
                return refuse_setting(s, self.name, key, value, "give an eps of 0 or above, and a momentum from 0 to 1");
            }
        }
        let channels = shape[1];
        let weight = self.affine.then(|| (s.param("weight", [channels], Init::Ones), s.param("bias", [channels], Init::Zeros)));
        let running = self.track_running_stats.then(|| Running {
            mean: s.buffer("running_mean", [channels], Init::Zeros),
            var: s.buffer("running_var", [channels], Init::Ones),
            count: s.counter("num_batches_tracked"),
        });
        // a statistic [channels] in a shape that broadcasts over the input
        let across = |v: &Var| match shape.rank() {
            2 => v.clone(),
            rank => v.reshape([vec![channels], vec![1; rank - 2]].concat()),
        };
        let use_running = !s.training() || self.is_frozen(s);
        let (mean, var) = match &running {
            Some(r) if use_running => (across(&r.mean), across(&r.var)),
            _ => {
                let n = shape.size() / channels.max(1);
                if n == 1 {
                    let problem =
                        format!("a batch {shape} has one value per channel, and no variance, in {}", crate::error::layer(s.path()));
                    let help = "choose a batch size that leaves no (last) batch of one row, or leave rows out by `data.take(n)`";
                    return refuse_setting(s, self.name, "batch_size", problem, help);
                }
                let (mean, var) = if shape.rank() == 4 {
                    // channels last, as images lie: one sum over neighbouring axes
                    let last = x.permute(&[0, 2, 3, 1]);
                    let (mean, var) = (last.mean_from_first(&[0, 1, 2]), last.variance_keep(&[0, 1, 2]));
                    (mean.reshape([channels, 1, 1]), var.reshape([channels, 1, 1]))
                } else {
                    let axes: Vec<usize> = (0..shape.rank()).filter(|&axis| axis != 1).collect();
                    (x.mean_from_first(&axes), x.variance_keep(&axes))
                };
                if let Some(r) = running.as_ref().filter(|_| s.training()) {
                    self.track(s, r, &mean.reshape([channels]), &var.reshape([channels]), n);
                }
                (mean, var)
            }
        };
        // one factor for each channel: forward multiplies once, and backward's sums are of the results' gradient itself
        let (root, weight) = ((var + self.eps).sqrt(), weight.map(|(w, b)| (across(&w), across(&b))));
        let factor = weight.as_ref().map_or_else(|| 1.0 / &root, |(w, _)| w / &root);
        affine(&(x - mean), Some(&factor), weight.as_ref().map(|w| &w.1))
    }

    /// Moves the running averages towards a batch of `n` values per channel.
    fn track(&self, s: &Scope, r: &Running, mean: &Var, var: &Var, n: usize) {
        let count = &r.count + 1.0;
        let unbiased = n as f64 / (n as f64 - 1.0);
        match self.momentum {
            Some(m) => {
                s.update(&r.mean, &(&r.mean * (1.0 - m) + mean * m));
                s.update(&r.var, &(&r.var * (1.0 - m) + var * (m * unbiased)));
            }
            // as a difference from the old one a small variance would vanish beside the 1 that it begins with
            None => {
                let part = 1.0 / &count;
                let rest = 1.0 - &part;
                s.update(&r.mean, &(&r.mean * &rest + mean * &part));
                s.update(&r.var, &(&r.var * &rest + var * unbiased * &part));
            }
        }
        s.update(&r.count, &count);
    }
}
