//! Pools of images and of sequences.

use super::kind::LayerKind;
use crate::graph::{Padding, Pair, Pooling, Var};
use crate::nn::Scope;
use serde::{Deserialize, Serialize};

fn one() -> Pair {
    1.into()
}

fn is_one(p: &Pair) -> bool {
    *p == one()
}

fn yes() -> bool {
    true
}

fn is_yes(b: &bool) -> bool {
    *b
}

fn is_no(b: &bool) -> bool {
    !*b
}

fn is_none(p: &Padding) -> bool {
    *p == Padding::default()
}

/// Pools of their settings: those that all have, then each one's own, with the method of `Pooling` that is told and its default.
macro_rules! pools {
    ($(
        $(#[$about:meta])*
        $Type:ident = $method:ident { $($(#[$text:meta])* $field:ident: $Field:ty = $set:ident, $start:expr;)* }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $Type {
            /// Places of the window.
            pub kernel_size: Pair,
            /// From one window to the next; `kernel_size` where it is `None`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub stride: Option<Pair>,
            /// What stands around the images, at most half a window.
            #[serde(default, skip_serializing_if = "is_none")]
            pub padding: Padding,
            /// Whether a last window may reach beyond the padded image.
            #[serde(default, skip_serializing_if = "is_no")]
            pub ceil_mode: bool,
            $($(#[$text])* pub $field: $Field,)*
        }

        impl $Type {
            /// Of windows of this size, side by side.
            pub fn new(kernel_size: impl Into<Pair>) -> Self {
                let padding = Padding::default();
                $Type { kernel_size: kernel_size.into(), stride: None, padding, ceil_mode: false, $($field: $start,)* }
            }

            /// From one window to the next.
            pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
                self.stride = Some(stride.into());
                self
            }

            /// What stands around the images, at most half a window.
            pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
                self.padding = padding.into();
                self
            }

            /// Whether a last window may reach beyond the padded image.
            pub fn ceil_mode(mut self, ceil_mode: bool) -> Self {
                self.ceil_mode = ceil_mode;
                self
            }

            $(
                /// As the field of this name says.
                pub fn $field(mut self, $field: impl Into<$Field>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }

        impl LayerKind for $Type {
            fn forward(&self, _: &Scope, x: &Var) -> Var {
                let how = Pooling { stride: self.stride, padding: self.padding, ceil_mode: self.ceil_mode, ..Pooling::new(self.kernel_size) };
                x.$method(how$(.$set(self.$field))*)
            }
        }
    )*};
}

pools! {
    /// The largest value of each window: images `[N, C, H, W]` to `[N, C, OH, OW]`, PyTorch's `MaxPool2d` with its names and defaults. See [`Var::max_pool2d`].
    ///
    /// ```
    /// use gradus::nn::MaxPool2d;
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(MaxPool2d::new(2)).add(MaxPool2d::new(3).stride(2).padding(1)).add(Flatten).add(Linear::new(10));
    /// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 32, 32]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "MaxPooling2D")]
    MaxPool2d = max_pool2d {
        /// From one place of the window to the next.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        dilation: Pair = dilation, one();
    }

    /// The mean of each window: images `[N, C, H, W]` to `[N, C, OH, OW]`, PyTorch's `AvgPool2d` with its names and defaults. See [`Var::avg_pool2d`].
    ///
    /// ```
    /// use gradus::nn::AvgPool2d;
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(AvgPool2d::new(3).stride(2).padding(1).count_include_pad(false)).add(Flatten).add(Linear::new(10));
    /// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 32, 32]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "AveragePooling2D")]
    AvgPool2d = avg_pool2d {
        /// Whether a mean counts the padding.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        count_include_pad: bool = count_include_pad, true;
    }

    /// The largest value of each window: sequences `[N, C, L]` to `[N, C, OL]`, PyTorch's `MaxPool1d`. See [`Var::max_pool1d`].
    ///
    /// ```
    /// use gradus::nn::MaxPool1d;
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(MaxPool1d::new(2)).add(Flatten).add(Linear::new(10));
    /// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([4, 32]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "MaxPooling1D")]
    MaxPool1d = max_pool1d {
        /// From one place of the window to the next.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        dilation: Pair = dilation, one();
    }

    /// The mean of each window: sequences `[N, C, L]` to `[N, C, OL]`, PyTorch's `AvgPool1d`. See [`Var::avg_pool1d`].
    ///
    /// ```
    /// use gradus::nn::AvgPool1d;
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(AvgPool1d::new(2)).add(Flatten).add(Linear::new(10));
    /// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([4, 32]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "AveragePooling1D")]
    AvgPool1d = avg_pool1d {
        /// Whether a mean counts the padding.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        count_include_pad: bool = count_include_pad, true;
    }
}

/// Images `[N, C, H, W]` of any size as means of so many bins: `[N, C, output_size]`, PyTorch's `AdaptiveAvgPool2d`. See [`Var::adaptive_avg_pool2d`].
///
/// ```
/// use gradus::nn::AdaptiveAvgPool2d;
/// use gradus::prelude::*;
/// let net = Sequential::new().add(AdaptiveAvgPool2d::new([3, 5])).add(Flatten).add(Linear::new(10));
/// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 32, 32]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct AdaptiveAvgPool2d {
    /// Height and width of the results.
    pub output_size: Pair,
}

impl AdaptiveAvgPool2d {
    /// To this height and width.
    pub fn new(output_size: impl Into<Pair>) -> Self {
        AdaptiveAvgPool2d { output_size: output_size.into() }
    }
}

impl LayerKind for AdaptiveAvgPool2d {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.adaptive_avg_pool2d(self.output_size)
    }
}

/// The mean of each channel of images: `[N, C, H, W]` to `[N, C]` (Keras' `GlobalAveragePooling2D`; in PyTorch `AdaptiveAvgPool2d(1)` and `Flatten`).
///
/// ```
/// use gradus::nn::GlobalAvgPool2d;
/// use gradus::prelude::*;
/// let net = Sequential::new().add(GlobalAvgPool2d).add(Linear::new(10));
/// net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 32, 32]).device(Device::cpu()))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "GlobalAveragePooling2D")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GlobalAvgPool2d;

impl LayerKind for GlobalAvgPool2d {
    fn forward(&self, _: &Scope, x: &Var) -> Var {
        x.global_avg_pool2d()
    }
}
