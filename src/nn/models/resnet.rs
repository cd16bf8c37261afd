//! Residual networks (He et al. 2015, *Deep Residual Learning for Image Recognition*).

use crate::graph::Var;
use crate::nn::{BatchNorm2d, Conv2d, Fan, Gain, Init, Linear, MaxPool2d, Module, Scope, module};

/// torchvision's start of a residual network's convolutions.
fn start() -> Init {
    Init::kaiming_normal(Fan::Out, Gain::Relu)
}

fn conv(channels: usize, size: usize, stride: usize) -> Conv2d {
    Conv2d::new(channels, size).stride(stride).padding(size / 2).bias(false).weight_init(start())
}

/// Two convolutions of 3 x 3 and what they add to: torchvision's `BasicBlock`.
fn block(s: &Scope, x: &Var, channels: usize, stride: usize) -> Var {
    let h = s.at("conv1").call(&conv(channels, 3, stride), x);
    let h = s.at("bn1").call(&BatchNorm2d::new(), &h).relu();
    let h = s.at("bn2").call(&BatchNorm2d::new(), &s.at("conv2").call(&conv(channels, 3, 1), &h));
    let same = stride == 1 && x.shape().dims().get(1) == Some(&channels);
    let rest = if same {
        x.clone()
    } else {
        let s = s.at("downsample");
        s.at(1).call(&BatchNorm2d::new(), &s.at(0).call(&conv(channels, 1, stride), x))
    };
    (h + rest).relu()
}

/// Stages of blocks: the first block of all but the first stage halves height and width.
fn stages(s: &Scope, x: Var, widths: &[usize], blocks: &[usize]) -> Var {
    widths.iter().zip(blocks).enumerate().fold(x, |x, (i, (&channels, &blocks))| {
        let s = s.at(format!("layer{}", i + 1));
        (0..blocks).fold(x, |x, j| block(&s.at(j), &x, channels, if i > 0 && j == 0 { 2 } else { 1 }))
    })
}

/// The mean over height and width, and a last layer.
fn head(s: &Scope, x: &Var, classes: usize) -> Var {
    s.at("fc").call(&Linear::new(classes), &x.mean_axes(&[2, 3]))
}

/// ResNet-20 for small images, `[batch, 3, 32, 32]` and larger: three stages of three blocks, 16, 32 and 64 channels, 272,474 parameters for 10 classes. Gives logits
/// `[batch, classes]`.
///
/// As torchvision's networks it projects where a stage halves (the paper's option B); the paper's own for CIFAR-10 pads with zeros there.
pub fn resnet20(classes: usize) -> impl Module {
    module(move |s, x| {
        let x = s.at("bn1").call(&BatchNorm2d::new(), &s.at("conv1").call(&conv(16, 3, 1), x)).relu();
        let x = stages(s, x, &[16, 32, 64], &[3, 3, 3]);
        head(s, &x, classes)
    })
}

/// ResNet-18 for `[batch, 3, 224, 224]` and other sizes from 32 on: 11,689,512 parameters for 1,000 classes. Gives logits `[batch, classes]`. Parameters have torchvision's
/// names: its state dict loads as it is.
pub fn resnet18(classes: usize) -> impl Module {
    module(move |s, x| {
        let x = s.at("bn1").call(&BatchNorm2d::new(), &s.at("conv1").call(&conv(64, 7, 2), x)).relu();
        let x = s.at("maxpool").call(&MaxPool2d::new(3).stride(2).padding(1), &x);
        let x = stages(s, x, &[64, 128, 256, 512], &[2, 2, 2, 2]);
        head(s, &x, classes)
    })
}
