//! `--plot`: forecasts beside what came.

use crate::models::Trained;
use anyhow::{Result, ensure};
use gradus::prelude::Dataset;
use std::path::Path;

/// Whether this program can draw into such a file: told before the training, not after it.
pub fn check(file: &Path) -> Result<()> {
    let ending = file.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    ensure!(["svg", "png"].contains(&ending.as_str()), "--plot {}: the ending says the format, .svg or .png", file.display());
    ensure!(
        cfg!(feature = "plot"),
        "--plot needs the feature: cargo run --release --features plot --example forecast -- --plot {}",
        file.display()
    );
    Ok(())
}

/// Four windows of the test part, evenly spread: what came before, what came, and what each model's first seed said, in the data's own units.
#[cfg(feature = "plot")]
pub fn draw(all: &[Trained], test: &Dataset, (variable, name): (usize, &str), file: &Path) -> Result<()> {
    use gradus::train::plot::{Figure, Panel};
    const WINDOWS: usize = 4;
    let variables = test.input_shape().dims()[1];
    let mut figure = Figure::new();
    for window in 0..WINDOWS {
        let at = window * (test.len() - 1) / (WINDOWS - 1);
        let one = test.select(at..at + 1)?;
        let of = |values: &[f32]| values.iter().skip(variable).step_by(variables).map(|v| f64::from(*v)).collect::<Vec<_>>();
        // stored as they came: no scale to take back
        let (seen, came) = (stored(&one, "x").map(of).unwrap_or_default(), stored(&one, "y").map(of).unwrap_or_default());
        let seen = &seen[seen.len().saturating_sub(came.len())..];
        let truth = seen.iter().chain(&came).enumerate().map(|(i, v)| (i as f64 - seen.len() as f64, *v));
        let mut panel =
            Panel::new(format!("{name}, window {at} of the test part")).x_label("time from the forecast on").line("truth", truth);
        for t in all.iter().filter(|t| t.seed == 0) {
            let said = t.model.predict(&one, 1)?;
            let mut said = said.as_f32().unwrap_or_default().to_vec();
            test.denormalize("y", &mut said)?;
            panel = panel.line(t.kind.name(), of(&said).into_iter().enumerate().map(|(i, v)| (i as f64, v)));
        }
        figure = figure.panel(panel);
    }
    Ok(figure.save(file)?)
}

#[cfg(feature = "plot")]
fn stored<'a>(set: &'a Dataset, field: &str) -> Option<&'a [f32]> {
    set.values(field).and_then(|v| v.as_f32())
}

#[cfg(not(feature = "plot"))]
pub fn draw(_: &[Trained], _: &Dataset, _: (usize, &str), file: &Path) -> Result<()> {
    check(file)
}
