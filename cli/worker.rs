//! `gradus worker`: one worker of a distributed run, as a process.

use crate::process;
use anyhow::{Context, Result, ensure};
use clap::Args;
use gradus::exchange::{Connect, Exchange, Worker, WorkerReport, connect, connect_shards};
use gradus::train::{Device, Registry, Sets};
use std::path::PathBuf;

#[derive(Args)]
pub struct Flags {
    #[command(flatten)]
    process: process::Common,
    /// Where the server listens, HOST:PORT; https://HOST:PORT for TLS. Of several (`gradus ps --shard`) all, in their order: HOST:PORT,HOST:PORT
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', required = true)]
    server: Vec<String>,
    /// This worker's number, from 0
    #[arg(long)]
    rank: usize,
    /// How many workers there are
    #[arg(long)]
    world: usize,
    /// The recipe's data are rows that only this worker has
    #[arg(long)]
    own_rows: bool,
    /// Rows in the place of the recipe's source: what a recipe can name, as a file *.safetensors
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The certificate of the authority that has signed the server's (PEM) [default: those of the system]
    #[cfg(feature = "dist-tls")]
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// Seconds for which a server that cannot be reached is asked again
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    connect_deadline: f64,
    /// Send gradients as f16; not in the mode local, where parameters are sent
    #[arg(long)]
    half: bool,
    /// Push the largest gradients alone, such a part of all; what is left is added to the next ones
    #[arg(long, value_name = "PART")]
    top: Option<f32>,
    /// Work on the CPU, with so many threads
    #[arg(long, conflicts_with = "device")]
    threads: Option<usize>,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
    /// Epochs in the place of the recipe's: the same for all workers
    #[arg(long)]
    epochs: Option<usize>,
    /// Write the weights here when its part is over: all of the run's, from however many servers. Says what the recipe's test set says of them
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write what it has done here, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub fn run(flags: &Flags) -> Result<()> {
    let (mut recipe, secret) = flags.process.begin()?;
    if let Some(folder) = flags.save.as_ref().and_then(|p| p.parent()).filter(|p| !p.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "--save: there is no folder {}", folder.display());
    }
    if let Some(source) = &flags.source {
        recipe.data.source.clone_from(source);
    }
    let device = match flags.threads {
        Some(threads) => Device::cpu_threads(threads.max(1)),
        None => process::device(flags.device.as_deref())?,
    };
    let registry = Registry::new();
    let mut how = Connect::new().deadline(flags.connect_deadline).half(flags.half);
    if let Some(secret) = secret {
        how = how.secret(secret);
    }
    #[cfg(feature = "dist-tls")]
    if let Some(authority) = &flags.authority {
        how = how.authority(process::pem(authority)?);
    }
    // whoever cannot reach the server need not load data
    let mut link: Box<dyn Exchange> = match &flags.server[..] {
        [one] => Box::new(connect(one, how)?),
        all => Box::new(connect_shards(all, how)?),
    };
    let Sets { train, test, .. } = recipe.data.load_seeded(&registry, &recipe.seeds)?;
    let mut model = recipe.compile(&registry, &device)?;
    let epochs = flags.epochs.unwrap_or(recipe.fit.epochs);
    let mut fit = recipe.fit.clone().epochs(epochs).verbose(0);
    // the server's
    fit.callbacks.clear();
    let mut worker = Worker::new(flags.rank, flags.world);
    if flags.own_rows {
        worker = worker.own_rows();
    }
    if let Some(part) = flags.top {
        worker = worker.top_k(part);
    }
    let report = model.worker(&mut *link, worker).run(&train, &fit)?;
    println!(
        "worker {}: began with push {}, {} pushes, {} of them known, {:.1} s in steps, {:.1} s with the server",
        flags.rank, report.began_at, report.pushes, report.known, report.computing, report.exchanging
    );
    if let Some(path) = &flags.save {
        model.save_weights(path)?;
        if let Some(set) = test {
            println!("test     {}", model.evaluate(&set, recipe.fit.batch_size.max(256).min(set.len()))?);
        }
    }
    if let Some(path) = &flags.report {
        std::fs::write(path, json(flags.rank, &report)).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

fn json(rank: usize, r: &WorkerReport) -> String {
    let history: serde_json::Map<String, serde_json::Value> =
        r.history.names().map(|name| (name.to_string(), serde_json::json!(r.history.get(name)))).collect();
    let all = serde_json::json!({
        "rank": rank, "began_at": r.began_at, "pushes": r.pushes, "known": r.known,
        "first_epoch": r.first_epoch, "computing": r.computing, "exchanging": r.exchanging, "history": history,
    });
    format!("{all}\n")
}
