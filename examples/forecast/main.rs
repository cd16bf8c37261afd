//! What comes next in a series: `cargo run --release --example forecast`, and with `-- --help` after it the flags.
//!
//! ETTh1 (Zhou et al., "Informer", AAAI 2021) is two years of an electricity transformer, hour by hour: six loads and the temperature of its oil. From 336 hours of all
//! seven the next 96 are forecast, by three models (`models.rs`). It is cut as every paper cuts it, 12, 4 and 4 months in the order of time; scales come from the first
//! part, training stops by the second, and errors are told on the third, of standardised values.
//!
//! Where the file is not at hand a series is drawn from the seed, and every line says so.

mod models;
mod picture;
mod series;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use gradus::prelude::*;
use models::{Kind, Settings, Trained};
use series::{Found, Parts, parts};
use std::fmt::Write;
use std::io::Write as _;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(about = "Forecasts a series: the last value repeated, a linear map, a small network")]
#[command(override_usage = "cargo run --release --example forecast -- [FLAGS]")]
struct Flags {
    /// A CSV file with a line for each time: numbers, and dates in a column `date`; or `synthetic` [default: timeseries/ETTh1.csv in
    /// $GRADUS_DATA, else synthetic]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    data: Option<String>,
    /// Times of the training, the validation and the test part
    #[arg(long, value_name = "N,N,N", value_delimiter = ',', default_values_t = series::MONTHS)]
    split: Vec<usize>,
    /// Times that the models see
    #[arg(long, value_name = "TIMES", default_value_t = 336)]
    input: usize,
    /// Times that they forecast
    #[arg(long, value_name = "TIMES", default_value_t = 96)]
    horizon: usize,
    /// Which models
    #[arg(long, value_name = "NAME,..", value_enum, value_delimiter = ',', default_value = "repeat,linear,mlp")]
    models: Vec<Kind>,
    /// Runs of each model that is trained, from seed 0 on
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// At most so many passes over the training part
    #[arg(long, value_name = "N", default_value_t = 10)]
    epochs: usize,
    /// Epochs without a lower validation loss after which training stops
    #[arg(long, value_name = "EPOCHS", default_value_t = 5)]
    patience: usize,
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Learning rate of the first epoch, halved after each [default: linear 0.005, mlp 0.001]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Draw forecasts of the test part beside what came (.svg or .png); needs `--features plot`
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The variable that is drawn [default: the last]
    #[arg(long, value_name = "NAME", requires = "plot")]
    variable: Option<String>,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
}

/// Every model, from every seed; what needs no training, once.
fn run(flags: &Flags, parts: &Parts, device: &Device, mut told: impl FnMut(&Trained)) -> Result<Vec<Trained>> {
    let settings = Settings {
        input: flags.input,
        horizon: flags.horizon,
        epochs: flags.epochs,
        patience: flags.patience,
        batch_size: flags.batch_size,
        lr: flags.lr,
    };
    let mut all = Vec::new();
    for kind in &flags.models {
        for seed in 0..if *kind == Kind::Repeat { 1 } else { flags.seeds } {
            let trained = models::train(*kind, &settings, parts, device, seed)?;
            told(&trained);
            all.push(trained);
        }
    }
    Ok(all)
}

fn head(found: &Found, parts: &Parts, device: &Device) -> String {
    let (x, rows) = (parts.train.input_shape().dims(), [&parts.train, &parts.val, &parts.test].map(Dataset::len));
    let mut t = format!("{}: {} times of {} variables, {}\n", found.name, found.series.len(), found.series.variables(), found.whence);
    let _ = writeln!(t, "windows of {} times: {} to train, {} to validate, {} to test; on {device}\n", x[0], rows[0], rows[1], rows[2]);
    let _ =
        write!(t, "{:<8} {:>4} {:>10} {:>8} {:>9} {:>9} {:>8}", "model", "seed", "best epoch", "val MSE", "test MSE", "test MAE", "time");
    t
}

fn line(t: &Trained, found: &Found) -> String {
    let (seed, epoch) = match t.epoch {
        Some((best, ran)) => (t.seed.to_string(), format!("{best} of {ran}")),
        None => ("-".into(), "-".into()),
    };
    let told = format!("{:<8} {seed:>4} {epoch:>10} {:>8.4} {:>9.4} {:>9.4} {:>6.1} s", t.kind.name(), t.val_mse, t.mse, t.mae, t.seconds);
    if found.synthetic { told + "  (synthetic)" } else { told }
}

/// Prints a line. A reader who has seen enough (`| head`) is no fault.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let Ok(split) = <[usize; 3]>::try_from(flags.split.clone()) else {
        bail!("--split: give three numbers of times, as 8640,2880,2880");
    };
    ensure!(flags.seeds > 0, "--seeds: give 1 or more");
    if let Some(file) = &flags.plot {
        picture::check(file)?;
    }
    let found = series::find(flags.data.as_deref())?;
    let variable = match &flags.variable {
        None => found.series.variables() - 1,
        Some(name) => match found.series.names().iter().position(|n| n == name) {
            Some(variable) => variable,
            None => bail!("--variable {name}: there are {}", found.series.names().join(", ")),
        },
    };
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let parts = parts(&found, (flags.input, flags.horizon), split)?;
    show(&head(&found, &parts, &device));
    let all = run(&flags, &parts, &device, |t| show(&line(t, &found)))?;
    match &flags.plot {
        Some(file) => picture::draw(&all, &parts.test, (variable, &found.series.names()[variable]), file),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: &str = "--split 1400,300,300 --input 72 --horizon 24 --seeds 2 --epochs 4 --device cpu";

    fn brief(seed: u64) -> (Flags, Found, Parts) {
        let flags = Flags::try_parse_from(std::iter::once("forecast").chain(BRIEF.split_whitespace())).unwrap();
        let found = series::synthetic(seed, 2000, "for a test".into()).unwrap();
        let parts = parts(&found, (flags.input, flags.horizon), [1400, 300, 300]).unwrap();
        (flags, found, parts)
    }

    /// What can be known of the series is learnt, what cannot is not, and a seed gives the same bits again.
    #[test]
    fn a_synthetic_series_is_forecast() {
        let (flags, found, parts) = brief(0);
        let all = run(&flags, &parts, &Device::cpu(), |_| {}).unwrap();
        all.iter().for_each(|t| println!("{}", line(t, &found)));
        let mse = |kind: Kind, seed: u64| all.iter().find(|t| t.kind == kind && t.seed == seed).unwrap().mse;
        for seed in 0..2 {
            for kind in [Kind::Linear, Kind::Mlp] {
                assert!(mse(kind, seed) < 0.5 * mse(Kind::Repeat, 0), "{} seed {seed}: {}", kind.name(), mse(kind, seed));
                assert!(mse(kind, seed) > 0.02, "{} seed {seed}: {}: it knows the noise", kind.name(), mse(kind, seed));
            }
        }
        let again = run(&flags, &parts, &Device::cpu(), |_| {}).unwrap();
        assert!(all.iter().zip(&again).all(|(a, b)| (a.mse, a.mae, a.epoch) == (b.mse, b.mae, b.epoch)));
        assert!(mse(Kind::Linear, 0) != mse(Kind::Linear, 1));
    }

    /// The last value repeated, by hand on the values as they were.
    #[test]
    fn repeating_is_what_it_says() {
        let (flags, found, parts) = brief(3);
        let repeat = Flags { models: vec![Kind::Repeat], ..flags };
        let seen = run(&repeat, &parts, &Device::cpu(), |_| {}).unwrap().remove(0);
        let (n, values) = (found.series.variables(), found.series.values());
        let of = |v: usize, times: std::ops::Range<usize>| times.map(move |t| f64::from(values[t * n + v]));
        let (mut squares, mut sizes, mut count) = (0.0, 0.0, 0.0);
        for v in 0..n {
            let mean = of(v, 0..1400).sum::<f64>() / 1400.0;
            let deviation = (of(v, 0..1400).map(|x| (x - mean).powi(2)).sum::<f64>() / 1400.0).sqrt();
            for first in 1700..=2000 - 24 {
                let last = f64::from(values[(first - 1) * n + v]);
                for e in of(v, first..first + 24).map(|x| (x - last) / deviation) {
                    (squares, sizes, count) = (squares + e * e, sizes + e.abs(), count + 1.0);
                }
            }
        }
        assert!((seen.mse - squares / count).abs() < 1e-4 * seen.mse, "{} {}", seen.mse, squares / count);
        assert!((seen.mae - sizes / count).abs() < 1e-4 * seen.mae, "{} {}", seen.mae, sizes / count);
    }

    /// What would fail after hours is told before.
    #[test]
    fn pictures_that_cannot_be_drawn() {
        let told = |file: &str| picture::check(std::path::Path::new(file)).map_err(|e| e.to_string());
        assert!(told("forecast.gif").unwrap_err().contains(".svg or .png"));
        assert_eq!(told("forecast.svg").is_ok(), cfg!(feature = "plot"));
    }
}
