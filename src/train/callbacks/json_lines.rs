//! A JSON object for each epoch.

use super::callback::Callback;
use super::kind::{CallbackSettings, parsed};
use super::log_file::{LogFile, one_log_file};
use super::logs::Logs;
use crate::error::{Faults, Result};
use crate::store::json_floats::Exact;
use crate::train::Trainer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// A JSON object a line: `{"epoch":1,"step":120,"learning_rate":0.001,"loss":0.25,..}` after each epoch, and the same with `"so_far":true` in
/// mid-epoch where that is asked for. What JSON has no number for stands as a text: `"inf"`, `"nan:.."`.
///
/// A run that goes on from a checkpoint takes the file back to where it was there, and adds to it.
///
/// ```
/// use gradus::train::callbacks::JsonLines;
/// let lines = JsonLines::new("run.jsonl").every_steps(100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct JsonLines {
    /// The file.
    pub path: PathBuf,
    /// Whether a new run adds to a file that is there; it starts it anew.
    #[serde(default)]
    pub append: bool,
    /// Steps between two lines in mid-epoch; 0, none.
    #[serde(default)]
    pub every_steps: usize,
}

impl JsonLines {
    /// To this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        JsonLines { path: path.into(), append: false, every_steps: 0 }
    }
    /// Whether a new run adds to a file that is there.
    pub fn append(mut self, append: bool) -> Self {
        self.append = append;
        self
    }
    /// A line every so many steps, too.
    pub fn every_steps(mut self, steps: usize) -> Self {
        self.every_steps = steps;
        self
    }
}

impl CallbackSettings for JsonLines {
    fn start(&self, _: usize) -> Box<dyn Callback> {
        Box::new(Running::new(self.clone()))
    }

    fn check(&self, f: &mut Faults, key: &str) {
        f.check(self.path.file_name().is_some(), &format!("{key}.path"), "names no file", "name a file");
    }

    fn check_state(&self, state: &Value) -> Result<()> {
        parsed::<u64>("json_lines", state).map(drop)
    }

    one_log_file!();
}

pub(super) struct Running {
    set: JsonLines,
    file: Option<LogFile>,
}

impl Running {
    pub fn new(set: JsonLines) -> Self {
        Running { set, file: None }
    }

    fn line(&mut self, logs: &Logs, so_far: bool) -> Result<()> {
        let mut object = Map::new();
        object.insert("epoch".into(), json!(logs.epoch));
        object.insert("step".into(), json!(logs.step));
        object.insert("learning_rate".into(), json!(Exact(logs.learning_rate)));
        object.insert("grad_norm".into(), json!(Exact(logs.grad_norm.into())));
        if so_far {
            object.insert("so_far".into(), json!(true));
        }
        logs.iter().for_each(|(n, v)| drop(object.insert(n.into(), json!(Exact(v)))));
        let line = Value::from(object).to_string() + "\n";
        self.file.as_mut().map_or(Ok(()), |f| f.write(line.as_bytes()))
    }
}

impl Callback for Running {
    fn on_train_begin(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        self.file = Some(LogFile::open(&self.set.path, self.set.append || run.is_resumed())?);
        Ok(())
    }
    fn on_steps_end(&mut self, _: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.line(logs, true)
    }
    fn on_epoch_end(&mut self, _: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.line(logs, false)
    }
    fn every_steps(&self) -> usize {
        self.set.every_steps
    }
    fn state(&self) -> Value {
        json!(self.file.as_ref().map_or(0, LogFile::bytes))
    }
    fn restore(&mut self, _: &mut Trainer<'_>, state: &Value) -> Result<()> {
        let bytes = parsed("json_lines", state)?;
        self.file.as_mut().map_or(Ok(()), |f| f.back_to(bytes))
    }
}
