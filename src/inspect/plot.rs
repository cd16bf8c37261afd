//! Curves as SVG and PNG, behind the feature `plot`: [`History::plot`](crate::train::History::plot), and [`Figure`] for numbers of one's own.
//!
//! Drawn through plotters' back ends. A PNG brings its own letters, so that no font of the machine is needed; a reader of an SVG has fonts.

mod axes;
mod canvas;
mod draw;
mod font;
mod sheet;

use crate::disk;
use crate::error::{Error, Result};
use plotters_svg::SVGBackend;
use std::path::Path;

/// Panels side by side, two to a row, in one picture.
///
/// ```no_run
/// use gradus::train::plot::{Figure, Panel};
/// let rates = (0..100).map(|t| (f64::from(t), 0.9f64.powi(t)));
/// Figure::new().panel(Panel::new("learning rate").x_label("update").log_y(true).line("rate", rates)).save("rate.svg")?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct Figure {
    pub(self) panels: Vec<Panel>,
}

/// One pair of axes with lines.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Panel {
    title: String,
    x_label: String,
    log_y: bool,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Figure {
    /// No panels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a panel.
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// Writes the picture, in the format of the file's ending: `.svg` or `.png`.
    ///
    /// Fails for another ending, for a figure without a value that can be drawn, and where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let bytes = match ending.as_str() {
            "svg" => self.svg()?.into_bytes(),
            "png" => self.png()?,
            _ => return Err(Error::unknown_choice("ending of a picture", &path.display().to_string(), &[".svg", ".png"])),
        };
        disk::replace(path, &[&bytes[..]], true).map_err(|e| Error::io("write", path, e))
    }

    fn svg(&self) -> Result<String> {
        let mut text = String::new();
        let mut backend = SVGBackend::with_string(&mut text, self.size());
        self.draw(&mut backend)?;
        drop(backend);
        Ok(text)
    }

    fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.size();
        let mut canvas = canvas::Canvas::new(width, height);
        self.draw(&mut canvas)?;
        canvas.png().map_err(|e| failed(&e))
    }
}

impl Panel {
    /// With this heading and no lines.
    pub fn new(title: impl Into<String>) -> Self {
        Panel { title: title.into(), x_label: String::new(), log_y: false, lines: vec![] }
    }
    /// What the horizontal axis counts.
    pub fn x_label(mut self, label: impl Into<String>) -> Self {
        self.x_label = label.into();
        self
    }
    /// Whether the vertical axis is logarithmic; values of 0 or below are then left out.
    pub fn log_y(mut self, log_y: bool) -> Self {
        self.log_y = log_y;
        self
    }
    /// Appends a line through points `(x, y)`. It is broken where a value is not finite.
    pub fn line(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.lines.push(Line { name: name.into(), points: points.into_iter().collect() });
        self
    }
}

fn failed(problem: &dyn std::fmt::Display) -> Error {
    Error::Unsupported { what: format!("this picture ({problem})"), at: "the figure".into(), help: "draw fewer panels".into() }
}

#[cfg(test)]
mod tests;
