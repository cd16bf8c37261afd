//! Means over many batches, added up in f64 in the order of the batches.

use super::evaluation::Evaluation;
use crate::model::signature::Measure;
use crate::nn::Finished;
use crate::plan::LogLine;
use crate::store::json_floats;
use serde::{Deserialize, Serialize};

/// Losses and metrics of many batches: the losses weighted by rows, the metrics as each is added up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mean {
    #[serde(with = "json_floats::one")]
    rows: f64,
    #[serde(with = "json_floats::one")]
    loss: f64,
    /// The sums of each metric, one metric after another.
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
