use super::LayerReport;
use serde::{Deserialize, Serialize};

/// What `fit` saw: one value an epoch for the loss, each metric, and both on the validation set (`val_..`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    #[serde(with = "super::exact::columns")]
    columns: Vec<(String, Vec<f64>)>,
    #[serde(default)]
    seconds: Vec<f64>,
    #[serde(default)]
    first_submit: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<LayerReport>,
}

/// Two histories are equal if their values are; how long it took does not count.
impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.columns == other.columns
    }
}

impl History {
    pub(super) fn push(&mut self, name: &str, value: f64) {
        match self.columns.iter_mut().find(|(n, _)| n == name) {
            Some((_, values)) => values.push(value),
            None => self.columns.push((name.into(), vec![value])),
        }
    }

    pub(super) fn push_times(&mut self, seconds: f64, first_submit: Option<f64>) {
        self.seconds.push(seconds);
        self.first_submit = first_submit.unwrap_or(0.0);
    }

    pub(super) fn push_diagnostics(&mut self, seen: &[LayerReport]) {
        self.diagnostics.extend_from_slice(seen);
    }

    pub(super) fn push_skipped(&mut self, steps: &[u64]) {
        self.skipped.extend_from_slice(steps);
    }

    /// The steps whose update was skipped, counted from 1 over the whole run, good ones and others: see
    /// [`Compile::loss_scale`](super::Compile::loss_scale), with which there are the columns `loss_scale`, at the end of each epoch, and
    /// `skipped`, how many of its updates were.
    pub fn skipped(&self) -> &[u64] {
        &self.skipped
    }

    /// What was seen of the layers, a look after the other: see [`Fit::diagnostics`](super::Fit::diagnostics).
    pub fn diagnostics(&self) -> &[LayerReport] {
        &self.diagnostics
    }

    /// Seconds of training, one value an epoch; validation is left out.
    pub fn seconds(&self) -> &[f64] {
        &self.seconds
    }

    /// Seconds from the call of `fit` to the end of its first submit: planning, pipelines and the way of the data to the device.
    pub fn first_submit(&self) -> f64 {
        self.first_submit
    }

    /// The latest value of a column.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }

    /// A column, one value an epoch; empty if there is none of this name.
    pub fn get(&self, name: &str) -> &[f64] {
        self.columns.iter().find(|(n, _)| n == name).map_or(&[], |(_, v)| v)
    }

    /// The columns' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(n, _)| n.as_str())
    }

    /// Epochs seen.
    pub fn epochs(&self) -> usize {
        self.columns.first().map_or(0, |(_, v)| v.len())
    }
}
