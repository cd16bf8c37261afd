//! `gradus`: trains a recipe with several workers. `cargo run --release --features cli -- train recipe.toml --workers 4 --mode semi-async:2`.

mod predict;
#[cfg(feature = "dist")]
mod process;
#[cfg(feature = "dist")]
mod ps;
mod recipe;
mod simulate;
mod train;
#[cfg(feature = "dist")]
mod worker;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "gradus",
    version,
    about = "Trains neural networks from a recipe: with several workers, in this process or on many machines"
)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a recipe with workers and a server in this process
    Train(train::Flags),
    /// Write what the network gives for rows without labels
    Predict(predict::Flags),
    /// Simulate runs with up to 10,000 workers: times, losses, loads
    Simulate(simulate::Flags),
    /// Serve a recipe's parameters to workers on the network
    #[cfg(feature = "dist")]
    Ps(ps::Flags),
    /// Work for a server on the network
    #[cfg(feature = "dist")]
    Worker(worker::Flags),
}

fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Train(flags) => train::run(&flags),
        Command::Predict(flags) => predict::run(&flags),
        Command::Simulate(flags) => simulate::run(&flags),
        #[cfg(feature = "dist")]
        Command::Ps(flags) => ps::run(&flags),
        #[cfg(feature = "dist")]
        Command::Worker(flags) => worker::run(&flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
