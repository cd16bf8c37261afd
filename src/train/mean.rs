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
        let weight = weight_of(line, rows, weighed);
        if weighed {
            *self.counted.get_or_insert(0.0) += weight;
        }
        // where nothing counted the loss says nothing
        self.loss += if weight == 0.0 { 0.0 } else { weight * f64::from(line.loss) };
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

/// What a batch's loss is a mean over: its rows, or where it is `weighed` the last of its metrics.
pub(super) fn weight_of(line: &LogLine, rows: usize, weighed: bool) -> f64 {
    let counted = line.metrics.last().filter(|_| weighed);
    counted.map_or(rows as f64, |&w| f64::from(w))
}
