//! The article's network learns MNIST: `cargo run --release --example mnist`, and with `-- --help` after it the flags.
//!
//! This file is the training. The flags, the search for data, recipes and what is printed stand in the modules beside it.

mod digits;
mod flags;
mod log;
mod plot;
mod recipe;
mod report;

use anyhow::{Context, Result};
use flags::{Flags, Network};
use gradus::nn::{Conv2d, MaxPool2d, Reshape};
use gradus::optim::schedule::{OneCycle, Span};
use gradus::prelude::*;
use gradus::train::{DataSpec, HeldOut, Recipe, Registry};
use log::Log;
use report::Report;
use std::process::ExitCode;
use std::time::Instant;

/// The article's run. The flags change it, and a file (`--recipe`) takes its place.
fn article() -> gradus::Result<Recipe> {
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let compile = Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(0);
    let fit = Fit::new().epochs(10).batch_size(32);
    let data = DataSpec::new("mnist").flatten().scale(1.0 / 255.0).one_hot(10).validation(HeldOut::Test).test(HeldOut::Test);
    Recipe::new(&net, &compile, &fit, data)
}

/// Keras' convolutional network for digits (`--model cnn`): some 99.1 % after three epochs, as the rate goes up and down once in the whole run.
fn convolutions() -> gradus::Result<Recipe> {
    let net = Sequential::new().add(Reshape::new([1, 28, 28]));
    let net = net.add(Conv2d::new(32, 3)).add(Relu).add(Conv2d::new(64, 3)).add(Relu).add(MaxPool2d::new(2)).add(Dropout::new(0.25));
    let net = net.add(Flatten).add(Linear::new(128)).add(Relu).add(Dropout::new(0.5)).add(Linear::new(10));
    let rate = OneCycle::new(0.005, Span::Share(1.0));
    let compile = Compile::new(Adam::new(rate), CrossEntropy::new()).input([28, 28]).metric(Accuracy::new()).seed(0);
    let fit = Fit::new().epochs(3).batch_size(128);
    let data = DataSpec::new("mnist").scale(1.0 / 255.0).one_hot(10).validation(HeldOut::Test).test(HeldOut::Test);
    Recipe::new(&net, &compile, &fit, data)
}

/// What the flags begin with.
fn first(network: Network) -> gradus::Result<Recipe> {
    match network {
        Network::Mlp => article(),
        Network::Cnn => convolutions(),
    }
}

fn run(flags: &Flags, started: Instant) -> Result<()> {
    let mut recipe = flags.recipe(first(flags.model)?)?;
    let device = flags.device()?;
    let report = Report::begin(started, &device);
    let data = digits::find(&recipe.data.source, true)?;
    flags.suit(&mut recipe, &data)?;
    report.data(&data);

    // described there, done in the gather on the device
    let sets = recipe.data.apply_seeded(data.train, Some(data.test), &Registry::new(), &recipe.seeds)?;
    let last = sets.test.clone().filter(|_| recipe.data.test != recipe.data.validation);
    let (train, test) = (sets.train, sets.validation.or(sets.test).context("the recipe's `data` has neither `validation` nor `test`")?);
    let mut model = recipe.compile(&Registry::new(), &device)?;
    if let Some(file) = &flags.weights {
        // of a model or a checkpoint the weights alone
        let weights = Load::new().ignore("optimizer.*").ignore("gradus.*");
        report.weights(file, &model.load_weights(file, weights)?);
    }
    let program = model.prepare(&train, recipe.fit.batch_size)?;
    report.model(&recipe, &model, &program);
    flags.look_inside(&recipe, &mut model, &train, &test)?;

    let log = match flags.steps {
        None => Log::of_fit(Instant::now(), model.fit(&train, recipe.fit.clone().validation(&test))?),
        Some(most) => some_steps(&mut model, &train, &test, recipe.fit.clone(), most)?,
    };
    if let Some(last) = last {
        report::print(&format!("test set: {}\n", model.evaluate(&last, 256)?))?;
    }
    if recipe.compile.ema.is_some() {
        model.swap_ema()?;
        report::print(&format!("averaged weights: {}\n", model.evaluate(&test, 256)?))?;
    }
    if let Some(file) = &flags.save {
        model.save_weights(file)?;
    }
    if let Some(file) = &flags.plot {
        plot::draw(&log, file)?;
    }
    report.end(&recipe, &model, &program, &train, &log, flags.metrics_json.as_deref())
}

/// A loop of one's own: at most so many steps, with the loss of each.
fn some_steps(model: &mut Model, train: &Dataset, test: &Dataset, fit: Fit, most: usize) -> Result<Log> {
    let mut run = model.trainer(train, fit)?;
    let mut log = Log::of_steps(train);
    // the first step alone, to tell how long a cold start takes; how steps are cut changes no bit
    while let Some(r) = run.steps(if log.steps() == 0 { most.min(1) } else { most - log.steps() })? {
        log.add(&r);
        if r.epoch_ended || log.steps() == most {
            log.end_epoch(run.evaluate(test, 256)?);
        }
    }
    if most == 0 {
        log.end_epoch(run.evaluate(test, 256)?);
    }
    Ok(log)
}

fn main() -> ExitCode {
    let started = Instant::now();
    let flags = Flags::read();
    report::exit(match flags.question() {
        Some(answer) => answer.and_then(|text| report::print(&text)),
        None => run(&flags, started),
    })
}
