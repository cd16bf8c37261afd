//! Convolutions, as PyTorch's users know them: images `[N, C, H, W]`, weights `[O, C / groups, kh, kw]`.

use crate::error::{Error, place};
use crate::graph::op::{Conv, ConvPart};
use crate::graph::{Convolution, Padding, Pair, Var, Window};
use std::panic::Location;

/// From channels behind the batch to channels last, and back.
pub(super) const LAST: [usize; 4] = [0, 2, 3, 1];
pub(super) const FIRST: [usize; 4] = [0, 3, 1, 2];

impl Var {
    /// The convolution of images `[N, C, H, W]` with weights `[O, C / groups, kh, kw]`: `[N, O, OH, OW]`, PyTorch's `F.conv2d` without its bias. As in every
    /// deep-learning framework the weights are not mirrored.
    ///
    /// Inside, images lie channels last; the moves between that and this shape cancel between convolutions, pools and formulas.
    ///
    /// ```
    /// use gradus::graph::{Builder, Convolution};
    /// let b = Builder::new();
    /// let (x, w) = (b.parameter("x", [2, 3, 8, 8].into()), b.parameter("w", [5, 3, 3, 3].into()));
    /// assert_eq!(x.conv2d(&w, Convolution::new().padding(1).stride(2)).shape(), [2, 5, 4, 4].into());
    /// ```
    #[track_caller]
    pub fn conv2d(&self, weight: &Var, how: Convolution) -> Var {
        let Some([image, kernel]) = self.sizes(weight, "conv2d") else { return self.builder().poisoned() };
        let window = how.window(image, kernel);
        self.convolved(weight, window, ConvPart::Forward, how.groups, "conv2d")
    }

    /// The transposed convolution: images `[N, C, H, W]` and weights `[C, O / groups, kh, kw]` give `[N, O, OH, OW]`, PyTorch's `F.conv_transpose2d`. It is the gradient
    /// of a convolution for its images: `OH = (H - 1) * stride - 2 * padding + dilation * (kh - 1) + 1 + output_padding`.
    #[doc(alias = "deconvolution")]
    #[track_caller]
    pub fn conv_transpose2d(&self, weight: &Var, how: Convolution, output_padding: impl Into<Pair>) -> Var {
        let Some([image, kernel]) = self.sizes(weight, "conv_transpose2d") else { return self.builder().poisoned() };
        let window = how.transposed_window(image, kernel, output_padding.into().0);
        self.convolved(weight, window, ConvPart::Data, how.groups, "conv_transpose2d")
    }

    /// The convolution along one axis: `[N, C, L]` with `[O, C / groups, k]` is `[N, O, OL]`, PyTorch's `F.conv1d`. Of `how` the second number of each pair counts.
    #[track_caller]
    pub fn conv1d(&self, weight: &Var, how: Convolution) -> Var {
        let (x, w) = (self.shape(), weight.shape());
        if self.value().is_none() || weight.value().is_none() {
            return self.builder().poisoned();
        }
        if x.rank() != 3 || w.rank() != 3 {
            return self.no_convolution("conv1d", format!("{x} and weights {w}"), "give [N, C, L] and [O, C / groups, k]");
        }
        let flat = |pair: Pair, one: usize| Pair([one, pair.0[1]]);
        let padding = match how.padding {
            Padding::By(p) => Padding::By(flat(p, 0)),
            Padding::Sides([_, sides]) => [[0, 0], sides].into(),
            same => same,
        };
        let how = Convolution { stride: flat(how.stride, 1), dilation: flat(how.dilation, 1), padding, ..how };
        let y = self.unsqueeze(2).conv2d(&weight.unsqueeze(2), how);
        if y.value().is_none() { y } else { y.squeeze(2) }
    }

    /// Height and width of images and weights, if both have them.
    #[track_caller]
    fn sizes(&self, weight: &Var, op: &str) -> Option<[[usize; 2]; 2]> {
        let (x, w) = (self.shape(), weight.shape());
        if self.value().is_none() || weight.value().is_none() {
            return None;
        }
        if x.rank() != 4 || w.rank() != 4 {
            self.no_convolution(op, format!("{x} and weights {w}"), "give images [N, C, H, W] and weights of four axes");
            return None;
        }
        Some([[x[2], x[3]], [w[2], w[3]]])
    }

    #[track_caller]
    fn convolved(&self, weight: &Var, window: Result<Window, String>, part: ConvPart, groups: usize, op: &str) -> Var {
        match window {
            Ok(window) => self.permute(&LAST).op(Conv { window, groups, part }, &[&weight.permute(&LAST)]).permute(&FIRST),
            Err(problem) => self.no_convolution(
                op,
                format!("{}, weights {}: {problem}", self.shape(), weight.shape()),
                "kernel, stride and dilation are 1 or more, and the window fits into the padded image",
            ),
        }
    }

    #[track_caller]
    fn no_convolution(&self, op: &str, problem: String, help: &str) -> Var {
        self.builder().fail(Error::ShapeMismatch { op: op.into(), problem, at: place(Location::caller()), help: help.into() });
        self.builder().poisoned()
    }
}
