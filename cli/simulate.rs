//! `gradus simulate`: what a run would be like with other workers, machines and networks.

use crate::recipe;
use anyhow::{Context, Result};
use clap::Args;
use gradus::exchange::Mode;
use gradus::server::{Crashes, Delay, Link, Outer, ServerCost, Simulated, Simulation};
use gradus::train::Registry;
use std::path::PathBuf;

#[derive(Args)]
pub struct Flags {
    /// The recipe, in TOML or JSON: `cargo run --release --example mnist -- --print-recipe` writes one
    recipe: PathBuf,
    /// Numbers of workers
    #[arg(long, value_delimiter = ',', default_value = "2,4,8")]
    workers: Vec<usize>,
    /// sync, async, semi-async:STALENESS, local:EVERY
    #[arg(long, value_delimiter = ',', default_value = "sync,semi-async:2,async,local:16")]
    modes: Vec<String>,
    /// Divide gradients that have missed n updates by n
    #[arg(long)]
    damped: bool,
    /// DiLoCo's outer step for the local modes
    #[arg(long)]
    diloco: bool,
    /// Seconds of a worker for a batch: constant:SECONDS, lognormal:MEDIAN:SIGMA, pareto:LEAST:SHAPE
    #[arg(long, default_value = "lognormal:0.01:0.3")]
    compute: String,
    /// Seconds that a message takes
    #[arg(long, value_name = "SECONDS", default_value_t = 1e-4)]
    latency: f64,
    /// Bytes a second of each worker's link
    #[arg(long, value_name = "BYTES", default_value_t = 125e6)]
    bandwidth: f64,
    /// Bytes a second of the server's link, which all share [default: that of a worker]
    #[arg(long, value_name = "BYTES")]
    server_bandwidth: Option<f64>,
    /// Seconds of the server for a push
    #[arg(long, value_name = "SECONDS", default_value_t = 1e-3)]
    push_seconds: f64,
    /// Seconds of the server for an update
    #[arg(long, value_name = "SECONDS", default_value_t = 1e-3)]
    update_seconds: f64,
    /// How likely a worker dies in a clock, and the seconds until it is there again, as 0.001:30
    #[arg(long, value_name = "P:SECONDS")]
    crashes: Option<String>,
    /// What delays and crashes are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Rows over all workers [default: the recipe's epochs]
    #[arg(long)]
    rows: Option<u64>,
    /// Seconds of virtual time after which a run ends
    #[arg(long)]
    seconds: Option<f64>,
    /// The loss whose time is told
    #[arg(long, value_name = "LOSS")]
    target: Option<f64>,
    /// Write the table here too, as CSV
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Draw the losses over time
    #[cfg(feature = "plot")]
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// A run and what came of it.
struct Row {
    workers: usize,
    mode: Mode,
    out: Simulated,
}

pub fn run(flags: &Flags) -> Result<()> {
    let recipe = recipe::read(&flags.recipe, false)?;
    let modes: Vec<Mode> = flags.modes.iter().map(|m| Ok(m.parse()?)).collect::<Result<_>>()?;
    let registry = Registry::new().with_source(&recipe.data.source)?;
    let mut rows = vec![];
    println!("{}", heads().join("  "));
    for &workers in &flags.workers {
        for &mode in &modes {
            let out = flags.simulation(workers, mode)?.run(&recipe, &registry).with_context(|| format!("{workers} workers, {mode}"))?;
            rows.push(Row { workers, mode, out });
            println!("{}", cells(&rows[rows.len() - 1]).join("  "));
        }
    }
    if let Some(path) = &flags.csv {
        let lines =
            std::iter::once(heads()).chain(rows.iter().map(cells)).map(|r| r.iter().map(|c| c.trim()).collect::<Vec<_>>().join(","));
        std::fs::write(path, lines.collect::<Vec<_>>().join("\n") + "\n").with_context(|| format!("could not write {}", path.display()))?;
    }
    #[cfg(feature = "plot")]
    if let Some(path) = &flags.plot {
        figure(&rows, &flags.workers).save(path)?;
    }
    Ok(())
}

impl Flags {
    fn simulation(&self, workers: usize, mode: Mode) -> Result<Simulation> {
        let link = Link { latency: self.latency, bandwidth: self.bandwidth };
        let server_link = Link { latency: 0.0, bandwidth: self.server_bandwidth.unwrap_or(self.bandwidth) };
        let cost = ServerCost { push: self.push_seconds, update: self.update_seconds };
        let mut s = Simulation::new(workers, mode).compute(self.compute.parse::<Delay>()?).link(link).server_link(server_link);
        s = s.server(cost).seed(self.seed).damped(self.damped && !mode.gathers());
        if self.diloco && mode.is_local() {
            s = s.outer(Outer::diloco());
        }
        if let Some(text) = &self.crashes {
            let numbers = text.split_once(':').and_then(|(p, seconds)| Some((p.parse().ok()?, seconds.parse().ok()?)));
            let (probability, restart) =
                numbers.with_context(|| format!("--crashes {text}: give a probability and seconds, as 0.001:30"))?;
            s = s.crashes(Crashes { probability, restart });
        }
        (s.rows, s.seconds, s.target) = (self.rows, self.seconds, self.target);
        Ok(s)
    }
}

fn heads() -> Vec<String> {
    let names = [
        "workers",
        "mode          ",
        " seconds",
        " updates",
        "  loss",
        "to target",
        "ahead",
        "  age",
        "MB/link",
        "  in",
        " out",
        " cpu",
        "busy",
    ];
    names.map(String::from).to_vec()
}

fn cells(row: &Row) -> Vec<String> {
    let Row { workers, mode, out } = row;
    let last = out.curve.last().map_or(f64::NAN, |c| c.1);
    let loss = if out.diverged { format!("{:>6}", "none") } else { format!("{last:>6.4}") };
    let percent = |share: f64| format!("{:>3.0}%", 100.0 * share);
    vec![
        format!("{workers:>7}"),
        format!("{mode:<14}"),
        format!("{:>8.2}", out.seconds),
        format!("{:>8}", out.updates),
        loss,
        out.reached.map_or(format!("{:>9}", "-"), |t| format!("{t:>9.2}")),
        format!("{:>5}", out.greatest_staleness),
        format!("{:>5.1}", out.mean_age),
        format!("{:>7.1}", out.link_bytes / 1e6),
        percent(out.ingress),
        percent(out.egress),
        percent(out.processor),
        percent(out.computing),
    ]
}

/// The losses over time, a panel for each number of workers.
#[cfg(feature = "plot")]
fn figure(rows: &[Row], workers: &[usize]) -> gradus::train::plot::Figure {
    use gradus::train::plot::{Figure, Panel};
    workers.iter().fold(Figure::new(), |figure, n| {
        let panel = Panel::new(format!("{n} workers: loss over seconds")).x_label("seconds").log_y(true);
        let lines = rows.iter().filter(|r| r.workers == *n);
        figure.panel(lines.fold(panel, |panel, r| panel.line(r.mode.to_string(), r.out.curve.iter().copied())))
    })
}
