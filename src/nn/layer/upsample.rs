//! Images in another size.

use super::kind::LayerKind;
use super::refuse::refuse_setting;
use crate::graph::{Interpolation, Pair, Var};
use crate::nn::Scope;
use serde::{Deserialize, Serialize};

/// Images `[N, C, H, W]` so many times as large, or in a given size: PyTorch's `Upsample`, whose `scale_factor` is a whole number here. See [`Var::interpolate`].
///
/// ```
/// use gradus::nn::Upsample;
/// use gradus::prelude::*;
/// let net = Sequential::new().add(Upsample::nearest(2)).add(Upsample::bilinear_to([20, 30])).add(Flatten).add(Linear::new(10));
/// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 8, 8]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "UpSampling2D")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Upsample {
    /// How many times as large along height and width; or `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_factor: Option<Pair>,
    /// Height and width of the results; or `scale_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Pair>,
    /// How; the nearest value by default.
    #[serde(default = "nearest")]
    pub mode: Interpolation,
    /// Whether, between neighbours, the first and last values stay the first and last.
    #[serde(default, skip_serializing_if = "is_no")]
    pub align_corners: bool,
}

fn nearest() -> Interpolation {
    Interpolation::Nearest
}

fn is_no(b: &bool) -> bool {
    !*b
}

impl Upsample {
    fn new(mode: Interpolation, scale_factor: Option<Pair>, size: Option<Pair>) -> Self {
        Upsample { scale_factor, size, mode, align_corners: false }
    }

    /// So many times as large, each value repeated.
    pub fn nearest(scale_factor: impl Into<Pair>) -> Self {
        Self::new(Interpolation::Nearest, Some(scale_factor.into()), None)
    }

    /// So many times as large, linearly between neighbours.
    pub fn bilinear(scale_factor: impl Into<Pair>) -> Self {
        Self::new(Interpolation::Bilinear, Some(scale_factor.into()), None)
    }

    /// To this height and width, each the nearest value.
    pub fn nearest_to(size: impl Into<Pair>) -> Self {
        Self::new(Interpolation::Nearest, None, Some(size.into()))
    }

    /// To this height and width, linearly between neighbours.
    pub fn bilinear_to(size: impl Into<Pair>) -> Self {
        Self::new(Interpolation::Bilinear, None, Some(size.into()))
    }

    /// Whether, between neighbours, the first and last values stay the first and last: PyTorch's `align_corners`, false by default.
    pub fn align_corners(mut self, align_corners: bool) -> Self {
        self.align_corners = align_corners;
        self
    }
}

impl LayerKind for Upsample {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let shape = x.shape();
        let size = match (self.scale_factor, self.size) {
            (None, Some(size)) => size,
            // what has no height is refused there
            (Some(_), None) if shape.rank() != 4 => 1.into(),
            (Some(Pair([down, across])), None) => [shape[2].saturating_mul(down), shape[3].saturating_mul(across)].into(),
            (given, _) => {
                let problem = if given.is_some() { "beside `size`" } else { "missing, as is `size`" };
                return refuse_setting(s, "Upsample", "scale_factor", problem, "give one of the two");
            }
        };
        x.interpolate(size, self.mode, self.align_corners)
    }
}
