//! Whole networks against PyTorch's and torchvision's: a file made by `tests/golden/make_models.py`.

use crate::common::need::Suite;
use crate::hashed::{distance, images, values};
use gradus::nn::{Conv2d, MaxPool2d, Reshape, models};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::path::Path;

static SUITE: Suite = Suite::new("golden_models", 9);

fn golden(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("models.json")).unwrap();
    all[name].clone()
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

type Tensors = Vec<(String, Vec<usize>)>;

/// torchvision's names and shapes. Those without axes are counters.
fn state_dict(golden: &Value) -> Tensors {
    let tensor = |t: &Value| (t[0].as_str().unwrap().to_string(), floats(&t[1]).iter().map(|&d| d as usize).collect());
    golden["names"].as_array().unwrap().iter().map(tensor).collect()
}

fn dtype(shape: &[usize]) -> Dtype {
    if shape.is_empty() { Dtype::I64 } else { Dtype::F32 }
}

/// A state dict as `safetensors.torch.save_file` writes it.
fn write(path: &Path, tensors: &Tensors) {
    let bytes = |(name, shape): &(String, Vec<usize>)| match dtype(shape) {
        Dtype::I64 => 0i64.to_le_bytes().to_vec(),
        _ => values(name, shape).iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(bytes).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), b)| (name, TensorView::new(dtype(shape), shape.clone(), b).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// torchvision's state dict, unchanged: the outputs in evaluation, the loss and all gradients of a training step, the running means and variances behind it, and
/// the names and shapes of the file that is written back.
#[test]
fn resnet18_is_torchvisions() {
    let golden = golden("resnet18");
    let tensors = state_dict(&golden);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resnet18.safetensors");
    write(&file, &tensors);
    let data = images(4, [3, 64, 64]);
    for device in &SUITE.devices() {
        let compile = Compile::new(Sgd::new(1e-3), CrossEntropy::new()).input([3, 64, 64]).device(device.clone());
        let mut model = models::resnet18(1000).compile(compile).unwrap();
        let report = model.load_weights(&file, Load::new()).unwrap();
        assert_eq!(report.to_string(), format!("{} loaded, 0 fresh, 0 ignored", tensors.len()));

        let (got, want) = (model.predict(&data.clone().take(2), 2).unwrap(), floats(&golden["outputs"]));
        assert_eq!(got.shape().dims(), [2, 1000]);
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let off = got.to_f64().iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        assert!(off < 1e-4, "on {device}: outputs are off by {off:.1e} of the largest, {largest}");

        let loss = model.trainer(&data, Fit::new().batch_size(4).shuffle(false)).unwrap().steps(1).unwrap().unwrap().loss;
        let want = golden["loss"].as_f64().unwrap();
        assert!((f64::from(loss) / want - 1.0).abs() < 1e-5, "on {device}: a loss of {loss} for {want}");
        let mut worst = 0.0f64;
        for (name, sketch) in golden["gradients"].as_object().unwrap() {
            let off = distance(name, model.gradient(name).unwrap().as_f32().unwrap(), &floats(sketch));
            // a third of what would be too much: `distance` says why
            assert!(off < 1e-3 / 3.0, "on {device}: the gradient of {name} is off by {off:.1e} of its norm");
            worst = worst.max(off);
        }
        for (name, sketch) in golden["buffers"].as_object().unwrap() {
            let off = distance(name, model.buffer(name).unwrap().as_f32().unwrap(), &floats(sketch));
            assert!(off < 1e-5, "on {device}: {name} is off by {off:.1e} of its norm after a step");
        }
        println!("on {device}: outputs within {off:.1e}, gradients within {worst:.1e}");

        let back = folder.path().join("back.safetensors");
        model.save_weights(&back).unwrap();
        let bytes = std::fs::read(&back).unwrap();
        let mut written: Vec<_> = SafeTensors::deserialize(&bytes).unwrap().tensors();
        written.sort_by(|a, b| a.0.cmp(&b.0));
        let mut wanted = tensors.clone();
        wanted.sort();
        let written: Vec<_> = written.into_iter().map(|(n, t)| (n, t.shape().to_vec(), t.dtype())).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(n, s)| (n, s.clone(), dtype(&s))).collect();
        assert_eq!(written, wanted);
        SUITE.ran(1);
    }
}

/// 100 steps from the same weights over the same rows: every loss within 2e-3.
fn trains_as_in_pytorch(name: &str, devices: &[Device], net: &dyn Fn(Compile) -> Model, compile: Compile, image: [usize; 3], batch: usize) {
    let want = floats(&golden(name));
    assert_eq!(want.len(), 100);
    let data = images(want.len() * batch, image);
    for device in devices {
        let mut model = net(compile.clone().device(device.clone()));
        for parameter in model.parameter_names().map(String::from).collect::<Vec<_>>() {
            let shape = model.parameter(&parameter).unwrap().shape().clone();
            let start = HostTensor::f32(shape.clone(), values(&parameter, shape.dims())).unwrap();
            model.set_parameter(&parameter, &start).unwrap();
        }
        let mut run = model.trainer(&data, Fit::new().epochs(1).batch_size(batch).shuffle(false)).unwrap();
        let mut got = Vec::new();
        while let Some(r) = run.steps(25).unwrap() {
            got.extend(r.losses.iter().map(|&l| f64::from(l)));
        }
        assert_eq!(got.len(), want.len());
        let off: Vec<f64> = got.iter().zip(&want).map(|(a, b)| (a / b - 1.0).abs()).collect();
        let worst = off.iter().fold(0.0f64, |m, &o| m.max(o));
        println!("{name} on {device}: 100 losses within {worst:.1e} of PyTorch's, from {:.3} to {:.3}", got[0], got[99]);
        assert!(worst < 2e-3, "{name} on {device}: losses are off by {off:?}");
        SUITE.ran(1);
    }
}

/// The network of `mnist --model cnn` without its dropout.
#[test]
fn a_network_for_digits_trains_as_in_pytorch() {
    let net = Sequential::new().add(Reshape::new([1, 28, 28])).add(Conv2d::new(32, 3)).add(Relu).add(Conv2d::new(64, 3)).add(Relu);
    let net = net.add(MaxPool2d::new(2)).add(Flatten).add(Linear::new(128)).add(Relu).add(Linear::new(10));
    let compile = Compile::new(Sgd::new(3e-4).momentum(0.9), CrossEntropy::new()).input([1, 28, 28]);
    trains_as_in_pytorch("cnn", &SUITE.devices(), &|c| net.clone().compile(c).unwrap(), compile, [1, 28, 28], 8);
}

/// On the CPU alone: a software adapter takes half a minute, and has its part in the other two.
#[test]
fn resnet20_trains_as_in_pytorch() {
    let compile = Compile::new(Sgd::new(5e-5).momentum(0.9), CrossEntropy::new()).input([3, 32, 32]);
    trains_as_in_pytorch("resnet20", &[Device::cpu()], &|c| models::resnet20(10).compile(c).unwrap(), compile, [3, 32, 32], 4);
}

/// The gradient for weights sums 131,072 positions, of few channels and of many, and stays within 1e-5 of its largest element.
#[test]
fn long_sums_are_pytorchs() {
    for channels in [2, 16] {
        let golden = &golden("long")[channels.to_string()];
        let net = Sequential::new().add(Conv2d::new(4, 3).padding(1)).add(gradus::nn::Tanh).add(gradus::nn::GlobalAvgPool2d).add(Flatten);
        let labels: Vec<u8> = (0..128).map(|i| i % 10 % 4).collect();
        let x = images(128, [channels, 32, 32]).features().unwrap().clone();
        let data = Dataset::new(x, HostTensor::u8([128], labels).unwrap()).unwrap();
        for device in &SUITE.devices() {
            let compile = Compile::new(Sgd::new(1e-3), CrossEntropy::new()).input([channels, 32, 32]).device(device.clone());
            let mut model = net.clone().compile(compile).unwrap();
            for (name, shape) in [("0.weight", vec![4, channels, 3, 3]), ("0.bias", vec![4])] {
                model.set_parameter(name, &HostTensor::f32(shape.clone(), values(name, &shape)).unwrap()).unwrap();
            }
            let loss = model.trainer(&data, Fit::new().batch_size(128).shuffle(false)).unwrap().steps(1).unwrap().unwrap().loss;
            let want = golden["loss"].as_f64().unwrap();
            assert!((f64::from(loss) / want - 1.0).abs() < 1e-5, "on {device}: a loss of {loss} for {want}");
            for name in ["0.weight", "0.bias"] {
                let (got, want) = (model.gradient(name).unwrap().to_f64(), floats(&golden["gradients"][name]));
                let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
                println!("on {device}, {channels} channels: the gradient of {name} within {off:.1e} of the largest");
                assert!(off < 1e-5, "on {device}: the gradient of {name} is off by {off:.1e} of the largest, {largest}");
            }
            SUITE.ran(1);
        }
    }
}
