//! How a pool's window moves, as users say it.

use super::sampling::{Sampling, SamplingRule};
use super::{Convolution, Padding, Pair, Window};
use serde::{Deserialize, Serialize};

/// How the window of a pool moves over images: what [`Var::max_pool2d`](super::Var::max_pool2d) and [`Var::avg_pool2d`](super::Var::avg_pool2d) are told. PyTorch's defaults:
/// windows side by side (the stride is the kernel), no padding, dilation 1, no window that reaches beyond the padded image, and means that count padding.
///
/// ```
/// use gradus::graph::{Builder, Pooling};
/// let b = Builder::new();
/// let x = b.parameter("x", [2, 3, 9, 9].into());
/// assert_eq!(x.max_pool2d(2).shape(), [2, 3, 4, 4].into());
/// assert_eq!(x.max_pool2d(Pooling::new(3).stride(2).padding(1)).shape(), [2, 3, 5, 5].into());
/// assert_eq!(x.avg_pool2d(Pooling::new(2).ceil_mode(true)).shape(), [2, 3, 5, 5].into());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use]
pub struct Pooling {
    /// Places of the window.
    pub kernel: Pair,
    /// From one window to the next; the kernel's size where it is `None`.
    pub stride: Option<Pair>,
    /// What stands around the images, at most half a window.
    pub padding: Padding,
    /// From one place of the window to the next, of largest values alone.
    pub dilation: Pair,
    /// Whether a last window may reach beyond the padded image.
    pub ceil_mode: bool,
    /// Whether a mean counts the padding.
    pub count_include_pad: bool,
}

impl<T: Into<Pair>> From<T> for Pooling {
    fn from(kernel: T) -> Self {
        Pooling::new(kernel)
    }
}

impl Pooling {
    /// With this window and PyTorch's defaults.
    pub fn new(kernel: impl Into<Pair>) -> Self {
        let (padding, dilation) = (Padding::default(), 1.into());
        Pooling { kernel: kernel.into(), stride: None, padding, dilation, ceil_mode: false, count_include_pad: true }
    }

    /// From one window to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = Some(stride.into());
        self
    }

    /// What stands around the images.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// From one place of the window to the next, of largest values alone.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Whether a last window may reach beyond the padded image.
    pub fn ceil_mode(mut self, ceil_mode: bool) -> Self {
        self.ceil_mode = ceil_mode;
        self
    }

    /// Whether a mean counts the padding.
    pub fn count_include_pad(mut self, count_include_pad: bool) -> Self {
        self.count_include_pad = count_include_pad;
        self
    }

    /// The window over images of this size; why there is none, where it does not fit.
    pub fn window(&self, image: [usize; 2]) -> Result<Window, String> {
        let stride = self.stride.unwrap_or(self.kernel);
        let how = Convolution { stride, padding: self.padding, dilation: self.dilation, groups: 1 };
        let mut w = how.window(image, self.kernel.0)?;
        for (axis, places) in image.into_iter().enumerate() {
            let [before, behind] = self.padding_of(&w, axis);
            if before.max(behind) > w.reach(axis) / 2 {
                return Err(format!(
                    "a padding of {} is more than half of the window, which reaches over {}",
                    before.max(behind),
                    w.reach(axis)
                ));
            }
            let rest = (places + before + behind - w.reach(axis)) % w.stride[axis];
            // a further window, unless it would begin in the padding behind
            if self.ceil_mode && rest > 0 && w.positions[axis] * w.stride[axis] < places + before {
                w.positions[axis] += 1;
            }
        }
        Ok(w)
    }

    fn padding_of(&self, w: &Window, axis: usize) -> [usize; 2] {
        self.padding.sides(axis, w.image[axis], w.reach(axis), w.stride[axis])
    }

    /// The means over images of this size; why there are none, where the window does not fit.
    pub(crate) fn means(&self, image: [usize; 2]) -> Result<[Sampling; 2], String> {
        let w = Pooling { dilation: 1.into(), ..*self }.window(image)?;
        Ok([0, 1].map(|axis| {
            let padding = self.padding_of(&w, axis);
            let rule = SamplingRule::Mean { kernel: w.kernel[axis], stride: w.stride[axis], padding, counted: self.count_include_pad };
            Sampling::new(image[axis], w.positions[axis], rule)
        }))
    }
}

/// How images get another size: [`Var::interpolate`](super::Var::interpolate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Interpolation {
    /// Each value is the nearest one's.
    Nearest,
    /// Each value lies between its neighbours', linearly along both axes.
    Bilinear,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions as PyTorch's `pooling_output_shape` has them.
    #[test]
    fn positions() {
        let positions = |p: Pooling, image: usize| p.window([image; 2]).map(|w| w.positions[0]);
        assert_eq!(positions(2.into(), 9), Ok(4));
        assert_eq!(positions(Pooling::new(2).ceil_mode(true), 9), Ok(5));
        assert_eq!(positions(Pooling::new(3).stride(2).padding(1), 112), Ok(56));
        assert_eq!(positions(Pooling::new(2).stride(3).padding(1).ceil_mode(true), 5), Ok(2));
        // the window that would begin in the padding is left out
        assert_eq!(positions(Pooling::new(2).stride(2).padding(1).ceil_mode(true), 3), Ok(2));
        assert_eq!(positions(Pooling::new(3).dilation(2).stride(1), 7), Ok(3));
        for bad in [
            positions(0.into(), 4),
            positions(5.into(), 4),
            positions(Pooling::new(2).padding(2), 4),
            positions(Pooling::new(2).stride(0), 4),
        ] {
            assert!(bad.is_err());
        }
    }

    /// What a mean's weights come to, of windows that reach beyond.
    #[test]
    fn weights() {
        let sums = |p: Pooling, image: usize| -> Vec<f64> {
            p.means([image, 1]).unwrap()[0].lists().iter().map(|l| (l.iter().map(|(_, w)| w).sum::<f64>() * 12.0).round()).collect()
        };
        let p = Pooling::new([3, 1]).stride([2, 1]).padding([1, 0]);
        assert_eq!(sums(p, 4), [8.0, 12.0]);
        assert_eq!(sums(p.ceil_mode(true), 4), [8.0, 12.0, 6.0]);
        assert_eq!(sums(p.ceil_mode(true).count_include_pad(false), 4), [12.0; 3]);
    }
}
