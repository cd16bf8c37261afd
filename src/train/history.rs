use serde::{Deserialize, Serialize};

/// What `fit` saw: one value an epoch for the loss, each metric, and both on the validation set (`val_..`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    columns: Vec<(String, Vec<f64>)>,
}

impl History {
    pub(super) fn push(&mut self, name: &str, value: f64) {
        match self.columns.iter_mut().find(|(n, _)| n == name) {
            Some((_, values)) => values.push(value),
            None => self.columns.push((name.into(), vec![value])),
        }
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
