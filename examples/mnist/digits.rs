//! The search for data, and the digits that stand in where there is none.

use gradus::data::{self, DownloadProgress, MnistOptions};
use gradus::prelude::Dataset;
use gradus::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How many digits to draw: enough for well above 90 % after an epoch or two, drawn in a second.
const SYNTHETIC: (usize, usize) = (20_000, 4_000);

/// What to do for real data.
pub const REAL_DATA: &str = "cargo run --release --example mnist -- --data DIR";

/// Data to train on, and what is to say of it.
pub struct Digits {
    pub train: Dataset,
    pub test: Dataset,
    /// Where it lies; for synthetic digits, why they are not real.
    pub whence: String,
}

impl Digits {
    pub fn is_synthetic(&self) -> bool {
        self.train.name() == "synthetic"
    }
}

/// What a recipe names: `mnist`, `synthetic` or a folder. Where MNIST cannot be had, synthetic digits.
pub fn find(source: &str, network: bool) -> Result<Digits> {
    if source == "synthetic" {
        return synthetic("as asked for".into());
    }
    let bar = ProgressBar::new_spinner().with_message("looking for the data");
    bar.enable_steady_tick(Duration::from_millis(100));
    let shown = bar.clone();
    let options = MnistOptions::default().offline(!network).progress(move |p| show(&shown, &p));
    let found = data::mnist_with(&if source == "mnist" { options } else { options.dir(source) });
    bar.finish_and_clear();
    match found {
        Ok(f) => {
            let whence = if f.checked { format!("{} (checked by SHA-256)", f.whence) } else { f.whence };
            Ok(Digits { train: f.train, test: f.test, whence })
        }
        Err(Error::DataNotFound { problem, .. } | Error::Download { problem, .. }) if source == "mnist" => {
            synthetic(format!("MNIST is not here: {problem}"))
        }
        Err(e) => Err(e),
    }
}

fn synthetic(whence: String) -> Result<Digits> {
    let (train, test) = data::synthetic_digits(0, SYNTHETIC.0, SYNTHETIC.1)?;
    Ok(Digits { train, test, whence })
}

fn show(bar: &ProgressBar, p: &DownloadProgress) {
    if bar.length().is_none() {
        let style = ProgressStyle::with_template("{msg}  {bar:20}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█░"));
    }
    bar.set_message(format!("fetching {}", p.file));
    bar.set_length(p.total);
    bar.set_position(p.received);
}
