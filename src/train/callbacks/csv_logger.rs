//! A table with a line for each epoch.

use super::callback::Callback;
use super::kind::{CallbackSettings, parsed};
use super::log_file::{LogFile, one_log_file};
use super::logs::Logs;
use crate::error::{Faults, Result};
use crate::train::Trainer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A table with a line for each epoch: Keras' `CSVLogger`. The columns are `epoch` (from 1) and the names of the logs, in alphabetical order.
///
/// A run that goes on from a checkpoint takes the file back to where it was there, and adds to it.
///
/// ```
/// use gradus::train::callbacks::CsvLogger;
/// let table = CsvLogger::new("run.csv").separator(';');
/// assert!(!table.append);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct CsvLogger {
    /// The file.
    pub path: PathBuf,
    /// Between two values; a comma.
    #[serde(default = "comma")]
    pub separator: char,
    /// Whether a new run adds to a file that is there; it starts it anew.
    #[serde(default)]
    pub append: bool,
}

fn comma() -> char {
    ','
}

impl CsvLogger {
    /// To this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CsvLogger { path: path.into(), separator: ',', append: false }
    }
    /// Between two values.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }
    /// Whether a new run adds to a file that is there.
    pub fn append(mut self, append: bool) -> Self {
        self.append = append;
        self
    }
}

impl CallbackSettings for CsvLogger {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(Running::new(self.clone()))
    }

    fn check(&self, f: &mut Faults, key: &str) {
        f.check(self.path.file_name().is_some(), &format!("{key}.path"), "names no file", "name a file");
        let ok = !self.separator.is_ascii_digit() && !"\n\r\"+-.".contains(self.separator);
        f.check(ok, &format!("{key}.separator"), format!("{:?}", self.separator), "give a comma, a semicolon or a tab");
    }

    fn check_state(&self, state: &Value) -> Result<()> {
        parsed::<u64>("csv_logger", state).map(drop)
    }

    one_log_file!();
}

pub(super) struct Running {
    set: CsvLogger,
    file: Option<LogFile>,
    /// The columns after `epoch`, once they are known.
    columns: Vec<String>,
}

impl Running {
    pub fn new(set: CsvLogger) -> Self {
        Running { set, file: None, columns: vec![] }
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let quoted = |c: String| {
            if c.contains([self.set.separator, '"', '\n']) { format!("\"{}\"", c.replace('"', "\"\"")) } else { c }
        };
        cells.map(quoted).collect::<Vec<_>>().join(&self.set.separator.to_string()) + "\n"
    }
}

impl Callback for Running {
    fn on_train_begin(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        self.file = Some(LogFile::open(&self.set.path, self.set.append || run.is_resumed())?);
        Ok(())
    }

    fn on_epoch_end(&mut self, _: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        let mut text = String::new();
        if self.columns.is_empty() {
            self.columns = logs.iter().map(|(n, _)| n.to_string()).collect();
            self.columns.sort();
            if self.file.as_ref().is_some_and(|f| f.bytes() == 0) {
                text += &self.line(std::iter::once("epoch".to_string()).chain(self.columns.iter().cloned()));
            }
        }
        let value = |n: &String| logs.get(n).map_or(String::new(), |v| v.to_string());
        text += &self.line(std::iter::once(logs.epoch.to_string()).chain(self.columns.iter().map(value)));
        self.file.as_mut().map_or(Ok(()), |f| f.write(text.as_bytes()))
    }

    fn state(&self) -> Value {
        json!(self.file.as_ref().map_or(0, LogFile::bytes))
    }

    fn restore(&mut self, _: &mut Trainer<'_>, state: &Value) -> Result<()> {
        let bytes = parsed("csv_logger", state)?;
        self.file.as_mut().map_or(Ok(()), |f| f.back_to(bytes))
    }
}
