//! How large a network's layers' values and gradients are, taken on the device while it trains.

use crate::error::Faults;
use crate::model::probe::{COLUMNS, Probed};
use serde::{Deserialize, Serialize};

/// Looks into the layers every so many steps: [`Fit::diagnostics`](crate::train::Fit::diagnostics).
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::Diagnostics;
/// let (train, _) = data::synthetic_digits(0, 64, 8)?;
/// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(10));
/// let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).device(Device::cpu());
/// let mut model = net.compile(settings)?;
/// let fit = Fit::new().epochs(3).verbose(0).diagnostics(Diagnostics::per_layer(2));
/// let history = model.fit(&train.flatten(), fit)?;
/// let first = &history.diagnostics()[0];
/// assert_eq!((first.step, first.layers[1].layer.as_str()), (1, "1"));
/// assert!(first.layers[1].activation.mean > 0.0); // after ReLU
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Diagnostics {
    /// Steps from one look to the next.
    pub every: usize,
}

impl Diagnostics {
    /// Mean, deviation and norm of each layer's outputs and of the loss' gradient for them, at the first step and every `every` steps after
    /// it. A step that is looked at runs a program of its own with some launches more; the others are as without. A look that falls
    /// on the ragged last batch of an epoch is left out.
    pub fn per_layer(every: usize) -> Self {
        Diagnostics { every }
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        f.check(self.every > 0, "fit.diagnostics.every", self.every, "give at least 1");
    }
}

/// What the elements of a tensor are like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TensorStats {
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation, of all elements (n, not n - 1).
    pub std: f64,
    /// The L2 norm.
    pub norm: f64,
}

/// A layer at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerStats {
    /// Its full name.
    pub layer: String,
    /// What it gave for the batch.
    pub activation: TensorStats,
    /// The gradient of the batch's loss for that; none where the loss does not depend on it.
    pub gradient: Option<TensorStats>,
}

/// All layers at one step, in the order of [`Model::summary`](crate::train::Model::summary).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerReport {
    /// The step, counted from 1 since the weights were drawn.
    pub step: u64,
    /// The layers.
    pub layers: Vec<LayerStats>,
}

/// What a line's columns say of the layers.
pub(crate) fn read(probed: &[Probed], columns: &[f32], step: u64) -> LayerReport {
    let stats = |c: &[f32], size: usize| {
        let (mean, variance) = (f64::from(c[0]), f64::from(c[1]));
        TensorStats { mean, std: variance.sqrt(), norm: (size as f64 * (variance + mean * mean)).sqrt() }
    };
    let layer = |(p, c): (&Probed, &[f32])| LayerStats {
        layer: p.layer.clone(),
        activation: stats(&c[..2], p.size),
        gradient: p.gradient.then(|| stats(&c[2..], p.size)),
    };
    LayerReport { step, layers: probed.iter().zip(columns.chunks_exact(COLUMNS)).map(layer).collect() }
}
