use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::words::{STATE_BATCH, STATE_ROWS, STATE_WORDS};
use crate::model::core::Core;
use crate::model::feed::{Feed, Order};
use crate::model::inputs::in_call;
use crate::model::pace::Pace;
use crate::model::shared::Model;
use crate::nn::{Finish, Finished, Matrix};
use crate::plan::{BufferId, Handle, Lane, LogLine, Output, Purpose};
use crate::store::json_floats;
use crate::tensor::{DType, HostTensor, Shape};
use crate::terminal::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

/// The loss and the metrics over a data set. `evaluation["loss"]` reads one, and panics where there is none of this name.
///
/// It prints four decimals of each, and values below 0.001 and from 1,000,000 on with an exponent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    values: Vec<(String, f64)>,
    matrices: Vec<(String, Matrix)>,
}

impl Evaluation {
    /// A value by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// A metric that is a table, by name: `evaluation.matrix("confusion")`. These are in no history.
    pub fn matrix(&self, name: &str) -> Option<&Matrix> {
        self.matrices.iter().find(|(n, _)| n == name).map(|(_, m)| m)
    }

    /// Names and values, the loss first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(n, v)| (n.as_str(), *v))
    }
}

/// Panics on a name that is not there, as the standard library's maps do: [`Evaluation::get`] gives an `Option`.
impl Index<&str> for Evaluation {
    type Output = f64;
    #[track_caller]
    fn index(&self, name: &str) -> &f64 {
        let found = self.values.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        found.unwrap_or_else(|| no_value(name, self.values.iter().map(|(n, _)| n.as_str())))
    }
}

/// The panic of an index by a name that is not there.
#[track_caller]
pub(crate) fn no_value<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> ! {
    let known: Vec<&str> = known.collect();
    let known = if known.is_empty() { "nothing".into() } else { known.join(", ") };
    panic!("there is no value `{}`: there is {}; `get` asks without a panic", plain(name), plain(known))
}

/// A value for people: four decimals, and an exponent where these would show nothing or too much.
pub(crate) fn number(v: f64) -> String {
    let plain = v == 0.0 || !v.is_finite() || (1e-3..1e6).contains(&v.abs());
    if plain { format!("{v:.4}") } else { format!("{v:.3e}") }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.values.iter().map(|(n, v)| format!("{n} {}", number(*v))).collect();
        plain(parts.join("  ")).fmt(f)
    }
}

/// A metric as a log line has it: its columns, and what their sums over many batches say.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub name: String,
    pub columns: usize,
    pub finish: Finish,
}

/// Two programs log the same if names and widths agree.
impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns
    }
}

/// Losses and metrics of many batches: the losses weighted by rows, the metrics as each is added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mean {
    #[serde(with = "json_floats::one")]
    rows: f64,
    #[serde(with = "json_floats::one")]
    loss: f64,
    /// What each metric keeps, one after another.
    #[serde(with = "json_floats::many")]
    metrics: Vec<f64>,
}

impl Mean {
    pub fn add(&mut self, line: &LogLine, rows: usize, measures: &[Measure]) {
        let w = rows as f64;
        self.rows += w;
        self.loss += w * f64::from(line.loss);
        self.metrics.resize(measures.iter().map(|m| m.finish.kept(m.columns)).sum(), 0.0);
        let (mut sums, mut line) = (&mut self.metrics[..], &line.metrics[..]);
        for m in measures {
            let (here, rest) = std::mem::take(&mut sums).split_at_mut(m.finish.kept(m.columns));
            let (columns, left) = line.split_at(m.columns.min(line.len()));
            m.finish.add(here, columns, w);
            (sums, line) = (rest, left);
        }
    }

    pub fn evaluation(&self, measures: &[Measure]) -> Evaluation {
        let mut out = Evaluation { values: vec![("loss".into(), self.loss / self.rows)], matrices: vec![] };
        let mut sums = &self.metrics[..];
        for m in measures {
            let Some((here, rest)) = sums.split_at_checked(m.finish.kept(m.columns)) else {
                // its name is there all the same: columns of a history stay side by side
                if !m.finish.is_matrix() {
                    out.values.push((m.name.clone(), f64::NAN));
                }
                continue;
            };
            match m.finish.value(here, self.rows) {
                Finished::Value(v) => out.values.push((m.name.clone(), v)),
                Finished::Matrix(matrix) => out.matrices.push((m.name.clone(), matrix)),
            }
            sums = rest;
        }
        out
    }
}

impl Model {
    /// The loss and the metrics over a data set, in batches of `batch_size` rows; the last may be smaller.
    pub fn evaluate(&self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.lock().evaluate(data, batch_size)
    }

    /// What the model gives for every row, `[rows, ..]`; of a general step the first output.
    pub fn predict(&self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        self.lock().predict(data, batch_size)
    }

    /// All outputs of a general step by name, in one pass; each `[rows, ..]`. The output of a module is called `output`.
    pub fn predict_named(&self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        self.lock().predict_named(data, batch_size)
    }
}

impl Core {
    pub(crate) fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.healed(|m| m.evaluate_once(data, batch_size)).map_err(in_call("evaluate"))
    }

    fn evaluate_once(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        let mut mean = Mean::default();
        let (parts, mut feed) = self.look(data, Purpose::Evaluate, batch_size)?;
        let measures = self.measures();
        let mut pace = std::mem::take(&mut self.look_pace);
        pace.forget();
        for (mut left, rows, handle) in parts {
            let most = self.program(data, Purpose::Evaluate, rows)?.log().most_steps();
            while left > 0 {
                let now = feed.ready(self, 0, left.min(pace.steps()).min(most))?;
                let at = Pace::now();
                self.session.submit(handle, now, self.looked)?;
                pace.queued(now, at);
                feed.used(now);
                self.looked = self.looked.wrapping_add(now as u32);
                left -= now;
                let lines = self.session.poll(Lane::Look, true)?.unwrap_or_default();
                pace.ended();
                lines.iter().for_each(|l| mean.add(l, rows, &measures));
            }
        }
        self.look_pace = pace;
        Ok(mean.evaluation(&measures))
    }

    pub(crate) fn predict(&mut self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        let outputs = self.healed(|m| {
            let (parts, feed) = m.look(data, Purpose::Predict, batch_size)?;
            m.outputs(data, &parts, Some(feed), 1)
        });
        first(outputs.map_err(in_call("predict"))?)
    }

    pub(crate) fn predict_named(&mut self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        let outputs = self.healed(|m| {
            let (parts, feed) = m.look(data, Purpose::Predict, batch_size)?;
            m.outputs(data, &parts, Some(feed), usize::MAX)
        });
        Ok(outputs.map_err(in_call("predict_named"))?.into_iter().collect())
    }

    /// The first `most` outputs of these steps.
    pub(crate) fn outputs(
        &mut self,
        data: &Dataset,
        parts: &[Part],
        mut feed: Option<Feed>,
        most: usize,
    ) -> Result<Vec<(String, HostTensor)>> {
        let mut all: Vec<(String, Shape, DType, Vec<u32>)> = Vec::new();
        for &(steps, rows, handle) in parts {
            let program = self.program(data, Purpose::Predict, rows)?;
            let outputs = &program.outputs[..most.min(program.outputs.len())];
            if all.is_empty() {
                let row = |o: &Output| o.shape.dims()[1..].into();
                all = outputs.iter().map(|o| (o.name.clone(), row(o), o.dtype, Vec::new())).collect();
            }
            for _ in 0..steps {
                if let Some(feed) = &mut feed {
                    feed.ready(self, 0, 1)?;
                    feed.used(1);
                }
                self.session.submit(handle, 1, self.looked)?;
                self.looked = self.looked.wrapping_add(1);
                for (out, (.., words)) in outputs.iter().zip(&mut all) {
                    words.extend(self.session.read(out.buffer, out.offset, out.shape.size())?);
                }
                self.session.poll(Lane::Look, true)?;
            }
        }
        let tensor = |(name, row, dtype, words): (String, Shape, DType, Vec<u32>)| {
            let shape = row.batched(data.len());
            let integers = dtype == DType::U32;
            let made = if integers {
                HostTensor::u32(shape, words)
            } else {
                HostTensor::f32(shape, words.into_iter().map(f32::from_bits).collect())
            };
            Ok((name, made?))
        };
        all.into_iter().map(tensor).collect()
    }

    /// Makes a pass in order ready: the full batches and the ragged one, and what feeds them.
    fn look(&mut self, data: &Dataset, purpose: Purpose, batch_size: usize) -> Result<(Vec<Part>, Feed)> {
        crate::train::Fit::new().batch_size(batch_size).check()?;
        let (n, batch) = (data.len(), batch_size.min(data.len()));
        let mut parts = Vec::new();
        for (steps, rows) in [(n / batch, batch), (usize::from(!n.is_multiple_of(batch)), n % batch)] {
            if steps > 0 {
                parts.push((steps, rows, self.handle(data, purpose, rows)?));
            }
        }
        let program = self.program(data, purpose, batch)?;
        self.set_look_state(n)?;
        Ok((parts, Feed::start(self, data, &program, batch, Order { shuffle: false, epoch: 0, row: 0, epochs: 1 })?))
    }

    /// Sets the state for a pass in order over so many rows that are on the device.
    pub(crate) fn set_look_state(&mut self, rows: usize) -> Result<()> {
        // what an earlier pass left behind when it failed
        while self.session.poll(Lane::Look, true)?.is_some() {}
        let mut state = [0u32; STATE_WORDS];
        state[STATE_BATCH] = self.looked;
        state[STATE_ROWS] = rows as u32;
        self.session.write(BufferId::State(Lane::Look), 0, &state)
    }
}

/// Steps, the rows of each, and their program.
pub(crate) type Part = (usize, usize, Handle);

/// The first output.
pub(crate) fn first(outputs: Vec<(String, HostTensor)>) -> Result<HostTensor> {
    outputs.into_iter().next().map(|(_, v)| v).ok_or_else(|| Error::Unsupported {
        what: "a prediction without an output".into(),
        at: "what the step gave".into(),
        help: "add what it shall return by `.output(name, &value)`".into(),
    })
}

#[cfg(test)]
mod tests {
    use crate::train::evaluate::*;

    #[test]
    fn values_for_people() {
        let of = |v: f64| number(v);
        assert_eq!([0.0, 0.5, -0.25, 0.001, 999_999.0].map(of), ["0.0000", "0.5000", "-0.2500", "0.0010", "999999.0000"]);
        assert_eq!([0.00099, -9.5e-7, 1e6, 119_422_545_581_478_224.0].map(of), ["9.900e-4", "-9.500e-7", "1.000e6", "1.194e17"]);
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(of), ["NaN", "inf", "-inf"]);
        let e = Evaluation { values: vec![("loss".into(), 1e-9), ("a\u{1b}[31m".into(), 0.5)], matrices: vec![] };
        assert_eq!(e.to_string(), "loss 1.000e-9  a\\u{1b}[31m 0.5000");
    }
}
