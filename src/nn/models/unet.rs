//! U-Net (Ronneberger et al. 2015): a class for each place of an image.

use crate::graph::Var;
use crate::nn::{BatchNorm2d, Conv2d, ConvTranspose2d, MaxPool2d, Module, Scope, module};

/// Two convolutions of 3 x 3, padded, each normalised.
fn double(s: &Scope, x: &Var, channels: usize) -> Var {
    (0..2).fold(x.clone(), |x, i| {
        let y = s.at(3 * i).call(&Conv2d::new(channels, 3).padding(1).bias(false), &x);
        s.at(3 * i + 1).call(&BatchNorm2d::new(), &y).relu()
    })
}

/// A U-Net of so many levels, whose first has `width` channels and each further one twice as many: `[batch, channels, height, width]` to logits `[batch, classes, height,
/// width]`. Height and width are multiples of `2^levels`. The paper's has 4 levels and a width of 64; here convolutions are padded and normalised, as is usual now.
/// Parameters are named `down.0.0.weight`, `middle.0.weight`, `up.0.weight`, `join.0.0.weight`, `head.weight`.
pub fn unet(classes: usize, width: usize, levels: usize) -> impl Module {
    module(move |s, x| {
        let (mut x, mut sides) = (x.clone(), Vec::new());
        for level in 0..levels {
            let side = double(&s.at("down").at(level), &x, width << level);
            x = s.at("pool").at(level).call(&MaxPool2d::new(2), &side);
            sides.push(side);
        }
        x = double(&s.at("middle"), &x, width << levels);
        for (level, side) in sides.iter().enumerate().rev() {
            let up = s.at("up").at(level).call(&ConvTranspose2d::new(width << level, 2).stride(2), &x);
            x = double(&s.at("join").at(level), &side.concat(&[&up], 1), width << level);
        }
        s.at("head").call(&Conv2d::new(classes, 1), &x)
    })
}
