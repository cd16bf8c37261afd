//! `gradus train`: workers and a server in one process.

use crate::recipe;
use anyhow::{Context, Result, ensure};
use clap::Args;
use gradus::exchange::Mode;
use gradus::server::{Cluster, ClusterOutcome, Outer, Rules};
use gradus::train::{Device, Registry};
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args)]
pub struct Flags {
    /// The recipe, in TOML or JSON: `cargo run --release --example mnist -- --print-recipe` writes one
    recipe: PathBuf,
    /// Workers, each with its part of the CPU's threads
    #[arg(long, default_value_t = 1)]
    workers: usize,
    #[command(flatten)]
    rules: Step,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
    /// Write the weights here when the run is over
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Epochs in the place of the recipe's
    #[arg(long)]
    epochs: Option<usize>,
    /// Let the recipe write outside of this folder
    #[arg(long)]
    trust_recipe: bool,
}

/// How the workers keep step: the flags of every command that has a server.
#[derive(Args)]
pub struct Step {
    /// sync, semi-async, semi-async:STALENESS, async, local, local:EVERY
    #[arg(long, default_value = "sync")]
    mode: String,
    /// How many clocks a worker may be ahead of the slowest, for semi-async
    #[arg(long, value_name = "S")]
    staleness: Option<u64>,
    /// Updates of a worker between two averages, for local
    #[arg(long, value_name = "K")]
    every: Option<usize>,
    /// Divide gradients that have missed n updates by n
    #[arg(long)]
    damped: bool,
    /// The outer step of local: RATE,MOMENTUM, or diloco (0.7,0.9) [default: plain averaging]
    #[arg(long, value_name = "RATE,MOMENTUM")]
    outer: Option<String>,
    /// Seconds after which a worker that owes gradients is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    deadline: f64,
}

impl Step {
    /// The rules for so many workers.
    pub fn rules(&self, workers: usize) -> Result<Rules> {
        let (local, semi) = (self.mode == "local", self.mode == "semi-async");
        ensure!(self.staleness.is_none() || semi, "--staleness is for --mode semi-async, and the mode is {}", self.mode);
        ensure!(self.every.is_none() || local, "--every is for --mode local, and the mode is {}", self.mode);
        let mode: Mode = match (local, semi) {
            (true, _) => format!("local:{}", self.every.unwrap_or(16)).parse()?,
            (_, true) => format!("semi-async:{}", self.staleness.unwrap_or(2)).parse()?,
            _ => self.mode.parse()?,
        };
        let rules = Rules::new(workers).mode(mode).damped(self.damped).deadline(self.deadline);
        Ok(match &self.outer {
            None => rules,
            Some(text) if text == "diloco" => rules.outer(Outer::diloco()),
            Some(text) => {
                let numbers =
                    text.split_once(',').and_then(|(lr, momentum)| Some((lr.trim().parse().ok()?, momentum.trim().parse().ok()?)));
                let (lr, momentum) =
                    numbers.with_context(|| format!("--outer {text}: give a rate and a momentum, as 0.7,0.9, or diloco"))?;
                rules.outer(Outer::new(lr, momentum))
            }
        })
    }
}

pub fn run(flags: &Flags) -> Result<()> {
    let mut recipe = recipe::read(&flags.recipe, flags.trust_recipe)?;
    recipe.fit.epochs = flags.epochs.unwrap_or(recipe.fit.epochs);
    let device = match &flags.device {
        Some(choice) => Device::select(choice)?,
        None => Device::best()?,
    };
    let rules = flags.rules.rules(flags.workers)?;
    eprintln!("{}\n{:<8} {} workers, {}", device.announcement(), "mode", flags.workers, rules.mode);
    if let Some(folder) = flags.save.as_ref().and_then(|p| p.parent()).filter(|p| !p.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "--save: there is no folder {}", folder.display());
    }
    let began = Instant::now();
    let outcome = Cluster::new(rules).run(&recipe, &Registry::new(), &device)?;
    report(&outcome, began.elapsed().as_secs_f64());
    match &flags.save {
        Some(path) => outcome.model.save_weights(path)?,
        None if outcome.history.interrupted() => eprintln!("the weights are not written: `--save FILE` does that"),
        None => {}
    }
    Ok(())
}

fn report(outcome: &ClusterOutcome, seconds: f64) {
    let s = &outcome.standing;
    println!(
        "{} updates in {seconds:.1} s; nobody was more than {} clocks ahead, no gradient missed more than {} updates",
        s.updates, s.greatest_staleness, s.greatest_age
    );
    for (rank, w) in outcome.workers.iter().enumerate() {
        println!("worker {rank}: {} pushes, {:.1} s in steps, {:.1} s with the server", w.pushes, w.computing, w.exchanging);
    }
    let last = outcome.history.names().filter_map(|name| Some(format!("{name} {:.4}", outcome.history.last(name)?)));
    println!("{}", last.collect::<Vec<_>>().join("  "));
    if let Some(test) = &outcome.test {
        println!("test     {test}");
    }
}
