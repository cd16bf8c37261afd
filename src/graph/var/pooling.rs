//! Pools and changes of size of images `[N, C, H, W]`, as PyTorch's users know them.

use crate::error::{Error, place};
use crate::graph::layout::{FIRST, LAST};
use crate::graph::op::{MaxPool, PoolPart, Resample};
use crate::graph::{Interpolation, Padding, Pair, Pooling, Sampling, SamplingRule, Var};
use std::panic::Location;

impl Var {
    /// The largest value of each window over images `[N, C, H, W]`: `[N, C, OH, OW]`, PyTorch's `F.max_pool2d`, with
    /// `OH = (H + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1`, rounded down (up in `ceil_mode`). NaN if one is. The gradient goes to the largest, of
    /// equal ones to the first in row order.
    ///
    /// ```
    /// use gradus::graph::{Builder, Pooling};
    /// let b = Builder::new();
    /// let x = b.parameter("x", [2, 3, 8, 8].into());
    /// assert_eq!(x.max_pool2d(2).shape(), [2, 3, 4, 4].into());
    /// assert_eq!(x.max_pool2d(Pooling::new(3).stride(2).padding(1)).shape(), [2, 3, 4, 4].into());
    /// ```
    #[doc(alias = "MaxPooling2D")]
    #[track_caller]
    pub fn max_pool2d(&self, how: impl Into<Pooling>) -> Var {
        let Some(image) = self.image("max_pool2d") else { return self.builder().poisoned() };
        let how = how.into();
        if let Some(before) = self.relu_input() {
            // the same values and the same gradients, with fewer elements to cut off
            return before.max_pool2d(how).relu();
        }
        match how.window(image) {
            Ok(window) => self.permute(&LAST).op(MaxPool { window, part: PoolPart::Largest }, &[]).permute(&FIRST),
            Err(problem) => self.no_pool("max_pool2d", problem),
        }
    }

    /// The mean of each window over images `[N, C, H, W]`: `[N, C, OH, OW]`, PyTorch's `F.avg_pool2d`. Zeros of the padding count unless
    /// [`Pooling::count_include_pad`] is false; what lies beyond the padded image, in `ceil_mode`, never does. There is no dilation.
    #[doc(alias = "AveragePooling2D")]
    #[track_caller]
    pub fn avg_pool2d(&self, how: impl Into<Pooling>) -> Var {
        let Some(image) = self.image("avg_pool2d") else { return self.builder().poisoned() };
        let how: Pooling = how.into();
        match how.means(image) {
            _ if how.dilation != 1.into() => self.no_pool("avg_pool2d", format!("a dilation of {}: means have none", how.dilation)),
            Ok(means) => self.resampled(means),
            Err(problem) => self.no_pool("avg_pool2d", problem),
        }
    }

    /// Images `[N, C, H, W]` of any size as means of `size` bins: `[N, C, size]`, PyTorch's `F.adaptive_avg_pool2d`. Bin `i` reaches from `floor(i * H / OH)` to
    /// `ceil((i + 1) * H / OH)`; where `OH` divides `H` this is [`Var::avg_pool2d`].
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, size: impl Into<Pair>) -> Var {
        let size = size.into().0;
        match self.image("adaptive_avg_pool2d") {
            Some(_) if size == [1, 1] => self.mean_keep(&[2, 3]),
            Some(image) => self.of_size(image, size, SamplingRule::Bins),
            None => self.builder().poisoned(),
        }
    }

    /// The mean of each channel of images `[N, C, H, W]`: `[N, C]`, Keras' `GlobalAveragePooling2D`.
    #[doc(alias = "GlobalAveragePooling2D")]
    #[track_caller]
    pub fn global_avg_pool2d(&self) -> Var {
        let image = self.image("global_avg_pool2d");
        if image.is_some() { self.mean_axes(&[2, 3]) } else { self.builder().poisoned() }
    }

    /// Images `[N, C, H, W]` in another size: `[N, C, size]`, PyTorch's `F.interpolate`. [`Interpolation::Nearest`] takes the place `floor(i * H / OH)`;
    /// [`Interpolation::Bilinear`] goes between the two rows and columns next to `(i + 1/2) * H / OH - 1/2`, or with `align_corners` next to
    /// `i * (H - 1) / (OH - 1)`. The gradient is a sum over the few places that saw a place.
    ///
    /// ```
    /// use gradus::graph::{Builder, Interpolation};
    /// let b = Builder::new();
    /// let x = b.parameter("x", [2, 3, 8, 8].into());
    /// assert_eq!(x.interpolate([16, 12], Interpolation::Bilinear, false).shape(), [2, 3, 16, 12].into());
    /// ```
    #[doc(alias = "upsample")]
    #[doc(alias = "UpSampling2D")]
    #[track_caller]
    pub fn interpolate(&self, size: impl Into<Pair>, mode: Interpolation, align_corners: bool) -> Var {
        let Some(image) = self.image("interpolate") else { return self.builder().poisoned() };
        let rule = match mode {
            Interpolation::Nearest if align_corners => {
                return self.no_pool("interpolate", "the nearest places have no `align_corners`".into());
            }
            Interpolation::Nearest => SamplingRule::Nearest,
            Interpolation::Bilinear => SamplingRule::Linear { corners: align_corners },
        };
        self.of_size(image, size.into().0, rule)
    }

    /// As [`Var::max_pool2d`] along one axis: `[N, C, L]` to `[N, C, OL]`. Of `how` the second number of each pair counts.
    #[track_caller]
    pub fn max_pool1d(&self, how: impl Into<Pooling>) -> Var {
        self.along("max_pool1d", how.into(), |x, how| x.max_pool2d(how))
    }

    /// As [`Var::avg_pool2d`] along one axis: `[N, C, L]` to `[N, C, OL]`. Of `how` the second number of each pair counts.
    #[track_caller]
    pub fn avg_pool1d(&self, how: impl Into<Pooling>) -> Var {
        self.along("avg_pool1d", how.into(), |x, how| x.avg_pool2d(how))
    }

    #[track_caller]
    fn along(&self, op: &str, how: Pooling, pool: impl Fn(&Var, Pooling) -> Var) -> Var {
        if self.value().is_none() {
            return self.builder().poisoned();
        }
        if self.shape().rank() != 3 {
            return self.no_pool(op, "give [N, C, L]".into());
        }
        let flat = |pair: Pair, one: usize| Pair([one, pair.0[1]]);
        let padding = match how.padding {
            Padding::By(p) => Padding::By(flat(p, 0)),
            Padding::Sides([_, sides]) => [[0, 0], sides].into(),
            same => same,
        };
        let stride = Some(flat(how.stride.unwrap_or(how.kernel), 1));
        let y = pool(&self.unsqueeze(2), Pooling { kernel: flat(how.kernel, 1), stride, dilation: flat(how.dilation, 1), padding, ..how });
        if y.value().is_none() { y } else { y.squeeze(2) }
    }

    #[track_caller]
    fn of_size(&self, image: [usize; 2], size: [usize; 2], rule: SamplingRule) -> Var {
        if size == image {
            return self.clone();
        }
        self.resampled([0, 1].map(|axis| Sampling::new(image[axis], size[axis], rule)))
    }

    #[track_caller]
    fn resampled(&self, by: [Sampling; 2]) -> Var {
        self.permute(&LAST).op(Resample(by), &[]).permute(&FIRST)
    }

    /// Height and width of images.
    #[track_caller]
    fn image(&self, op: &str) -> Option<[usize; 2]> {
        self.value()?;
        let x = self.shape();
        if x.rank() != 4 {
            self.no_pool(op, "give images [N, C, H, W]".into());
            return None;
        }
        Some([x[2], x[3]])
    }

    #[track_caller]
    fn no_pool(&self, op: &str, problem: String) -> Var {
        let help =
            "kernel, stride and size are 1 or more, the padding at most half of the kernel, and the window fits into the padded image";
        let problem = format!("{}: {problem}", self.shape());
        self.builder().fail(Error::ShapeMismatch { op: op.into(), problem, at: place(Location::caller()), help: help.into() });
        self.builder().poisoned()
    }
}
