//! The tools for people: profile, gradient, activation, bisection, anomalies, diagnostics, the list of devices.

mod anomaly;
mod bisect;
#[path = "../common/mod.rs"]
mod common;
mod diagnostics;
mod look;
mod profile;

use common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("tools", 23);

/// Two classes of points in [0, 1)^6, `rows` of them.
pub fn points(rows: usize) -> Dataset {
    let value = |i: usize| (i * 2_654_435_761 % 1000) as f32 / 1000.0;
    let x: Vec<f32> = (0..rows * 6).map(value).collect();
    let y = x.chunks(6).map(|r| u8::from(r[0] + r[3] > r[1] + r[5])).collect();
    Dataset::new(HostTensor::f32([rows, 6], x).unwrap(), HostTensor::u8([rows], y).unwrap()).unwrap()
}

pub fn classifier(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(2));
    let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).metric(Accuracy::new());
    net.compile(settings.device(device.clone()).seed(3)).unwrap()
}

pub fn bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
}
struct Block;
impl Module for Block {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        let h = s.at("fc1").call(&Linear::new(12), x).gelu();
        x + s.at("fc2").call(&Linear::new(12), &h)
    }
}

pub fn residual() -> impl Module {
    module(|s, x| {
        let h = s.at("stem").call(&Linear::new(12), x);
        let h = s.at("act").call(&Relu, &h);
        let h = (0..4).fold(h, |h, i| s.at(format!("blocks.{i}")).call(&Block, &h));
        s.at("head").call(&Linear::new(2), &h)
    })
}
