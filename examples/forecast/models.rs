//! The three ways to forecast, and how one is trained and tested.

use super::series::Parts;
use clap::ValueEnum;
use gradus::optim::schedule::Span;
use gradus::prelude::*;
use std::time::Instant;

/// Width of the network's hidden layer.
const HIDDEN: usize = 256;

/// A model. All of them take away the last value of each variable and add it again (NLinear, in Zeng et al., "Are Transformers Effective for Time Series Forecasting?",
/// AAAI 2023): what they forecast is the change, so a level that wanders costs nothing. One set of weights serves all variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Nothing changes: the last value, again and again
    Repeat,
    /// One linear map from the inputs to the forecast
    Linear,
    /// A hidden layer with ReLU between the two
    Mlp,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Repeat => "repeat",
            Kind::Linear => "linear",
            Kind::Mlp => "mlp",
        }
    }
}

pub struct Settings {
    pub input: usize,
    pub horizon: usize,
    pub epochs: usize,
    pub patience: usize,
    pub batch_size: usize,
    /// Else each model's own.
    pub lr: Option<f64>,
}

/// A model, and what it came to.
pub struct Trained {
    pub kind: Kind,
    pub seed: u64,
    /// The epoch whose weights it has, and how many there were; from 1 on.
    pub epoch: Option<(usize, usize)>,
    pub val_mse: f64,
    pub mse: f64,
    pub mae: f64,
    pub seconds: f64,
    #[cfg_attr(not(feature = "plot"), allow(dead_code))]
    pub model: Model,
}

/// From `[rows, input, variables]` to `[rows, horizon, variables]`.
fn net(kind: Kind, input: usize, horizon: usize) -> impl Module {
    module(move |s, x| {
        let (rows, variables) = (x.shape().dims()[0], x.shape().dims()[2]);
        let last = x.slice(1, input - 1..input);
        if kind == Kind::Repeat {
            return last.expand([rows, horizon, variables]);
        }
        let change = (x - &last).transpose(1, 2); // [rows, variables, input]
        let ahead = match kind {
            Kind::Mlp => {
                let hidden = s.at("hidden").call(&Linear::new(HIDDEN), &change).relu();
                s.at("ahead").call(&Linear::new(horizon), &hidden)
            }
            _ => s.at("ahead").call(&Linear::new(horizon), &change),
        };
        ahead.transpose(1, 2) + last
    })
}

pub fn train(kind: Kind, settings: &Settings, parts: &Parts, device: &Device, seed: u64) -> gradus::Result<Trained> {
    let began = Instant::now();
    // NLinear's rate; the network's, and the patience of five epochs, by what the validation part said of 0.0002 to 0.005, and of three or five
    let lr = settings.lr.unwrap_or(if kind == Kind::Mlp { 1e-3 } else { 5e-3 });
    let rate = Schedule::step(lr, Span::Epochs(1.0), 0.5);
    let compile = Compile::new(Adam::new(rate), Mse::new()).input(parts.train.input_shape().clone()).metric(Mae::new());
    let mut model = net(kind, settings.input, settings.horizon).compile(compile.seed(seed).device(device.clone()))?;
    let mut epoch = None;
    if kind != Kind::Repeat {
        let stop = EarlyStopping::new("val_loss").patience(settings.patience).restore_best_weights(true);
        let fit = Fit::new().epochs(settings.epochs).batch_size(settings.batch_size).validation(&parts.val).callback(stop).verbose(0);
        let history = model.fit(&parts.train, fit)?;
        epoch = history.best("val_loss").map(|(best, _)| (best, history.epochs()));
    }
    let val_mse = model.evaluate(&parts.val, 256)?["loss"];
    let seen = model.evaluate(&parts.test, 256)?;
    Ok(Trained { kind, seed, epoch, val_mse, mse: seen["loss"], mae: seen["mae"], seconds: began.elapsed().as_secs_f64(), model })
}
