//! What a run says: the banner on stderr, the outcome on stdout and in a JSON file.

use crate::digits::{Digits, REAL_DATA};
use crate::log::Log;
use crate::recipe::describe;
use anyhow::{Context, Result};
use gradus::plan::Program;
use gradus::prelude::{Dataset, Device, Model};
use gradus::train::{LoadReport, Recipe};
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Prints to stdout. A reader who has seen enough (`| head`) is no fault.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e).context("could not write to stdout"),
        _ => Ok(()),
    }
}

/// 0; 2 where a flag or a recipe is at fault; else 1. An error's text goes to stderr.
pub fn exit(outcome: Result<()>) -> ExitCode {
    let Err(e) = outcome else { return ExitCode::SUCCESS };
    let (text, code) = match e.downcast_ref::<gradus::Error>() {
        Some(e) => (e.to_string(), e.code()),
        None => (format!("{e:#}"), ""),
    };
    tell(&format!("error: {text}"));
    ExitCode::from(if matches!(code, "unknown-choice" | "invalid-config" | "bad-recipe") { 2 } else { 1 })
}

/// The banner, as it grows, and the last words.
pub struct Report {
    started: Instant,
}

/// A line on stderr. Where nobody reads it (`2>&1 | head -1`) or the disk behind it is full the run goes on. Names out of files drive no terminal.
pub fn tell(text: &str) {
    let escaped = |c: char| if c.is_control() && c != '\n' { c.escape_debug().to_string() } else { c.to_string() };
    let text: String = text.chars().map(escaped).collect();
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn line(what: &str, value: &str, more: &str) {
    tell(format!("{what:<8} {value:<29}  {more}").trim_end());
}

impl Report {
    pub fn begin(started: Instant, device: &Device) -> Self {
        tell(&format!("gradus {}", env!("CARGO_PKG_VERSION")));
        tell(&device.announcement());
        Report { started }
    }

    pub fn data(&self, d: &Digits) {
        let name = if d.train.name() == "mnist" { "MNIST" } else { d.train.name() };
        let images = format!("{name}, {} + {} images", group(d.train.len()), group(d.test.len()));
        line("data", &images, &d.whence);
        if d.is_synthetic() {
            line("", &format!("for real data: {REAL_DATA}"), "(DIR: MNIST's four files; or try again with a network)");
        }
    }

    pub fn weights(&self, file: &Path, seen: &LoadReport) {
        line("weights", &seen.to_string(), &file.display().to_string());
    }

    pub fn model(&self, r: &Recipe, model: &Model, step: &Program) {
        let parameters = group(model.parameter_count());
        let mib = model.device_bytes() as f64 / f64::from(1 << 20);
        line("model", &describe(r), &format!("{parameters} parameters, {} launches a step, {mib:.1} MiB in all", step.launches.len()));
    }

    pub fn end(&self, r: &Recipe, model: &Model, step: &Program, train: &Dataset, log: &Log, file: Option<&Path>) -> Result<()> {
        let epochs = log.test_loss.len();
        let steps = log.losses.as_ref().map_or(epochs * train.len().div_ceil(r.fit.batch_size), Vec::len);
        let ms = log.seconds * 1e3 / steps as f64;
        let synthetic = train.name() == "synthetic";
        let mut text = String::new();
        for (name, values) in [("accuracy", &log.test_accuracy), ("loss", &log.test_loss)] {
            text += &values.last().map_or(String::new(), |v| format!("test {name} {v:.4}  "));
        }
        if steps > 0 {
            let s = if steps == 1 { "" } else { "s" };
            text += &format!("{} step{s} in {:.1} s, {ms:.3} ms a step", group(steps), log.seconds);
        }
        if synthetic {
            text += &format!("  (synthetic digits; for real data: {REAL_DATA})");
        }
        print(&format!("{}\n", text.trim_end()))?;

        let Some(file) = file else { return Ok(()) };
        let cold = log.warm.map(|t| t.duration_since(self.started).as_secs_f64());
        let mut all = json!({
            "device": model.device().kind(), "adapter": model.device().name(), "data": train.name(), "model": describe(r),
            "seed": r.seeds.all, "precision": r.compile.precision.to_string(), "batch_size": r.fit.batch_size, "epochs": epochs, "steps": steps,
            "ms_per_step": ms, "cold_start_s": cold, "launches_per_step": step.launches.len(), "peak_device_bytes": model.device_bytes(),
            "train_loss": log.train_loss, "train_accuracy": log.train_accuracy,
            "test_loss": log.test_loss, "test_accuracy": log.test_accuracy,
        });
        if let Some(losses) = &log.losses {
            all["loss_per_step"] = json!(losses);
        }
        if synthetic {
            all["real_data"] = json!(REAL_DATA);
        }
        std::fs::write(file, format!("{all}\n")).with_context(|| format!("could not write {}", file.display()))
    }
}

/// `1234567` as `1,234,567`.
fn group(n: usize) -> String {
    let digits = n.to_string();
    let head = (digits.len() - 1) % 3 + 1;
    let parts = (head..digits.len()).step_by(3).map(|i| &digits[i..i + 3]);
    std::iter::once(&digits[..head]).chain(parts).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands() {
        assert_eq!([0, 12, 999, 1000, 52_650, 1_234_567].map(super::group).join(" "), "0 12 999 1,000 52,650 1,234,567");
    }
}
