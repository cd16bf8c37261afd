//! `--plot`: what training showed as a picture.

use crate::log::Log;
use anyhow::{Result, ensure};
use std::path::Path;

/// Whether this program can draw into such a file: told before the training, not after it.
pub fn check(file: &Path) -> Result<()> {
    let ending = file.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    ensure!(["svg", "png"].contains(&ending.as_str()), "--plot {}: the ending says the format, .svg or .png", file.display());
    ensure!(
        cfg!(feature = "plot"),
        "--plot needs the feature: cargo run --release --features plot --example mnist -- --plot {}",
        file.display()
    );
    Ok(())
}

/// Loss and accuracy over the epochs, of training and test; the loss of every step too, where steps were counted.
#[cfg(feature = "plot")]
pub fn draw(log: &Log, file: &Path) -> Result<()> {
    use gradus::train::plot::{Figure, Panel};
    let epochs = |v: &[f64]| v.iter().enumerate().map(|(i, y)| (i as f64 + 1.0, *y)).collect::<Vec<_>>();
    let panel = |what: &str, train: &[f64], test: &[f64]| {
        Panel::new(what).x_label("epoch").line("training", epochs(train)).line("test", epochs(test))
    };
    let mut figure = Figure::new().panel(panel("loss", &log.train_loss, &log.test_loss)).panel(panel(
        "accuracy",
        &log.train_accuracy,
        &log.test_accuracy,
    ));
    if let Some(losses) = log.losses.as_ref().filter(|l| !l.is_empty()) {
        let points = losses.iter().enumerate().map(|(i, y)| (i as f64 + 1.0, f64::from(*y)));
        figure = figure.panel(Panel::new("loss of each step").x_label("step").line("loss", points));
    }
    Ok(figure.save(file)?)
}

#[cfg(not(feature = "plot"))]
pub fn draw(_: &Log, file: &Path) -> Result<()> {
    check(file)
}
