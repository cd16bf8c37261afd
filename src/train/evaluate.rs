use super::Model;
use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::words::{STATE_BATCH, STATE_ROWS, STATE_WORDS};
use crate::plan::{BufferId, Lane, LogLine, Purpose};
use crate::tensor::{HostTensor, Shape};
use std::fmt;
use std::ops::Index;

/// The loss and the metrics over a data set. `evaluation["loss"]` reads one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    values: Vec<(String, f64)>,
}

impl Evaluation {
    /// A value by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// Names and values, the loss first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(n, v)| (n.as_str(), *v))
    }
}

/// NaN for a name that is not there: use [`Evaluation::get`] to tell.
impl Index<&str> for Evaluation {
    type Output = f64;
    fn index(&self, name: &str) -> &f64 {
        self.values.iter().find(|(n, _)| n == name).map_or(&f64::NAN, |(_, v)| v)
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.values.iter().map(|(n, v)| format!("{n} {v:.4}")).collect();
        f.write_str(&parts.join("  "))
    }
}

/// Losses and metrics of many batches, weighted by their rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Mean {
    rows: f64,
    loss: f64,
    metrics: Vec<f64>,
}

impl Mean {
    pub fn add(&mut self, line: &LogLine, rows: usize, metrics: usize) {
        let w = rows as f64;
        self.rows += w;
        self.loss += w * f64::from(line.loss);
        self.metrics.resize(metrics, 0.0);
        self.metrics.iter_mut().zip(&line.metrics).for_each(|(sum, m)| *sum += w * f64::from(*m));
    }

    pub fn evaluation(&self, names: &[String]) -> Evaluation {
        let part = |sum: f64| sum / self.rows;
        let loss = std::iter::once(("loss".to_string(), part(self.loss)));
        Evaluation { values: loss.chain(names.iter().cloned().zip(self.metrics.iter().map(|m| part(*m)))).collect() }
    }
}

impl Model {
    /// The loss and the metrics over a data set, in batches of `batch_size` rows; the last may be smaller.
    pub fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.healed(|m| m.evaluate_once(data, batch_size))
    }

    fn evaluate_once(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        let mut mean = Mean::default();
        let names: Vec<String> = self.settings.metrics.iter().map(|m| m.name().to_string()).collect();
        for (steps, rows) in self.look(data, batch_size)? {
            let handle = self.handle(data, Purpose::Evaluate, rows)?;
            let mut left = steps;
            while left > 0 {
                let now = left.min(super::trainer::STEPS_PER_SUBMIT);
                self.session.submit(handle, now, self.looked)?;
                self.looked = self.looked.wrapping_add(now as u32);
                left -= now;
                let lines = self.session.poll(Lane::Look, true)?.unwrap_or_default();
                lines.iter().for_each(|l| mean.add(l, rows, names.len()));
            }
        }
        Ok(mean.evaluation(&names))
    }

    /// What the model gives for every row, `[rows, ..]`.
    pub fn predict(&mut self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        self.healed(|m| m.predict_once(data, batch_size))
    }

    fn predict_once(&mut self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        let mut values = Vec::new();
        let mut row = Shape::default();
        for (steps, rows) in self.look(data, batch_size)? {
            let program = self.program(data, Purpose::Predict, rows)?;
            let handle = self.handle(data, Purpose::Predict, rows)?;
            let Some(out) = program.outputs.first() else { continue };
            row = out.shape.dims()[1..].into();
            for _ in 0..steps {
                self.session.submit(handle, 1, self.looked)?;
                self.looked = self.looked.wrapping_add(1);
                let words = self.session.read(out.buffer, out.offset, out.shape.size())?;
                values.extend(words.iter().map(|w| f32::from_bits(*w)));
                self.session.poll(Lane::Look, true)?;
            }
        }
        HostTensor::f32(row.batched(data.len()), values)
    }

    /// Sets the state for a pass in order; gives (steps, rows) of the full batches and of the ragged one.
    fn look(&mut self, data: &Dataset, batch_size: usize) -> Result<Vec<(usize, usize)>> {
        super::Fit::new().batch_size(batch_size).check()?;
        let mut state = [0u32; STATE_WORDS];
        state[STATE_BATCH] = self.looked;
        state[STATE_ROWS] = data.len() as u32;
        self.session.write(BufferId::State(Lane::Look), 0, &state)?;
        let n = data.len();
        Ok([(n / batch_size, batch_size), (usize::from(!n.is_multiple_of(batch_size)), n % batch_size)]
            .into_iter()
            .filter(|(s, _)| *s > 0)
            .collect())
    }
}
