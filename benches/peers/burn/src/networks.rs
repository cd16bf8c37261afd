//! The networks of `pytorch_step.py`, layer by layer. All take rows of pixels; images get their shape inside.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

pub const CLASSES: usize = 10;

/// Any of them.
#[derive(Module, Debug)]
pub enum Network {
    Dense(Dense),
    Cnn(Cnn),
    ResNet20(ResNet20),
}

impl Network {
    /// Logits.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Network::Dense(net) => net.forward(x),
            Network::Cnn(net) => net.forward(x),
            Network::ResNet20(net) => net.forward(x),
        }
    }
}

/// Dense layers with ReLU between them.
#[derive(Module, Debug)]
pub struct Dense {
    layers: Vec<Linear>,
}

impl Dense {
    pub fn new(widths: &[usize], device: &Device) -> Self {
        Dense { layers: widths.windows(2).map(|w| LinearConfig::new(w[0], w[1]).init(device)).collect() }
    }

    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if i + 1 < self.layers.len() {
                x = relu(x);
            }
        }
        x
    }
}

/// Keras' network for digits, without its dropout; images of 1x28x28.
#[derive(Module, Debug)]
pub struct Cnn {
    first: Conv2d,
    second: Conv2d,
    pool: MaxPool2d,
    head: Dense,
}

impl Cnn {
    pub fn new(device: &Device) -> Self {
        Cnn {
            first: Conv2dConfig::new([1, 32], [3, 3]).init(device),
            second: Conv2dConfig::new([32, 64], [3, 3]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).init(),
            head: Dense::new(&[64 * 12 * 12, 128, CLASSES], device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = relu(self.first.forward(x.reshape([-1, 1, 28, 28])));
        let x = self.pool.forward(relu(self.second.forward(x)));
        self.head.forward(x.flatten(1, 3))
    }
}

/// A convolution without a bias, and its batch norm.
#[derive(Module, Debug)]
struct Normed {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    /// Of a square kernel, padded to keep the size at stride 1.
    fn new(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let pad = kernel / 2;
        let conv = Conv2dConfig::new(channels, [kernel; 2]).with_stride([stride; 2]).with_bias(false);
        Normed {
            conv: conv.with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad)).init(device),
            norm: BatchNormConfig::new(channels[1]).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

/// torchvision's BasicBlock.
#[derive(Module, Debug)]
struct Block {
    first: Normed,
    second: Normed,
    /// None where the input passes by as it is.
    down: Option<Normed>,
}

impl Block {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let same = stride == 1 && channels[0] == channels[1];
        Block {
            first: Normed::new(channels, 3, stride, device),
            second: Normed::new([channels[1]; 2], 3, 1, device),
            down: (!same).then(|| Normed::new(channels, 1, stride, device)),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.second.forward(relu(self.first.forward(x.clone())));
        let rest = match &self.down {
            Some(down) => down.forward(x),
            None => x,
        };
        relu(h + rest)
    }
}

/// CIFAR's ResNet-20; images of 3x32x32.
#[derive(Module, Debug)]
pub struct ResNet20 {
    stem: Normed,
    blocks: Vec<Block>,
    head: Linear,
}

impl ResNet20 {
    pub fn new(device: &Device) -> Self {
        let stages = [(16, 16, 1), (16, 32, 2), (32, 64, 2)];
        let stage = |(from, to, stride)| [([from, to], stride), ([to, to], 1), ([to, to], 1)];
        ResNet20 {
            stem: Normed::new([3, 16], 3, 1, device),
            blocks: stages.into_iter().flat_map(stage).map(|(channels, stride)| Block::new(channels, stride, device)).collect(),
            head: LinearConfig::new(64, CLASSES).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = relu(self.stem.forward(x.reshape([-1, 3, 32, 32])));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.head.forward(x.mean_dims(&[2, 3]).squeeze_dims(&[2, 3]))
    }
}
