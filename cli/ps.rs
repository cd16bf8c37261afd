//! `gradus ps`: the server of a distributed run, as a process.

use crate::process;
use crate::train::Step;
use anyhow::{Result, ensure};
use clap::Args;
use gradus::exchange::Shard;
use gradus::server::{Event, Rules, Serve, Server, Serving, Watcher, serve};
use gradus::train::{Checkpoint, Device, Fit, Registry, Sets};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Flags {
    #[command(flatten)]
    process: process::Common,
    /// How many workers there are
    #[arg(long)]
    workers: usize,
    /// Address and port; port 0 takes one that is free, which is printed. Others can reach 0.0.0.0:PORT
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    #[command(flatten)]
    rules: Step,
    /// Which of several servers this is, as 1/2: each has a range of the parameters, and workers are given the addresses of all. It does not evaluate
    #[arg(long, value_name = "NUMBER/ALL")]
    shard: Option<Shard>,
    /// Write the run here, whole or not at all
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Updates between two writes; the end of a run, Ctrl-C and SIGTERM write too
    #[arg(long, value_name = "UPDATES", default_value_t = 100, requires = "checkpoint")]
    checkpoint_every: usize,
    /// Go on from the checkpoint if it is there
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// Where updates are computed: cpu, gpu, gpu:INDEX, gpu:NAME, software
    #[arg(long, value_name = "CHOICE", default_value = "cpu")]
    device: String,
    /// Neither load the recipe's data nor evaluate
    #[arg(long)]
    no_data: bool,
    /// The server's certificate (PEM), for TLS
    #[cfg(feature = "dist-tls")]
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[cfg(feature = "dist-tls")]
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Write the weights here when the run is over
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub fn run(flags: &Flags) -> Result<()> {
    let (recipe, secret) = flags.process.begin()?;
    if let Some(folder) = flags.save.as_ref().and_then(|p| p.parent()).filter(|p| !p.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "--save: there is no folder {}", folder.display());
    }
    let shard = flags.shard.unwrap_or_default();
    if shard.is_part() {
        ensure!(flags.save.is_none(), "--save: shard {shard} has a part of the weights; `gradus worker --save FILE` writes all");
        ensure!(
            recipe.fit.callbacks.is_empty(),
            "--shard {shard}: the recipe has callbacks, and no shard sees the whole model: leave them out, or give one server"
        );
    }
    process::hear_signals();
    let (registry, device) = (Registry::new(), Device::select(&flags.device)?);
    let sets = if flags.no_data || shard.is_part() { None } else { Some(recipe.data.load_seeded(&registry, &recipe.seeds)?) };
    let (validation, test) = sets.map_or((None, None), |Sets { validation, test, .. }| (validation, test));
    let rules = flags.rules.rules(flags.workers)?.shard(shard.index, shard.of);
    let mode = rules.mode;
    let server = open(flags, recipe.compile(&registry, &device)?, rules)?;
    let mut fit = recipe.fit.clone();
    (fit.validation, fit.checkpoint) = (validation, None);
    if !shard.leads() {
        // all would say the same
        fit.verbose = 0;
    }
    watch(&server, &fit)?;
    let mut how = flags.secured(Serve::new(&flags.listen))?;
    if let Some(secret) = secret {
        how = how.secret(secret);
    }
    let serving = serve(server.clone(), how)?;
    let which = if shard.is_part() { format!(", shard {shard}") } else { String::new() };
    eprintln!("{:<8} {} workers, {mode}{which}; {} updates behind it", "mode", flags.workers, server.standing().updates);
    // a program that has started this one reads the line
    println!("listening on {}", serving.addr());
    std::io::stdout().flush()?;
    let began = Instant::now();
    let cut = wait(&serving);
    serving.stop();
    let cut = cut?;
    if flags.checkpoint.is_some() {
        server.write()?;
    }
    if cut {
        eprintln!("ended by a signal after {} updates", server.standing().updates);
        return Ok(());
    }
    let s = server.standing();
    println!(
        "{} updates in {:.1} s; nobody was more than {} clocks ahead, no gradient missed more than {} updates; {} pushes came twice",
        s.updates,
        began.elapsed().as_secs_f64(),
        s.greatest_staleness,
        s.greatest_age,
        s.known
    );
    if shard.is_part() {
        return Ok(());
    }
    let model = server.into_model()?;
    if let Some(path) = &flags.save {
        model.save_weights(path)?;
    }
    if let Some(set) = test {
        println!("test     {}", model.evaluate(&set, recipe.fit.batch_size.max(256).min(set.len()))?);
    }
    Ok(())
}

impl Flags {
    #[cfg(feature = "dist-tls")]
    fn secured(&self, how: Serve) -> Result<Serve> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else { return Ok(how) };
        Ok(how.identity(process::pem(certificate)?, process::pem(key)?))
    }

    #[cfg(not(feature = "dist-tls"))]
    fn secured(&self, how: Serve) -> Result<Serve> {
        Ok(how)
    }
}

/// The server, new or as its checkpoint has it.
fn open(flags: &Flags, model: gradus::train::Model, rules: Rules) -> Result<Server> {
    let Some(path) = &flags.checkpoint else { return Ok(Server::new(model, rules)?) };
    ensure!(flags.checkpoint_every > 0, "--checkpoint-every 0: give at least 1");
    let server = if flags.resume && path.exists() { Server::restore(model, rules, path)? } else { Server::new(model, rules)? };
    server.checkpoint(Checkpoint::new(path).every_epochs(0).every_steps(flags.checkpoint_every))?;
    Ok(server)
}

/// Says what happens.
fn watch(server: &Server, fit: &Fit) -> Result<()> {
    let watcher = Watcher::new(fit)?;
    server.watch(move |event| {
        match &event {
            Event::Joined { rank, clock } => eprintln!("worker {rank} begins with push {clock}"),
            Event::NotWritten { error } => {
                let text = error.to_string();
                eprintln!("warning: no checkpoint, the run goes on: {}", text.lines().next().unwrap_or_default());
            }
            _ => {}
        }
        watcher.hear(event)
    });
    Ok(())
}

/// Waits for the end of the run, or for a signal: `true` then.
fn wait(serving: &Serving) -> Result<bool> {
    loop {
        match serving.wait_for(0.1) {
            Some(Ok(())) => return Ok(false),
            Some(Err(e)) => {
                // workers that compute ask a little later, and shall hear why
                std::thread::sleep(Duration::from_secs(3));
                return Err(e.into());
            }
            None if process::terminated() => return Ok(true),
            None => {}
        }
    }
}
