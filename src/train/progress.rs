//! The one thing that the library prints: the progress of `fit`, on stderr.

use super::{Evaluation, Fit};
use crate::plan::human_count;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 20;
/// Shortest time between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(100);

pub(super) fn validation_text(e: &Evaluation) -> String {
    e.iter().map(|(n, v)| format!("  val_{n} {v:.4}")).collect()
}

/// A line for each epoch; on a terminal it moves.
pub(super) struct Bar {
    on: bool,
    moves: bool,
    color: bool,
    epochs: usize,
    epoch: usize,
    source: String,
    began: Instant,
    drawn: Instant,
}

impl Bar {
    pub fn new(fit: &Fit, data: &str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        // whoever trains on made-up data should see so in every line
        let source = if data == "synthetic" { "  (synthetic)".to_string() } else { String::new() };
        let now = Instant::now();
        Bar {
            on: fit.verbose > 0,
            moves: terminal,
            color: terminal && !plain,
            epochs: fit.epochs,
            epoch: 0,
            source,
            began: now,
            drawn: now,
        }
    }

    pub fn begin(&mut self, epoch: usize) {
        self.epoch = epoch;
        self.began = Instant::now();
        self.drawn = self.began;
    }

    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn head(&self, share: f64) -> String {
        let full = (share * WIDTH as f64).round() as usize;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(WIDTH - full.min(WIDTH)));
        let bar = if self.color { format!("\x1b[32m{bar}\x1b[0m") } else { bar };
        let digits = self.epochs.to_string().len().max(2);
        format!("epoch {:>digits$}/{:<digits$} {bar}", self.epoch, self.epochs)
    }

    pub fn draw(&mut self, done: usize, steps: usize, values: impl FnOnce() -> String, rows: usize) {
        if !self.on || !self.moves || self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        let (share, seconds) = (done as f64 / steps as f64, self.seconds());
        let left = seconds / share.max(1e-9) - seconds;
        let rate = human_count((rows as f64 / seconds.max(1e-9)) as u64);
        self.write(&format!("\r\x1b[2K{}  {}  {rate} samples/s  {left:.0} s left{}", self.head(share), values(), self.source));
    }

    pub fn end(&self, values: &str, rows: usize, seconds: f64) {
        if self.on {
            let rate = human_count((rows as f64 / seconds.max(1e-9)) as u64);
            let back = if self.moves { "\r\x1b[2K" } else { "" };
            self.write(&format!("{back}{}  {values}  {rate} samples/s  {seconds:.1} s{}\n", self.head(1.0), self.source));
        }
    }

    /// A closed stderr is no reason to stop training.
    fn write(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}
