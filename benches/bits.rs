//! The bits of some thirty short runs, for whoever moves code: a line each, with hashes of what the model's file holds (weights, moments) and of the history.
//!
//! ```text
//! cargo bench --bench bits -- --device cpu|software > before.txt      # then, after the change:
//! cargo bench --bench bits -- --device cpu|software | diff before.txt -
//! ```
//!
//! The lists are of one machine and one version of the driver: another CPU has other vectors and caches, and so other sums. `--only TEXT`
//! takes the runs whose name holds that text.

use gradus::nn::{GaussianNoise, GroupNorm, LayerNorm, Penalty, RMSNorm};
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::{DType, HostTensor};
use gradus::train::callbacks::{Callback, Logs, ReduceLROnPlateau};
use gradus::train::{StepOut, step};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

type Trained = anyhow::Result<(Model, History)>;
type Run = fn(&Device, &Path) -> Trained;

/// FNV-1a: the same in each version of Rust.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// 10 batches of 32 and a ragged one.
fn digits() -> gradus::Result<(Dataset, Dataset)> {
    let (train, test) = data::synthetic_digits(3, 331, 70)?;
    Ok((train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0)))
}

fn mlp() -> Sequential {
    Sequential::new().add(Linear::new(48)).add(Relu).add(Linear::new(32)).add(Tanh).add(Linear::new(10))
}

fn settings(optimizer: impl Into<Optimizer>, device: &Device) -> Compile {
    Compile::new(optimizer, CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(5).device(device.clone())
}

fn loops() -> Fit {
    Fit::new().epochs(2).batch_size(32).verbose(0)
}

fn fitted(net: impl Module, compile: Compile, fit: Fit) -> Trained {
    let mut model = net.compile(compile)?;
    let (train, test) = digits()?;
    let history = model.fit(&train, fit.validation(&test))?;
    Ok((model, history))
}

fn optimized(optimizer: impl Into<Optimizer>, device: &Device) -> Trained {
    fitted(mlp(), settings(optimizer, device), loops())
}

fn normalised(layer: impl Module, device: &Device) -> Trained {
    let net = Sequential::new().add(Linear::new(48)).add(layer).add(Relu).add(Linear::new(10));
    fitted(net, settings(Adam::new(3e-3), device), loops())
}

/// 300 rows of so many numbers, and labels that hang on them.
fn table(width: usize) -> gradus::Result<Dataset> {
    let mut draws = Philox::new(7, "table");
    let x: Vec<f32> = (0..300 * width).map(|_| draws.normal() as f32).collect();
    let y = x.chunks(width).map(|r| r.iter().sum::<f32>().sin()).collect();
    Dataset::new(HostTensor::f32([300, width], x)?, HostTensor::f32([300, 1], y)?)
}

fn regressed(loss: impl Into<gradus::nn::Loss>, device: &Device) -> Trained {
    let net = Sequential::new().add(Linear::new(33)).add(Gelu).add(Linear::new(1));
    let mut model = net.compile(Compile::new(AdamW::new(1e-3), loss).input([7]).seed(5).device(device.clone()))?;
    let history = model.fit(&table(7)?, loops())?;
    Ok((model, history))
}

/// Stops the run after so many steps.
struct StopAt(usize);
impl Callback for StopAt {
    fn on_steps_end(&mut self, run: &mut Trainer<'_>, _: &Logs) -> gradus::Result<()> {
        if run.steps_done() == self.0 {
            run.stop();
        }
        Ok(())
    }
    fn every_steps(&self) -> usize {
        self.0
    }
}

fn everything(device: &Device) -> Compile {
    let rate = Schedule::cosine(4e-3, 60).warmup(8);
    let optimizer = AdamW::new(rate).amsgrad(true).group("0.bias", Group::new().frozen()).group("*.bias", Group::new().weight_decay(0.0));
    settings(optimizer, device).clip_norm(1.0).ema(0.97).penalty("*.weight", Penalty::l2(1e-4))
}

fn everything_net() -> Sequential {
    let net = Sequential::new().add(Linear::new(24)).add(BatchNorm1d::new()).add(Relu).add(Dropout::new(0.2));
    net.add(GaussianNoise::new(0.01)).add(Linear::new(10))
}

/// Cut in mid-epoch, and gone on with by another model.
fn resumed(device: &Device, folder: &Path) -> Trained {
    let path = folder.join("run.gradus");
    let fit = || loops().accumulate(2).checkpoint(Checkpoint::new(&path)).resume(Resume::IfPresent);
    fitted(everything_net(), everything(device), fit().callback(gradus::train::callbacks::custom("stop", StopAt(3))))?;
    let mut model = everything_net().compile(everything(device))?;
    let (train, test) = digits()?;
    let history = model.fit(&train, fit().validation(&test).callback(gradus::train::callbacks::custom("stop", StopAt(1 << 40))))?;
    Ok((model, history))
}

/// Integers to vectors, two losses, a row of its own for each index.
fn embedded(device: &Device) -> Trained {
    let rows = 200;
    let mut draws = Philox::new(3, "ids");
    let ids: Vec<u32> = (0..rows * 6).map(|_| (50.0 * draws.uniform()) as u32).collect();
    let y: Vec<u32> = ids.chunks(6).map(|r| r.iter().sum::<u32>() % 4).collect();
    let data = Dataset::new(HostTensor::u32([rows, 6], ids)?, HostTensor::u32([rows], y)?)?.integers();
    let mut model = step(|s, b| {
        let h = s.at("table").call(&Embedding::new(50, 12), &b["x"]).mean_axes(&[1]);
        let y = s.at("head").call(&Linear::new(4), &h);
        let loss = y.cross_entropy(&b["y"]);
        StepOut::new(&loss + h.square().mean() * 0.01).output("y", &y).metric("class_loss", &loss)
    })
    .compile(Compile::step(Adam::new(1e-2)).input([6]).input_dtype(DType::U32).seed(5).device(device.clone()))?;
    let history = model.fit(&data, loops())?;
    Ok((model, history))
}

/// Products in a row, softmax in mid-graph, running sums, gathers.
fn attending(device: &Device) -> Trained {
    let net = module(|s, x| {
        let x = x.reshape([x.shape()[0], 28, 28]);
        let of = |name: &str| s.at(name).call(&Linear::new(16), &x);
        let (q, k, v) = (of("q"), of("k"), of("v"));
        let seen = q.matmul(&k.transpose(1, 2)).softmax().matmul(&v).cumsum(1);
        s.at("head").call(&Linear::new(10), &seen.max_axes(&[1]))
    });
    fitted(net, settings(AdamW::new(1e-3), device), loops())
}

/// A set that is read from disk, block by block.
fn streamed(device: &Device, folder: &Path) -> Trained {
    let path = folder.join("rows.safetensors");
    let (train, _) = digits()?;
    let x = train.features().and_then(HostTensor::as_u8).unwrap_or_default();
    let y: Vec<u8> = train.labels().and_then(HostTensor::as_u8).unwrap_or_default().to_vec();
    let fields = [("x", TensorView::new(Dtype::U8, vec![331, 28, 28], x)?), ("y", TensorView::new(Dtype::U8, vec![331], &y)?)];
    safetensors::serialize_to_file(fields, None, &path)?;
    let data = data::open_safetensors(&path)?.memory_budget(1 << 16).flatten().scale(1.0 / 255.0);
    let mut model = mlp().compile(settings(Adam::default(), device))?;
    let history = model.fit(&data, loops())?;
    Ok((model, history))
}

/// Losses and metrics of the trainer, step by step, with a rate of one's own.
fn by_hand(device: &Device) -> Trained {
    let mut model = mlp().compile(settings(Sgd::new(0.1).momentum(0.9), device))?;
    let (train, _) = digits()?;
    let mut run = model.trainer(&train, Fit::new().epochs(2).batch_size(16))?;
    while let Some(r) = run.steps(5)? {
        run.set_learning_rate(0.1 / (1.0 + r.step as f32))?;
    }
    let history = run.history().clone();
    drop(run);
    Ok((model, history))
}

const RUNS: &[(&str, Run)] = &[
    ("sgd", |d, _| optimized(Sgd::new(0.1), d)),
    ("momentum", |d, _| optimized(Sgd::new(0.05).momentum(0.9).nesterov(true).weight_decay(1e-4), d)),
    ("adam", |d, _| optimized(Adam::default(), d)),
    ("adamw amsgrad", |d, _| optimized(AdamW::new(2e-3).amsgrad(true), d)),
    ("rmsprop", |d, _| optimized(RmsProp::new(1e-3).centered(true).momentum(0.9), d)),
    ("adagrad", |d, _| optimized(Adagrad::new(1e-2), d)),
    ("lion", |d, _| optimized(Lion::new(1e-4), d)),
    ("lamb", |d, _| optimized(Lamb::new(1e-3), d)),
    ("mixed", |d, _| fitted(mlp(), settings(Adam::default(), d).precision(Precision::mixed()), loops())),
    ("mixed lamb", |d, _| fitted(mlp(), settings(Lamb::new(1e-3), d).precision(Precision::mixed()), loops())),
    ("dropout", |d, _| normalised(Dropout::new(0.3), d)),
    ("noise", |d, _| normalised(GaussianNoise::new(0.1), d)),
    ("batch norm", |d, _| normalised(BatchNorm1d::new(), d)),
    ("layer norm", |d, _| normalised(LayerNorm::new(), d)),
    ("rms norm", |d, _| normalised(RMSNorm::new(), d)),
    ("group norm", |d, _| normalised(GroupNorm::new(6), d)),
    ("ema", |d, _| fitted(mlp(), settings(Adam::default(), d).ema(0.9), loops())),
    ("clipped", |d, _| fitted(mlp(), settings(Adam::default(), d).clip_norm(0.5), loops())),
    ("clipped by value", |d, _| fitted(mlp(), settings(Adam::default(), d).clip_value(0.01), loops())),
    ("penalty", |d, _| fitted(mlp(), settings(Sgd::new(0.1), d).penalty("*.weight", Penalty::l1_l2(1e-4, 1e-3)), loops())),
    ("accumulated", |d, _| fitted(mlp(), settings(Adam::default(), d), loops().batch_size(16).accumulate(3))),
    ("smoothed", |d, _| {
        let compile = Compile::new(Adam::default(), CrossEntropy::new().label_smoothing(0.1)).input([784]).seed(5).device(d.clone());
        fitted(mlp(), compile, loops())
    }),
    ("class weights", |d, _| {
        let weights = CrossEntropy::new().class_weights((1..=10).map(f64::from));
        fitted(mlp(), Compile::new(Adam::default(), weights).input([784]).seed(5).device(d.clone()), loops())
    }),
    ("softmax, no shuffle", |d, _| fitted(mlp().add(Softmax), settings(Adam::default(), d), loops().shuffle(false))),
    ("plateau", |d, _| {
        let callback = ReduceLROnPlateau::new("val_accuracy").patience(1).min_delta(2.0).factor(0.5);
        fitted(mlp(), settings(Adam::default(), d), loops().epochs(4).callback(callback))
    }),
    ("one cycle", |d, _| optimized(Sgd::new(Schedule::one_cycle(0.1, 22)).momentum(0.9), d)),
    ("mse", |d, _| regressed(Mse::new(), d)),
    ("huber", |d, _| regressed(Huber::new(), d)),
    ("wide", |d, _| fitted(Sequential::new().add(Linear::new(515)).add(Silu).add(Linear::new(10)), settings(AdamW::new(1e-3), d), loops())),
    ("batch of 7", |d, _| fitted(mlp(), settings(Adam::default(), d), loops().epochs(1).batch_size(7))),
    ("embedding", |d, _| embedded(d)),
    ("attention", |d, _| attending(d)),
    ("streamed", streamed),
    ("by hand", |d, _| by_hand(d)),
    ("all, resumed", resumed),
];

/// All that the model's file holds, moments and averages too; and what the run told.
fn hashes(model: &mut Model, history: &History, folder: &Path) -> anyhow::Result<(u64, u64)> {
    let path = folder.join("model.gradus");
    model.save(&path)?;
    let file = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&file)?;
    let mut names = tensors.names();
    names.sort();
    let mut weights = Hash::new();
    for name in names {
        weights.bytes(name.as_bytes());
        weights.bytes(tensors.tensor(name)?.data());
    }
    let mut log = Hash::new();
    for name in history.names() {
        log.bytes(name.as_bytes());
        log.bytes(&history.get(name).iter().flat_map(|v| v.to_bits().to_le_bytes()).collect::<Vec<_>>());
    }
    Ok((weights.0, log.0))
}

fn main() -> anyhow::Result<()> {
    let (mut device, mut only) = ("cpu".to_string(), String::new());
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next();
        match (flag.as_str(), value) {
            ("--device", Some(v)) => device = v,
            ("--only", Some(v)) => only = v,
            _ => anyhow::bail!("usage: cargo bench --bench bits -- [--device cpu|software|gpu..] [--only TEXT]"),
        }
    }
    let opened = Device::select(&device)?;
    for (name, run) in RUNS.iter().filter(|r| r.0.contains(&only)) {
        let folder = tempfile::tempdir()?;
        let (mut model, history) = run(&opened, folder.path())?;
        let (weights, log) = hashes(&mut model, &history, folder.path())?;
        println!("{device:8} {name:20} weights {weights:016x} log {log:016x}");
    }
    Ok(())
}
