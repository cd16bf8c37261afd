//! MobileNetV2 (Sandler et al. 2018): depthwise convolutions between two of single places.

use crate::graph::Var;
use crate::nn::{BatchNorm2d, Conv2d, Dropout, Fan, Gain, Init, Linear, Module, Scope, module};

/// Expansion, channels, blocks, stride of the first.
const STAGES: [[usize; 4]; 7] = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

fn conv(s: &Scope, x: &Var, channels: usize, size: usize, stride: usize, groups: usize) -> Var {
    let start = Init::kaiming_normal(Fan::Out, Gain::Linear);
    let layer = Conv2d::new(channels, size).stride(stride).padding(size / 2).groups(groups).bias(false);
    s.call(&layer.weight_init(start), x)
}

/// Convolution, normalisation, ReLU6: torchvision's `Conv2dNormActivation`.
fn unit(s: &Scope, x: &Var, channels: usize, size: usize, stride: usize, groups: usize) -> Var {
    s.at(1).call(&BatchNorm2d::new(), &conv(&s.at(0), x, channels, size, stride, groups)).relu6()
}

fn block(s: &Scope, x: &Var, expand: usize, channels: usize, stride: usize) -> Var {
    let own = x.shape().dims().get(1).copied().unwrap_or(0);
    let (s, wide) = (s.at("conv"), own * expand);
    let (h, next) = if expand == 1 { (x.clone(), 0) } else { (unit(&s.at(0), x, wide, 1, 1, 1), 1) };
    let h = unit(&s.at(next), &h, wide, 3, stride, wide);
    let h = s.at(next + 2).call(&BatchNorm2d::new(), &conv(&s.at(next + 1), &h, channels, 1, 1, 1));
    if stride == 1 && own == channels { x + h } else { h }
}

/// MobileNetV2 of width 1, for `[batch, 3, 224, 224]` and other sizes from 32 on: 3,504,872 parameters for 1,000 classes. Gives logits `[batch, classes]`. Parameters have
/// torchvision's names.
pub fn mobilenet_v2(classes: usize) -> impl Module {
    module(move |s, x| {
        let f = s.at("features");
        let mut x = unit(&f.at(0), x, 32, 3, 2, 1);
        let mut at = 1;
        for [expand, channels, blocks, stride] in STAGES {
            for i in 0..blocks {
                x = block(&f.at(at), &x, expand, channels, if i == 0 { stride } else { 1 });
                at += 1;
            }
        }
        let x = unit(&f.at(at), &x, 1280, 1, 1, 1).mean_axes(&[2, 3]);
        let c = s.at("classifier");
        c.at(1).call(&Linear::new(classes).init(Init::Normal(0.01)), &c.at(0).call(&Dropout::new(0.2), &x))
    })
}
