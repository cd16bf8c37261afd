//! VGG (Simonyan & Zisserman 2014), with batch normalisation or without.

use crate::graph::Var;
use crate::nn::{AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dropout, Fan, Gain, Init, Linear, MaxPool2d, Module, Scope, module};

/// Channels of each convolution; 0 is a pool.
const ELEVEN: &[usize] = &[64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0];
const SIXTEEN: &[usize] = &[64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];

fn vgg(s: &Scope, x: &Var, plan: &[usize], normalised: bool, classes: usize) -> Var {
    let (f, mut at, mut x) = (s.at("features"), 0, x.clone());
    for &channels in plan {
        if channels == 0 {
            x = f.at(at).call(&MaxPool2d::new(2), &x);
            at += 1;
            continue;
        }
        let conv = Conv2d::new(channels, 3).padding(1).weight_init(Init::kaiming_normal(Fan::Out, Gain::Relu)).bias_init(Init::Zeros);
        x = f.at(at).call(&conv, &x);
        if normalised {
            x = f.at(at + 1).call(&BatchNorm2d::new(), &x);
        }
        x = x.relu();
        at += if normalised { 3 } else { 2 };
    }
    let mut x = s.at("avgpool").call(&AdaptiveAvgPool2d::new(7), &x).flatten();
    let c = s.at("classifier");
    let dense = |n: usize| Linear::new(n).init(Init::Normal(0.01));
    for i in 0..2 {
        let y = c.at(3 * i).call(&dense(4096), &x).relu();
        x = c.at(3 * i + 2).call(&Dropout::new(0.5), &y);
    }
    c.at(6).call(&dense(classes), &x)
}

/// VGG with 11 layers, for `[batch, 3, 224, 224]` and other sizes from 32 on: 132,863,336 parameters for 1,000 classes. Gives logits `[batch, classes]`. Parameters have
/// torchvision's names.
pub fn vgg11(classes: usize) -> impl Module {
    module(move |s, x| vgg(s, x, ELEVEN, false, classes))
}

/// As [`vgg11`], normalised behind each convolution: torchvision's `vgg11_bn`.
pub fn vgg11_bn(classes: usize) -> impl Module {
    module(move |s, x| vgg(s, x, ELEVEN, true, classes))
}

/// VGG with 16 layers: 138,357,544 parameters for 1,000 classes.
pub fn vgg16(classes: usize) -> impl Module {
    module(move |s, x| vgg(s, x, SIXTEEN, false, classes))
}
