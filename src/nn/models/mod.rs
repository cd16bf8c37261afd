//! Networks that many know, as plain functions: each gives a [`Module`](super::Module) whose parameters have torchvision's names, where torchvision has the network.
//!
//! ```
//! use gradus::nn::models;
//! use gradus::prelude::*;
//! let model = models::resnet20(10).compile(Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3, 32, 32]).device(Device::cpu()))?;
//! assert_eq!(model.parameter("layer2.0.downsample.0.weight")?.shape().dims(), [32, 16, 1, 1]);
//! # Ok::<(), gradus::Error>(())
//! ```

mod mobilenet;
mod resnet;
mod unet;
mod vgg;

pub use mobilenet::mobilenet_v2;
pub use resnet::{resnet18, resnet20};
pub use unet::unet;
pub use vgg::{vgg11, vgg11_bn, vgg16};
