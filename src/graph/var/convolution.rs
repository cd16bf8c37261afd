//! Convolutions, as PyTorch's users know them: images `[N, C, H, W]`, weights `[O, C / groups, kh, kw]`.

use crate::error::{Error, place};
use crate::graph::layout::{FIRST, LAST};
use crate::graph::op::{Conv, ConvPart};
use crate::graph::{Convolution, Padding, Pair, Var, Window};
use std::panic::Location;

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
        let Some(window) = self.fitting(how.window(image, kernel), weight, "conv2d") else { return self.builder().poisoned() };
        self.convolved(&weight.permute(&LAST), Conv { window, groups: how.groups, part: ConvPart::Forward })
    }

    /// The transposed convolution: images `[N, C, H, W]` and weights `[C, O / groups, kh, kw]` give `[N, O, OH, OW]`, PyTorch's `F.conv_transpose2d`. It is the gradient
    /// of a convolution for its images: `OH = (H - 1) * stride - 2 * padding + dilation * (kh - 1) + 1 + output_padding`.
    #[doc(alias = "deconvolution")]
    #[track_caller]
    pub fn conv_transpose2d(&self, weight: &Var, how: Convolution, output_padding: impl Into<Pair>) -> Var {
        let Some([image, kernel]) = self.sizes(weight, "conv_transpose2d") else { return self.builder().poisoned() };
        let window = how.transposed_window(image, kernel, output_padding.into().0);
        let Some(window) = self.fitting(window, weight, "conv_transpose2d") else { return self.builder().poisoned() };
        self.convolved(&weight.permute(&LAST), Conv { window, groups: how.groups, part: ConvPart::Data })
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
        let Some(window) = self.fitting(how.window([1, x[2]], [1, w[2]]), weight, "conv1d") else { return self.builder().poisoned() };
        let conv = Conv { window, groups: how.groups, part: ConvPart::Forward };
        let y = self.unsqueeze(2).convolved(&weight.permute(&[0, 2, 1]).unsqueeze(1), conv);
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

    /// The window, if it fits.
    #[track_caller]
    fn fitting(&self, window: Result<Window, String>, weight: &Var, op: &str) -> Option<Window> {
        match window {
            Ok(window) => Some(window),
            Err(problem) => {
                let help = "kernel, stride and dilation are 1 or more, and the window fits into the padded image";
                self.no_convolution(op, format!("{}, weights {}: {problem}", self.shape(), weight.shape()), help);
                None
            }
        }
    }

    /// With weights whose channels are last.
    #[track_caller]
    fn convolved(&self, weight: &Var, conv: Conv) -> Var {
        self.permute(&LAST).op(conv, &[weight]).permute(&FIRST)
    }

    #[track_caller]
    fn no_convolution(&self, op: &str, problem: String, help: &str) -> Var {
        self.builder().fail(Error::ShapeMismatch { op: op.into(), problem, at: place(Location::caller()), help: help.into() });
        self.builder().poisoned()
    }
}
