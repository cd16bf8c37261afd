//! One thing that is done with data before a model sees it.

use super::seeds::Seeds;
use crate::data::{Augment, Dataset, Look, Split};
use crate::error::{Error, Faults, Result};
use crate::rng::stream;
use serde::{Deserialize, Serialize};

/// A step of a [`DataSpec`](super::DataSpec)'s pipeline. In files it is a map that names it: `{ op = "scale", factor = 0.5 }`.
///
/// What shows values in another way ([`Flatten`](DataOp::Flatten) to [`OneHot`](DataOp::OneHot)) holds for the training set, the validation set and the
/// test set alike; it is about the features, or the labels in the case of one-hot, unless a `field` is named. [`Take`](DataOp::Take),
/// [`Skip`](DataOp::Skip), [`Sample`](DataOp::Sample) and [`Balanced`](DataOp::Balanced) choose among the training rows and leave a test set of the source's
/// alone.
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
    /// Rows for training that are drawn by the seed of the split, each at most once: one seed's smaller samples lie within its larger ones.
    Sample {
        /// How many.
        rows: usize,
        /// Whether each class has its share of them, to a row; it has not.
        #[serde(default)]
        stratified: bool,
    },
    /// Training draws each class equally often, by the seed of the order: [`Dataset::balanced`].
    Balanced,
    /// The middle of each image: [`Dataset::center_crop`].
    CenterCrop {
        /// Rows and columns.
        size: usize,
        /// The field; the features.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// Mean 0 and deviation 1, channel by channel, of the rows that are left for training, after all scaling, wherever it stands in the pipeline. Validation and test sets
    /// are shown in the same way: [`Dataset::normalize`].
    Normalize {
        /// The field; the features.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
    },
    /// What training changes at random, once in a pipeline: [`Dataset::augment`]. Of a test that is varied, what is changed once: [`Dataset::changed`].
    Augment(Augment),
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

    /// So many rows for training, drawn by the seed of the split.
    pub fn sample(rows: usize) -> Self {
        DataOp::Sample { rows, stratified: false }
    }
    /// As [`DataOp::sample`], and each class has its share of them, to a row.
    pub fn sample_stratified(rows: usize) -> Self {
        DataOp::Sample { rows, stratified: true }
    }
    /// Training draws each class equally often.
    pub fn balanced() -> Self {
        DataOp::Balanced
    }
    /// The middle of each image.
    pub fn center_crop(size: usize) -> Self {
        DataOp::CenterCrop { size, field: None }
    }
    /// Mean 0 and deviation 1, channel by channel.
    pub fn normalize() -> Self {
        DataOp::Normalize { field: None }
    }
    /// What training changes at random.
    pub fn augment(augment: Augment) -> Self {
        DataOp::Augment(augment)
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
            | DataOp::CenterCrop { field, .. }
            | DataOp::Normalize { field }
            | DataOp::OneHot { field, .. } => Some(field),
            DataOp::Take { .. } | DataOp::Skip { .. } | DataOp::Sample { .. } | DataOp::Balanced | DataOp::Augment(_) => None,
        }
    }

    /// Whether it chooses among training rows, and shows none in another way.
    pub fn chooses(&self) -> bool {
        matches!(self, DataOp::Take { .. } | DataOp::Skip { .. } | DataOp::Sample { .. } | DataOp::Balanced)
    }

    /// A set shown in another way once more: how a test set is varied, after the pipeline of its recipe.
    ///
    /// Fails with `unsupported` for a step that chooses rows: a test has all of them.
    ///
    /// ```
    /// # use gradus::prelude::*;
    /// use gradus::train::{DataOp, Seeds};
    /// let set = Dataset::unlabelled(HostTensor::f32([2, 1], vec![1.0, 2.0])?)?;
    /// assert_eq!(DataOp::scale(0.5).vary(set.clone(), &Seeds::new(0))?, set.clone().scale(0.5));
    /// assert!(DataOp::take(1).vary(set, &Seeds::new(0)).is_err());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn vary(&self, set: Dataset, seeds: &Seeds) -> Result<Dataset> {
        if let DataOp::Augment(augment) = self {
            return set.changed(augment, seeds.of_split());
        }
        if self.chooses() {
            return Err(Error::Unsupported {
                what: format!("a test on rows that are chosen by {self:?}"),
                at: "DataOp::vary".into(),
                help: "show the rows in another way, as by `scale` and `shift`".into(),
            });
        }
        self.apply(set, false, seeds)
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
            DataOp::CenterCrop { size, field: Some(name) } => set.on(name, |f| f.center_crop(*size)),
            DataOp::CenterCrop { size, field: None } => set.center_crop(*size),
            DataOp::Augment(augment) if trains => {
                let augment = augment.clone();
                set.augment(if let Some(seed) = seeds.augment { augment.seed(seed) } else { augment })
            }
            // a crop for training is the middle elsewhere; what is normalised waits for the rows that are left for training
            DataOp::Augment(augment) => set.shown_as_by(augment),
            DataOp::Normalize { .. } => set,
            DataOp::Take { rows } if trains => set.take(*rows),
            DataOp::Skip { rows } if trains && *rows > 0 => set.split_at(*rows)?.1,
            DataOp::Sample { rows, stratified } if trains => sample(set, *rows, *stratified, seeds)?,
            DataOp::Balanced if trains => set.balanced(seeds.of_order())?,
            DataOp::Take { .. } | DataOp::Skip { .. } | DataOp::Sample { .. } | DataOp::Balanced => set,
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
            DataOp::Take { rows } | DataOp::Sample { rows, .. } => {
                f.check(*rows > 0, &format!("{key}.rows"), rows, "give at least 1 row");
            }
            DataOp::CenterCrop { size, .. } => {
                f.check(*size > 0, &format!("{key}.size"), size, "give at least 1 pixel");
            }
            DataOp::Augment(augment) => augment.check(f),
            DataOp::Flatten { .. } | DataOp::Integers { .. } | DataOp::Skip { .. } | DataOp::Balanced | DataOp::Normalize { .. } => {}
        }
    }
}

/// So many of the rows. What is held out of them later is drawn from other numbers.
fn sample(set: Dataset, rows: usize, stratified: bool, seeds: &Seeds) -> Result<Dataset> {
    let mut f = Faults::default();
    let problem = format!("{rows} rows of {}", set.len());
    f.check(rows > 0 && rows <= set.len(), "data.pipeline, sample", problem, "ask for at least 1 row, and no more than there are");
    f.finish()?;
    if rows == set.len() {
        return Ok(set);
    }
    let how = Split { stratified, ..Split::seeded(seeds.of_split() ^ stream("sample")) };
    Ok(set.split(rows as f64 / set.len() as f64, how)?.0)
}
