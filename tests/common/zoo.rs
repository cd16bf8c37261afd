//! Small models that between them run every archetype of kernel: for suites that try all of them on some odd device.
#![allow(dead_code)] // each suite uses its part

use gradus::nn::{GroupNorm, LayerNorm, Penalty};
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::{DType, HostTensor};

/// A model with what it learns from.
pub struct Animal {
    pub name: &'static str,
    net: fn() -> Box<dyn Module>,
    optimizer: fn() -> Optimizer,
    settings: fn(Compile) -> Compile,
    data: fn() -> Dataset,
    accumulate: usize,
    /// How far two machines' losses may lie apart after a few steps, of their size.
    pub apart: f32,
    /// Samples, as near to one class as to another, that two machines may tell apart.
    pub flips: usize,
}

/// What a run left: the parameters' and buffers' bits, and every step's loss and gradient norm.
#[derive(Debug, PartialEq)]
pub struct Track {
    pub words: Vec<u32>,
    pub losses: Vec<f32>,
}

impl Animal {
    pub fn model(&self, device: &Device) -> gradus::Result<Model> {
        let (optimizer, net) = ((self.optimizer)(), (self.net)());
        let settings = Compile::new(optimizer, CrossEntropy::new()).metric(Accuracy::new()).seed(5).device(device.clone());
        module(move |s, x| net.forward(s, x)).compile((self.settings)(settings))
    }

    /// Two epochs of four batches, the last of them ragged; a submit for each step.
    pub fn train(&self, device: &Device) -> gradus::Result<Track> {
        let (mut model, data) = (self.model(device)?, (self.data)());
        let fit = Fit::new().epochs(2).batch_size(32).accumulate(self.accumulate).steps_per_submit(1).verbose(0);
        let mut run = model.trainer(&data, fit)?;
        let mut losses = Vec::new();
        while let Some(done) = run.steps(1)? {
            losses.extend(done.losses);
        }
        let names: Vec<String> = model.parameter_names().map(String::from).collect();
        let mut words = Vec::new();
        for n in names {
            words.extend(model.parameter(&n)?.as_f32().unwrap_or_default().iter().map(|x| x.to_bits()));
        }
        let seen = model.evaluate(&data, 40)?;
        losses.extend([seen["loss"] as f32, seen["accuracy"] as f32]);
        Ok(Track { words, losses })
    }
}

fn digits() -> Dataset {
    data::synthetic_digits(3, 123, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

/// Most words stand in few batches: a sum by index has rows that nothing is added to.
fn sentences() -> Dataset {
    let mut r = Philox::new(1, "zoo");
    let mut pick = |n: usize| (r.uniform() * n as f64) as u32;
    let x = (0..123 * 9).map(|_| pick(931)).collect();
    let y = (0..123).map(|_| pick(10)).collect();
    Dataset::new(HostTensor::u32([123, 9], x).unwrap(), HostTensor::u32([123], y).unwrap()).unwrap().integers()
}

fn article() -> Box<dyn Module> {
    Box::new(Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax))
}

/// Every normalisation, a residual, a dropout.
fn norms() -> Box<dyn Module> {
    Box::new(module(|s, x| {
        let h = s.at("stem").call(&Linear::new(48), x);
        let h = s.at("batch").call(&BatchNorm1d::new(), &h).gelu();
        let h = s.at("layer").call(&LayerNorm::new(), &h) + &h;
        let h = s.at("group").call(&GroupNorm::new(4), &h).tanh();
        let h = s.at("drop").call(&Dropout::new(0.3), &h);
        s.at("head").call(&Linear::new(10), &h)
    }))
}

fn words() -> Box<dyn Module> {
    Box::new(module(|s, x| {
        let h = s.at("embed").call(&Embedding::new(931, 8), x).mean_axes(&[1]);
        s.at("head").call(&Linear::new(10), &h)
    }))
}

/// Rows, running sums, the largest, moves, products of many matrices.
fn moves() -> Box<dyn Module> {
    Box::new(module(|s, x| {
        let h = s.at("stem").call(&Linear::new(60), x).reshape([x.shape()[0], 5, 12]);
        let weights = h.matmul_with(&h, false, true).softmax();
        let mixed = weights.matmul(&h).permute(&[0, 2, 1]);
        let sums = mixed.cumsum(2).slice(1, 1..9).pad(&[(0, 0), (1, 0), (0, 2)], 0.5);
        let both = sums.concat(&[&sums.log_softmax()], 2);
        let top = both.max_axes(&[2]);
        s.at("head").call(&Linear::new(10), &top)
    }))
}

/// All of them.
pub fn all() -> Vec<Animal> {
    let flat = |c: Compile| c.input([784]);
    let animal =
        |name, net, optimizer, settings| Animal { name, net, optimizer, settings, data: digits, accumulate: 1, apart: 1e-3, flips: 0 };
    let adam = || Adam::default().into();
    vec![
        animal("the article's", article, adam, flat),
        animal("norms and dropout", norms, || AdamW::new(1e-3).into(), |c| c.input([784]).clip_norm(0.5)),
        animal("LAMB", article, || Lamb::default().into(), |c| c.input([784]).clip_norm(1.0)),
        animal(
            "momentum, average, penalty",
            article,
            || Sgd::new(0.05).momentum(0.9).into(),
            |c| c.input([784]).ema(0.9).penalty("*.weight", Penalty::l2(1e-4)),
        ),
        Animal { accumulate: 3, ..animal("accumulated", article, adam, |c| c.input([784]).clip_norm(1.0)) },
        Animal { apart: 2e-3, flips: 2, ..animal("mixed precision", norms, adam, |c| c.input([784]).precision(Precision::mixed())) },
        Animal { data: sentences, ..animal("embedding", words, || Adam::new(0.05).into(), |c| c.input([9]).input_dtype(DType::U32)) },
        animal("rows and moves", moves, || Sgd::new(0.05).into(), flat),
    ]
}
