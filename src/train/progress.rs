//! What `fit` says on stderr: the only text that the library prints.

use super::evaluation::number;
use super::{Evaluation, Fit};
use crate::device::Device;
use crate::plan::human_count;
use crate::terminal::{self, columns_of, cut, plain};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Columns of a bar, and those that it keeps where the terminal is narrow.
const WIDTH: usize = 20;
const NARROW: usize = 5;
/// A run of more epochs has no end in sight: its time ends it.
const MOST_EPOCHS: usize = 1_000_000_000;
/// Shortest time between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(100);

/// What was said already in this process.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn first(text: &str) -> bool {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.into())
}

/// What the first `fit` of a process says: on which device it trains, and whether gradus was built without optimisation.
pub(crate) fn introduce(fit: &Fit, device: &Device) {
    let text = device_text(device);
    if fit.verbose > 0 && first(&text) {
        terminal::say(text);
    }
    if fit.verbose > 0 && env!("GRADUS_OPT_LEVEL") == "0" && first("debug") {
        terminal::say(
            "warning: gradus was built without optimisation and is some 100 times slower: build with `--release`, or put these lines into Cargo.toml:\n\
             [profile.dev.package.\"*\"]\nopt-level = 3",
        );
    }
}

fn device_text(device: &Device) -> String {
    let more = [device.note().to_string(), device.driver()];
    let more: Vec<String> = more.into_iter().filter(|m| !m.is_empty()).collect();
    let text = format!("{:<8} {:<29}  {}", "device", device.name(), more.join(", "));
    text.trim_end().into()
}

impl Device {
    /// The line about this device that the first [`fit`](crate::train::Model::fit) of a process prints, at [`Fit::verbose`] 1 and above:
    /// its name, its driver, and why it is no GPU. `fit` leaves to its caller what this was asked for: for programs with a banner of their
    /// own.
    ///
    /// ```
    /// # use gradus::train::Device;
    /// assert!(Device::cpu().announcement().starts_with("device   CPU"));
    /// ```
    pub fn announcement(&self) -> String {
        let text = device_text(self);
        first(&text);
        text
    }
}

pub(crate) fn validation_text(e: &Evaluation) -> String {
    e.iter().map(|(n, v)| format!("  val_{n} {}", number(v))).collect()
}

/// A line for each epoch; on a terminal it moves.
pub(crate) struct Bar {
    on: bool,
    moves: bool,
    color: bool,
    epochs: usize,
    epoch: usize,
    source: &'static str,
    drawn: Instant,
}

impl Bar {
    /// For a run over a set of this name, of so many epochs.
    pub fn new(fit: &Fit, data: &str, epochs: usize) -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let without = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        // every line says so when the data is made up
        let source = if data == "synthetic" { "  (synthetic)" } else { "" };
        Bar { on: fit.verbose > 0, moves: terminal, color: terminal && !without, epochs, epoch: 0, source, drawn: Instant::now() }
    }

    pub fn begin(&mut self, epoch: usize) {
        self.epoch = epoch;
        self.drawn = Instant::now();
    }

    fn head(&self) -> String {
        if self.epochs > MOST_EPOCHS {
            return format!("epoch {:>2} ", self.epoch);
        }
        let digits = self.epochs.to_string().len().max(2);
        format!("epoch {:>digits$}/{:<digits$} ", self.epoch, self.epochs)
    }

    /// Draws the open epoch, of which this share took so many seconds.
    pub fn draw(&mut self, share: f64, values: impl FnOnce() -> String, rows: usize, seconds: f64) {
        if !self.on || !self.moves || self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        let left = seconds / share.max(1e-9) - seconds;
        let rest = format!("  {}  {}  {left:.0} s left{}", plain(values()), rate(rows, seconds), self.source);
        // a line that fills the last column moves some terminals on
        let line = line(&self.head(), share, &rest, terminal::columns().saturating_sub(1), true);
        terminal::moving(&self.colored(line));
    }

    pub fn end(&self, values: &str, rows: usize, seconds: f64) {
        if self.on {
            let rest = format!("  {}  {}  {seconds:.1} s{}", plain(values), rate(rows, seconds), self.source);
            let columns = if self.moves { terminal::columns() } else { usize::MAX };
            terminal::line(&self.colored(line(&self.head(), 1.0, &rest, columns, false)));
        }
    }

    fn colored(&self, (head, bar, rest): (String, String, String)) -> String {
        if self.color && !bar.is_empty() { format!("{head}\x1b[32m{bar}\x1b[0m{rest}") } else { head + &bar + &rest }
    }
}

fn rate(rows: usize, seconds: f64) -> String {
    format!("{} samples/s", human_count((rows as f64 / seconds.max(1e-9)) as u64))
}

/// A line's three parts for a terminal of so many columns: where there is too little room the bar gives way first; then the end is cut off
/// a line that moves, and any other loses its bar and goes over several rows.
fn line(head: &str, share: f64, rest: &str, columns: usize, moves: bool) -> (String, String, String) {
    let room = columns.saturating_sub(columns_of(head) + columns_of(rest));
    let bar = match moves {
        true => room.clamp(NARROW, WIDTH),
        false if room < NARROW => 0,
        false => room.min(WIDTH),
    };
    let full = ((share * bar as f64).round() as usize).min(bar);
    let (head, drawn) = (cut(head, columns), format!("{}{}", "█".repeat(full), "░".repeat(bar - full)));
    let drawn = cut(&drawn, columns - columns_of(head).min(columns));
    let rest = if moves { cut(rest, columns - (columns_of(head) + columns_of(drawn)).min(columns)) } else { rest };
    let head = if bar == 0 { head.trim_end() } else { head };
    (head.into(), drawn.into(), rest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(rest: &str, columns: usize, moves: bool) -> String {
        let (a, b, c) = line("epoch  1/10 ", 0.5, rest, columns, moves);
        a + &b + &c
    }

    /// However narrow it is, a line that moves has one row; where there is room it is whole.
    #[test]
    fn a_line_keeps_to_its_row() {
        let rest = "  loss 0.3496  accuracy 0.9003  57,916 samples/s  12 s left  (synthetic)";
        for rest in [rest, "  数字 0.5", ""] {
            for columns in 0..200 {
                let text = whole(rest, columns, true);
                assert!(columns_of(&text) <= columns, "{columns}: {text}");
            }
        }
        assert_eq!(whole(rest, 200, true), format!("epoch  1/10 ██████████░░░░░░░░░░{rest}"));
        // the README's first command at 80 columns: the bar gives way, no word does
        let rest = "  loss 0.3496  accuracy 0.9003  57,916 samples/s  12 s left";
        assert_eq!(whole(rest, 79, true), format!("epoch  1/10 ████░░░░{rest}"));
        assert_eq!(whole(rest, 60, true), "epoch  1/10 ███░░  loss 0.3496  accuracy 0.9003  57,916 samp");
    }

    #[test]
    fn the_last_line_of_an_epoch_is_whole() {
        let rest = "  loss 0.3496  val_loss 0.1976";
        assert_eq!(whole(rest, usize::MAX, false), format!("epoch  1/10 ██████████░░░░░░░░░░{rest}"));
        assert_eq!(whole(rest, 50, false), format!("epoch  1/10 ████░░░░{rest}"));
        assert_eq!(whole(rest, 30, false), format!("epoch  1/10{rest}"));
    }
}
