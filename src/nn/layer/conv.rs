//! Convolutional layers.

use super::kind::LayerKind;
use super::refuse::{refuse, refuse_setting};
use crate::graph::{Convolution, Padding, Pair, Var};
use crate::nn::{Init, InitScheme, Scope};
use crate::tensor::Order;
use serde::{Deserialize, Serialize};

fn yes() -> bool {
    true
}

fn one() -> Pair {
    1.into()
}

fn single() -> usize {
    1
}

/// The types: settings that they share, and those that one of them has alone.
macro_rules! convolutions {
    ($($(#[$about:meta])* $Name:ident, $Size:ty $({ $($(#[$serde:meta])* $(- $text:literal)+ $own:ident: $Own:ty = $first:expr;)* })?;)*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $Name {
            /// Channels of the result.
            pub out_channels: usize,
            /// Places of the window.
            pub kernel_size: Pair,
            /// From one position to the next; 1.
            #[serde(default = "one")]
            pub stride: Pair,
            /// What stands around the input; nothing.
            #[serde(default)]
            pub padding: Padding,
            /// From one place of the window to the next; 1.
            #[serde(default = "one")]
            pub dilation: Pair,
            /// Groups of channels that know nothing of each other; 1.
            #[serde(default = "single")]
            pub groups: usize,
            /// Whether a bias is added to each channel; it is by default.
            #[serde(default = "yes")]
            pub bias: bool,
            $($($(#[doc = $text])+ $(#[$serde])* pub $own: $Own,)*)?
            /// How the weight starts; PyTorch's default where it is `None`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub weight_init: Option<Init>,
            /// How the bias starts; PyTorch's default where it is `None`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub bias_init: Option<Init>,
        }

        impl $Name {
            /// With so many channels and a window of this size; PyTorch's defaults else: stride 1, no padding, dilation 1, one group, a bias.
            pub fn new(out_channels: usize, kernel_size: $Size) -> Self {
                let kernel_size = kernel_size.into();
                let (stride, dilation, padding) = (one(), one(), Padding::default());
                let (weight_init, bias_init) = (None, None);
                $Name { out_channels, kernel_size, stride, padding, dilation, groups: 1, bias: true, $($($own: $first,)*)? weight_init, bias_init }
            }

            /// From one position to the next.
            pub fn stride(mut self, stride: $Size) -> Self {
                self.stride = stride.into();
                self
            }

            /// What stands around the input.
            pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
                self.padding = padding.into();
                self
            }

            /// From one place of the window to the next.
            pub fn dilation(mut self, dilation: $Size) -> Self {
                self.dilation = dilation.into();
                self
            }

            /// Groups of channels that know nothing of each other: they divide the channels of input and result.
            pub fn groups(mut self, groups: usize) -> Self {
                self.groups = groups;
                self
            }

            /// With or without a bias.
            pub fn bias(mut self, bias: bool) -> Self {
                self.bias = bias;
                self
            }

            $($($(#[doc = $text])+ pub fn $own(mut self, $own: impl Into<$Own>) -> Self {
                self.$own = $own.into();
                self
            })*)?

            /// How weight and bias start, by a scheme or by the weight's initialiser with a bias of 0: [`InitScheme`].
            pub fn init(mut self, scheme: impl Into<InitScheme>) -> Self {
                (self.weight_init, self.bias_init) = scheme.into().linear();
                self
            }

            /// How the weight starts.
            pub fn weight_init(mut self, init: Init) -> Self {
                self.weight_init = Some(init);
                self
            }

            /// How the bias starts.
            pub fn bias_init(mut self, init: Init) -> Self {
                self.bias_init = Some(init);
                self
            }

            fn how(&self) -> Convolution {
                Convolution::new().stride(self.stride).padding(self.padding).dilation(self.dilation).groups(self.groups)
            }

            /// Weight of this shape, stored with its second axis last as convolutions read it, and bias. Their starting values are PyTorch's: uniform within `1 / sqrt(fan in)`.
            fn parameters(&self, s: &Scope, weight: Vec<usize>) -> (Var, Option<Var>) {
                let init = Init::Uniform(1.0 / (weight[1..].iter().product::<usize>().max(1) as f64).sqrt());
                let order = Order::of([&[0], &(2..weight.len()).collect::<Vec<_>>()[..], &[1]].concat());
                let weight = s.ordered_param("weight", weight, self.weight_init.unwrap_or(init), order);
                let bias = self.bias.then(|| s.param("bias", [self.out_channels], self.bias_init.unwrap_or(init)));
                (weight, bias)
            }
        }
    )*};
}

convolutions! {
    /// A convolution of images, `[batch, channels, height, width]` to `[batch, out_channels, ..]`: PyTorch's `Conv2d`, Keras' too but for the axes' order.
    ///
    /// Parameters `weight` `[out_channels, channels / groups, kernel height, kernel width]` and `bias` `[out_channels]`, both uniform within `1 / sqrt(channels / groups *
    /// kernel height * kernel width)`: PyTorch's names, layout and default initialisation. Sizes of one number go for height and width.
    ///
    /// ```
    /// use gradus::nn::Conv2d;
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(Conv2d::new(8, 3).padding(1)).add(Relu).add(Conv2d::new(16, 3).stride(2)).add(Relu).add(Flatten).add(Linear::new(10));
    /// let model = net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([3, 9, 9]).device(Device::cpu()))?;
    /// assert_eq!(model.parameter("2.weight")?.shape().dims(), [16, 8, 3, 3]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "Convolution2D")]
    Conv2d, impl Into<Pair>;

    /// A convolution along one axis, `[batch, channels, length]` to `[batch, out_channels, ..]`: PyTorch's `Conv1d`.
    ///
    /// Parameters `weight` `[out_channels, channels / groups, kernel]` and `bias` `[out_channels]`, as [`Conv2d`]'s.
    ///
    /// ```
    /// use gradus::nn::Conv1d;
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(Conv1d::new(4, 5).padding(2)).add(Relu).add(Flatten).add(Linear::new(1));
    /// net.compile(Compile::new(Adam::default(), Mse::new()).input([2, 30]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "Convolution1D")]
    Conv1d, usize;

    /// A transposed convolution, which enlarges images: PyTorch's `ConvTranspose2d`. `[batch, channels, height, width]` to `[batch, out_channels, (height - 1) * stride -
    /// 2 * padding + dilation * (kernel - 1) + 1 + output_padding, ..]`.
    ///
    /// Parameters `weight` `[channels, out_channels / groups, kernel height, kernel width]` and `bias` `[out_channels]`, both uniform within `1 / sqrt(out_channels / groups *
    /// kernel height * kernel width)`: PyTorch's.
    ///
    /// ```
    /// use gradus::nn::{Conv2d, ConvTranspose2d};
    /// use gradus::prelude::*;
    /// let net = Sequential::new().add(Conv2d::new(8, 2).stride(2)).add(Relu).add(ConvTranspose2d::new(3, 2).stride(2));
    /// net.compile(Compile::new(Adam::default(), Mse::new()).input([3, 8, 8]).device(Device::cpu()))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "Conv2DTranspose")]
    #[doc(alias = "Deconvolution")]
    ConvTranspose2d, impl Into<Pair> {
        #[serde(default = "none")]
        - "Rows and columns more behind, which the stride leaves open; 0."
        output_padding: Pair = none();
    };
}

fn none() -> Pair {
    0.into()
}

/// Why a layer cannot be, if it cannot.
fn refused(s: &Scope, layer: &str, x: &Var, axes: &str, rank: usize, out: usize, groups: usize) -> Option<Var> {
    if x.value().is_none() {
        return Some(x.clone());
    }
    let shape = x.shape();
    if shape.rank() != rank {
        return Some(refuse(s, layer, format!("the input is {shape}"), axes));
    }
    if out == 0 {
        return Some(refuse_setting(s, layer, "out_channels", 0, "there is at least one channel"));
    }
    if groups == 0 || !shape[1].is_multiple_of(groups) || !out.is_multiple_of(groups) {
        let problem = format!("{groups} for {} channels in and {out} out", shape[1]);
        return Some(refuse_setting(s, layer, "groups", problem, "give a number that divides both"));
    }
    None
}

/// With one bias for each channel.
fn biased(y: Var, bias: Option<Var>) -> Var {
    match bias {
        Some(bias) if y.value().is_some() => {
            let (rank, channels) = (y.shape().rank(), bias.shape().size());
            y + bias.reshape([vec![channels], vec![1; rank - 2]].concat())
        }
        _ => y,
    }
}

impl LayerKind for Conv2d {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let axes = "give [batch, channels, height, width]";
        if let Some(refused) = refused(s, "Conv2d", x, axes, 4, self.out_channels, self.groups) {
            return refused;
        }
        let Pair([height, width]) = self.kernel_size;
        let (weight, bias) = self.parameters(s, vec![self.out_channels, x.shape()[1] / self.groups, height, width]);
        biased(x.conv2d(&weight, self.how()), bias)
    }

    fn with_init(&self, scheme: InitScheme) -> Option<Self> {
        Some(self.init(scheme))
    }
}

impl LayerKind for Conv1d {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        if let Some(refused) = refused(s, "Conv1d", x, "give [batch, channels, length]", 3, self.out_channels, self.groups) {
            return refused;
        }
        let (weight, bias) = self.parameters(s, vec![self.out_channels, x.shape()[1] / self.groups, self.kernel_size.0[1]]);
        biased(x.conv1d(&weight, self.how()), bias)
    }

    fn with_init(&self, scheme: InitScheme) -> Option<Self> {
        Some(self.init(scheme))
    }
}

impl LayerKind for ConvTranspose2d {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let axes = "give [batch, channels, height, width]";
        if let Some(refused) = refused(s, "ConvTranspose2d", x, axes, 4, self.out_channels, self.groups) {
            return refused;
        }
        let Pair([height, width]) = self.kernel_size;
        let (weight, bias) = self.parameters(s, vec![x.shape()[1], self.out_channels / self.groups, height, width]);
        biased(x.conv_transpose2d(&weight, self.how(), self.output_padding), bias)
    }

    fn with_init(&self, scheme: InitScheme) -> Option<Self> {
        Some(self.init(scheme))
    }
}
