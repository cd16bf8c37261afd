//! The curves of a history, behind the feature `plot`.

use super::history::History;
use crate::error::Result;
use crate::inspect::plot::{Figure, Panel};
use std::path::Path;

impl History {
    /// Draws every column over the epochs, one panel for each with its `val_` beside it, in the format of the file's ending: `.svg` or `.png`.
    ///
    /// Fails for another ending, for a history without a finite value, and where the file cannot be written.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<()> {
        self.figure().save(path)
    }

    /// The figure that [`History::plot`] draws, to add panels to.
    pub fn figure(&self) -> Figure {
        let points = |name: &str| -> Vec<(f64, f64)> { self.get(name).iter().enumerate().map(|(i, y)| (i as f64 + 1.0, *y)).collect() };
        let mut figure = Figure::new();
        for name in self.names() {
            let of = name.strip_prefix("val_").filter(|n| !self.get(n).is_empty());
            if of.is_some() {
                continue; // in the panel of its column
            }
            let mut panel = Panel::new(name).x_label("epoch").line(name, points(name));
            let validation = format!("val_{name}");
            if !self.get(&validation).is_empty() {
                panel = panel.line(validation.as_str(), points(&validation));
            }
            figure = figure.panel(panel);
        }
        figure
    }
}
