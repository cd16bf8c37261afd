//! Means over many batches, added up in f64 in the order of the batches.

use super::evaluation::Evaluation;
use crate::model::signature::Measure;
use crate::nn::Finished;
use crate::plan::LogLine;
use crate::store::json_floats;
use serde::{Deserialize, Serialize};

/// Losses and metrics of many batches: the losses weighted by what each is a mean over, the metrics as each is added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mean {
    #[serde(with = "json_floats::one")]
    rows: f64,
    /// What the losses are means over, where that is not the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counted: Option<f64>,
    #[serde(with = "json_floats::one")]
    loss: f64,
    /// The sums of each metric, one metric after another.
    #[serde(with = "json_floats::many")]
    metrics: Vec<f64>,
}

impl Mean {
    /// Adds a batch of so many rows. `weighed`: the last of its metrics is what its loss is a mean over.
    pub fn add(&mut self, line: &LogLine, rows: usize, weighed: bool, measures: &[Measure]) {
        let w = rows as f64;
        self.rows += w;
        let (weight, loss) = weighed_loss(line, rows, weighed);
        if weighed {
            // a checkpoint of before losses were weighed holds a sum by rows, which no weights can be added to
            *self.counted.get_or_insert_with(|| {
                self.loss = 0.0;
                0.0
            }) += weight;
        }
        self.loss += loss;
        self.metrics.resize(measures.iter().map(|m| m.finish.kept(m.columns)).sum(), 0.0);
        let (mut sums, mut line) = (&mut self.metrics[..], &line.metrics[..]);
        for m in measures {
            let (here, rest) = std::mem::take(&mut sums).split_at_mut(m.finish.kept(m.columns));
            let (columns, left) = line.split_at(m.columns.min(line.len()));
            m.finish.add(here, columns, w);
            (sums, line) = (rest, left);
        }
    }

    /// Adds what another has added up, of batches of the same model.
    pub fn join(&mut self, other: &Mean) {
        self.rows += other.rows;
        self.counted = self.counted.or(other.counted.map(|_| 0.0)).map(|c| c + other.counted.unwrap_or(0.0));
        self.loss += other.loss;
        self.metrics.resize(self.metrics.len().max(other.metrics.len()), 0.0);
        self.metrics.iter_mut().zip(&other.metrics).for_each(|(sum, more)| *sum += more);
    }

    pub fn evaluation(&self, measures: &[Measure]) -> Evaluation {
        let nothing = self.rows > 0.0 && self.counted == Some(0.0);
        let loss = if nothing { 0.0 } else { self.loss / self.counted.unwrap_or(self.rows) };
        let mut out = Evaluation { values: vec![("loss".into(), loss)], matrices: vec![] };
        let mut sums = &self.metrics[..];
        for m in measures {
            let Some((here, rest)) = sums.split_at_checked(m.finish.kept(m.columns)) else {
                // the name is there all the same, so that the columns of a history have one length
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

/// What a batch's loss is a mean over (its rows, or where it is `weighed` the last of its metrics), and the loss times that. Where nothing counted the
/// loss says nothing, be it NaN.
pub(crate) fn weighed_loss(line: &LogLine, rows: usize, weighed: bool) -> (f64, f64) {
    let counted = line.metrics.last().filter(|_| weighed);
    let weight = counted.map_or(rows as f64, |&w| f64::from(w));
    (weight, if weight == 0.0 { 0.0 } else { weight * f64::from(line.loss) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(loss: f32, counted: f32) -> LogLine {
        LogLine { batch: 0, loss, grad_norm: 0.0, halted: false, skipped: false, scale: None, metrics: Box::new([counted]) }
    }

    /// Checkpoints of before losses were weighed hold sums by rows: they are no part of what is added after.
    #[test]
    fn sums_by_rows_and_by_weights_do_not_mix() {
        let older = r#"{"rows":24.0,"loss":36.0,"metrics":[]}"#;
        let mut mean: Mean = serde_json::from_str(older).unwrap();
        assert_eq!(mean.evaluation(&[])["loss"], 1.5);
        mean.add(&line(3.0, 0.5), 8, true, &[]);
        mean.add(&line(f32::NAN, 0.0), 8, true, &[]);
        mean.add(&line(1.0, 1.5), 8, true, &[]);
        assert_eq!((mean.rows, mean.evaluation(&[])["loss"]), (48.0, 1.5));
        // where they are means over rows it goes on
        let mut mean: Mean = serde_json::from_str(older).unwrap();
        mean.add(&line(3.0, 0.5), 8, false, &[]);
        assert_eq!(mean.evaluation(&[])["loss"], 60.0 / 32.0);
    }
}
