//! The series: ETTh1, a file of one's own, or one that is drawn.

use anyhow::{Context, Result};
use gradus::data::{self, Csv, Series, Windows};
use gradus::prelude::{Dataset, HostTensor};
use gradus::rng::Philox;
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

/// Hours of 12, 4 and 4 months of 30 days: how every paper cuts ETTh1. What is behind them is not used.
pub const MONTHS: [usize; 3] = [8640, 2880, 2880];

pub struct Found {
    pub series: Series,
    pub name: String,
    /// Where it lies; of one that is drawn, why.
    pub whence: String,
    pub synthetic: bool,
}

/// A file, `synthetic`, or ETTh1 where it is at hand.
pub fn find(data: Option<&str>) -> Result<Found> {
    match data {
        Some("synthetic") => synthetic(0, MONTHS.iter().sum(), "as asked for".into()),
        Some(file) => read(Path::new(file)),
        None => {
            let Some(folder) = std::env::var_os("GRADUS_DATA") else {
                return synthetic(0, MONTHS.iter().sum(), "as GRADUS_DATA is not set".into());
            };
            let file = PathBuf::from(folder).join("timeseries/ETTh1.csv");
            if file.exists() { read(&file) } else { synthetic(0, MONTHS.iter().sum(), format!("as there is no {}", file.display())) }
        }
    }
}

fn read(file: &Path) -> Result<Found> {
    // the dates are no variable. What they know of a time could go in beside the values: `Series::calendar`
    let series = Csv::new().drop("date").read(file)?.series().with_context(|| format!("in {}", file.display()))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Found { series, name, whence: format!("from {}", file.display()), synthetic: false })
}

/// Seven variables, hour by hour: a day and a week of its own shape each, a level that wanders, and noise. The first three can be learnt, the noise and where the level
/// goes cannot. It is no substitute for ETTh1: errors on it say nothing of those.
pub fn synthetic(seed: u64, times: usize, why: String) -> Result<Found> {
    const VARIABLES: usize = 7;
    let mut values = vec![0.0; times * VARIABLES];
    for v in 0..VARIABLES {
        let mut draw = Philox::new(seed, &format!("forecast.{v}"));
        // period in hours, height, phase
        let waves = [24.0, 12.0, 168.0].map(|period| (period, 0.5 + draw.uniform(), TAU * draw.uniform()));
        let mut level = 0.0;
        for t in 0..times {
            level = 0.998 * level + 0.03 * draw.normal();
            let wave: f64 = waves.iter().map(|(period, height, phase)| height * (TAU * t as f64 / period + phase).sin()).sum();
            values[t * VARIABLES + v] = (10.0 + 3.0 * (wave + level + 0.3 * draw.normal())) as f32;
        }
    }
    let series = data::series(HostTensor::f32([times, VARIABLES], values)?)?;
    Ok(Found { series, name: "synthetic".into(), whence: format!("drawn, {why}"), synthetic: true })
}

/// The windows of the three parts.
pub struct Parts {
    pub train: Dataset,
    pub val: Dataset,
    pub test: Dataset,
}

pub fn parts(found: &Found, (input, horizon): (usize, usize), split: [usize; 3]) -> gradus::Result<Parts> {
    // the scale is that of the first part: what comes later is not known when it ends
    let series = found.series.clone().standardize(0..split[0])?;
    let [train, val, test] = series.split(split)?;
    let windows = |part: Series| part.windows(Windows::new(input, horizon));
    Ok(Parts { train: windows(train)?, val: windows(val)?, test: windows(test)? })
}
