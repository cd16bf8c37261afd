//! One thing that is done with data before a model sees it.

use super::seeds::Seeds;
use crate::data::{Dataset, Look};
use crate::error::{Faults, Result};
use serde::{Deserialize, Serialize};

/// A step of a [`DataSpec`](super::DataSpec)'s pipeline. In files it is a map that names it: `{ op = "scale", factor = 0.5 }`.
///
/// What shows values in another way ([`Flatten`](DataOp::Flatten) to [`OneHot`](DataOp::OneHot)) holds for the training set, the validation set and the
/// test set alike; it is about the features, or the labels in the case of one-hot, unless a `field` is named. [`Take`](DataOp::Take),
/// [`Skip`](DataOp::Skip) and [`Balanced`](DataOp::Balanced) choose among the training rows and leave a test set of the source's alone.
///
/// ```
/// use gradus::train::DataOp;
/// let op: DataOp = serde_json::from_str(r#"{"op": "scale", "factor": 0.5, "field": "mask"}"#).unwrap();
/// assert_eq!(op, DataOp::scale(0.5).on("mask"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum DataOp {
    /// Each row as one axis: [`Dataset::flatten`].
    Flatten {
        /// The field; the features.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// Every value times a factor: [`Dataset::scale`].
    Scale {
        /// The factor.
        factor: f32,
        /// The field; the features.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// Every value plus an offset, after any scaling before it: [`Dataset::shift`].
    Shift {
        /// The offset.
        offset: f32,
        /// The field; the features.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// Values stored as integers stay integers: [`Dataset::integers`].
    Integers {
        /// The field; the features.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// Classes become rows with one 1: [`Dataset::one_hot`].
    OneHot {
        /// How many classes.
        classes: usize,
        /// The field; the labels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// The first rows for training: [`Dataset::take`].
    Take {
        /// How many.
        rows: usize,
    },
    /// No training on the first rows.
    Skip {
        /// How many.
        rows: usize,
    },
    /// Training draws each class equally often, by the seed of the order: [`Dataset::balanced`].
    Balanced,
}

impl DataOp {
    /// Each row of features as one axis.
    pub fn flatten() -> Self {
        DataOp::Flatten { field: None }
    }
    /// Every feature times a factor.
    pub fn scale(factor: f32) -> Self {
        DataOp::Scale { factor, field: None }
    }
    /// Every feature plus an offset.
    pub fn shift(offset: f32) -> Self {
        DataOp::Shift { offset, field: None }
    }
    /// Features stay integers.
    pub fn integers() -> Self {
        DataOp::Integers { field: None }
    }
    /// Labels become rows with one 1.
    pub fn one_hot(classes: usize) -> Self {
        DataOp::OneHot { classes, field: None }
    }
    /// The first rows alone for training.
    pub fn take(rows: usize) -> Self {
        DataOp::Take { rows }
    }
    /// No training on the first rows.
    pub fn skip(rows: usize) -> Self {
        DataOp::Skip { rows }
    }

    /// Training draws each class equally often.
    pub fn balanced() -> Self {
        DataOp::Balanced
    }

    /// The same for another field. Without effect on what chooses rows.
    #[must_use]
    pub fn on(mut self, name: &str) -> Self {
        if let Some(field) = self.field_mut() {
            *field = Some(name.into());
        }
        self
    }

    fn field_mut(&mut self) -> Option<&mut Option<String>> {
        match self {
            DataOp::Flatten { field }
            | DataOp::Scale { field, .. }
            | DataOp::Shift { field, .. }
            | DataOp::Integers { field }
            | DataOp::OneHot { field, .. } => Some(field),
            DataOp::Take { .. } | DataOp::Skip { .. } | DataOp::Balanced => None,
        }
    }

    /// What it makes of a set: of the training rows, or of rows that were held out.
    pub(super) fn apply(&self, set: Dataset, trains: bool, seeds: &Seeds) -> Result<Dataset> {
        let seen = |field: &Option<String>, of_all: fn(Dataset) -> Dataset, of_one: fn(Look) -> Look, set: Dataset| match field {
            Some(name) => set.on(name, of_one),
            None => of_all(set),
        };
        Ok(match self {
            DataOp::Flatten { field } => seen(field, Dataset::flatten, Look::flatten, set),
            DataOp::Integers { field } => seen(field, Dataset::integers, Look::integers, set),
            DataOp::Scale { factor, field: Some(name) } => set.on(name, |f| f.scale(*factor)),
            DataOp::Scale { factor, field: None } => set.scale(*factor),
            DataOp::Shift { offset, field: Some(name) } => set.on(name, |f| f.shift(*offset)),
            DataOp::Shift { offset, field: None } => set.shift(*offset),
            DataOp::OneHot { classes, field: Some(name) } => set.on(name, |f| f.one_hot(*classes)),
            DataOp::OneHot { classes, field: None } => set.one_hot(*classes),
            DataOp::Take { rows } if trains => set.take(*rows),
            DataOp::Skip { rows } if trains && *rows > 0 => set.split_at(*rows)?.1,
            DataOp::Balanced if trains => set.balanced(seeds.of_order())?,
            DataOp::Take { .. } | DataOp::Skip { .. } | DataOp::Balanced => set,
        })
    }

    pub(super) fn check(&self, f: &mut Faults, key: &str) {
        match self {
            DataOp::Scale { factor, .. } => {
                f.check(factor.is_finite(), &format!("{key}.factor"), factor, "give a finite number");
            }
            DataOp::Shift { offset, .. } => {
                f.check(offset.is_finite(), &format!("{key}.offset"), offset, "give a finite number");
            }
            DataOp::OneHot { classes, .. } => {
                f.check(*classes > 0, &format!("{key}.classes"), classes, "give at least 1 class");
            }
            DataOp::Take { rows } => {
                f.check(*rows > 0, &format!("{key}.rows"), rows, "give at least 1 row");
            }
            DataOp::Flatten { .. } | DataOp::Integers { .. } | DataOp::Skip { .. } | DataOp::Balanced => {}
        }
    }
}
