//! The data of a run: where it comes from, what is made of it, and which rows are held out.

use super::data_op::DataOp;
use super::registry::Registry;
use super::seeds::Seeds;
use crate::data::{self, Dataset, Split};
use crate::error::{Error, Faults, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Sources that every program knows.
const KNOWN: [&str; 5] = ["mnist", "fashion-mnist", "cifar10", "cifar100", "synthetic"];
/// How many digits `synthetic` draws for training and for the test.
const SYNTHETIC: (usize, usize) = (20_000, 4_000);

/// The data of a run as a value: a source, what is done with it, and what is held out.
///
/// ```
/// use gradus::train::{DataSpec, HeldOut, Registry};
/// let spec = DataSpec::new("synthetic:200:50").flatten().scale(1.0 / 255.0).one_hot(10).validation(HeldOut::Share(0.1)).test(HeldOut::Test);
/// let sets = spec.load(&Registry::new())?;
/// assert_eq!((sets.train.len(), sets.validation.unwrap().len(), sets.test.unwrap().len()), (180, 20, 50));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct DataSpec {
    /// The name of a set in the [`Registry`]; `mnist`, `fashion-mnist`, `cifar10`, `cifar100`; `synthetic`, or `synthetic:TRAIN:TEST` with how many digits are drawn; a folder in MNIST's
    /// format; or a file `*.safetensors` or `*.npz`, whose tensors are the fields.
    pub source: String,
    /// Bytes of memory that each set may take, as [`Dataset::memory_budget`]; by the kind of source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_budget: Option<u64>,
    /// What is looked at after every epoch; nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<HeldOut>,
    /// What is looked at once, when the run is over; nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<HeldOut>,
    /// What is done with the rows, in this order; nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pipeline: Vec<DataOp>,
}

/// Rows that are not trained on.
///
/// In files: `"test"`, `{ rows = 5000 }`, `{ share = 0.1 }`, `{ split = { share = 0.1, stratified = true } }`, `{ source = "folder" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HeldOut {
    /// The test set that the source brings along.
    Test,
    /// So many rows, the last ones of what the pipeline leaves for training.
    Rows(usize),
    /// This part of the rows, above 0 and below 1: the last ones of what the pipeline leaves for training, rounded to whole rows.
    Share(f64),
    /// This part of the rows, above 0 and below 1, drawn by [`Seeds::split`]: [`Dataset::split`].
    Split {
        /// The part.
        share: f64,
        /// Whether each class has the same share of it; it has not.
        #[serde(default)]
        stratified: bool,
    },
    /// The training rows of another source.
    Source(String),
}

/// The data sets of a run, as the model sees them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sets {
    /// What is trained on.
    pub train: Dataset,
    /// What is looked at after every epoch.
    pub validation: Option<Dataset>,
    /// What is looked at when the run is over.
    pub test: Option<Dataset>,
}

impl DataSpec {
    /// This source as it is, with nothing held out.
    pub fn new(source: impl Into<String>) -> Self {
        DataSpec { source: source.into(), memory_budget: None, validation: None, test: None, pipeline: vec![] }
    }
    /// Adds a step to the pipeline.
    pub fn op(mut self, op: DataOp) -> Self {
        self.pipeline.push(op);
        self
    }
    /// Each row of features as one axis.
    pub fn flatten(self) -> Self {
        self.op(DataOp::flatten())
    }
    /// Every feature times a factor.
    pub fn scale(self, factor: f32) -> Self {
        self.op(DataOp::scale(factor))
    }
    /// Every feature plus an offset.
    pub fn shift(self, offset: f32) -> Self {
        self.op(DataOp::shift(offset))
    }
    /// Labels become rows with one 1.
    pub fn one_hot(self, classes: usize) -> Self {
        self.op(DataOp::one_hot(classes))
    }
    /// The first rows alone for training.
    pub fn take(self, rows: usize) -> Self {
        self.op(DataOp::take(rows))
    }
    /// What is looked at after every epoch.
    pub fn validation(mut self, held: HeldOut) -> Self {
        self.validation = Some(held);
        self
    }
    /// What is looked at once, when the run is over.
    pub fn test(mut self, held: HeldOut) -> Self {
        self.test = Some(held);
        self
    }
    /// Bytes of memory that each set may take.
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Finds the source and makes the sets of it. `mnist` and its like may be downloaded, as [`data::mnist`] does.
    ///
    /// Fails with `data-not-found` where there is no such source, with its errors where it cannot be read, and with `invalid-config` where
    /// more is held out than there is.
    ///
    /// What is drawn is drawn from seed 0; [`DataSpec::load_seeded`] takes the seeds of a run.
    pub fn load(&self, registry: &Registry) -> Result<Sets> {
        self.load_seeded(registry, &Seeds::default())
    }

    /// As [`DataSpec::load`], with these seeds: [`Seeds::split`] draws what is held out, [`Seeds::order`] balanced rows.
    pub fn load_seeded(&self, registry: &Registry, seeds: &Seeds) -> Result<Sets> {
        let (train, test) = open(&self.source, registry)?;
        self.apply_seeded(train, test, registry, seeds)
    }

    /// As [`DataSpec::load`], of a training set and a test set that are there already.
    pub fn apply(&self, train: Dataset, test: Option<Dataset>, registry: &Registry) -> Result<Sets> {
        self.apply_seeded(train, test, registry, &Seeds::default())
    }

    /// As [`DataSpec::load_seeded`], of a training set and a test set that are there already.
    pub fn apply_seeded(&self, train: Dataset, test: Option<Dataset>, registry: &Registry, seeds: &Seeds) -> Result<Sets> {
        let train = self.pipeline.iter().try_fold(train, |set, op| op.apply(set, true, seeds))?;
        let mut rest = train;
        let from = Elsewhere { test: test.as_ref(), registry, seeds };
        // the test's rows are the very last, whatever is held out for validation beside them
        let test_set = self.held_out(self.test.as_ref(), "data.test", &mut rest, &from)?;
        let validation = self.held_out(self.validation.as_ref(), "data.validation", &mut rest, &from)?;
        let (rest, validation, test_set) = self.normalized(rest, validation, test_set)?;
        let within = |set: Dataset| if let Some(bytes) = self.memory_budget { set.memory_budget(bytes) } else { set };
        Ok(Sets { train: within(rest), validation: validation.map(within), test: test_set.map(within) })
    }

    /// Shows all sets by the training rows' means and deviations, where the pipeline asks for it.
    fn normalized(
        &self,
        mut train: Dataset,
        validation: Option<Dataset>,
        test: Option<Dataset>,
    ) -> Result<(Dataset, Option<Dataset>, Option<Dataset>)> {
        let mut any = false;
        for op in &self.pipeline {
            if let DataOp::Normalize { field } = op {
                train = train.normalize_field(field.as_deref().unwrap_or("x"))?;
                any = true;
            }
        }
        if !any {
            return Ok((train, validation, test));
        }
        let as_train = |set: Option<Dataset>| set.map(|s| s.normalize_as(&train)).transpose();
        let (validation, test) = (as_train(validation)?, as_train(test)?);
        Ok((train, validation, test))
    }

    /// Takes what is held out from the training rows, or from elsewhere.
    fn held_out(&self, held: Option<&HeldOut>, key: &str, train: &mut Dataset, from: &Elsewhere<'_>) -> Result<Option<Dataset>> {
        let Elsewhere { test, registry, seeds } = from;
        let shown = |set: Dataset| self.pipeline.iter().try_fold(set, |set, op| op.apply(set, false, seeds)).map(Some);
        let rows = match held {
            None => return Ok(None),
            Some(HeldOut::Test) => {
                let mut f = Faults::default();
                let help = "hold rows of the training set out, as `{ share = 0.1 }`, or name another source";
                f.check(test.is_some(), key, format!("the source `{}` has no test set", self.source), help);
                f.finish()?;
                return test.cloned().map_or(Ok(None), shown);
            }
            Some(HeldOut::Split { share, stratified }) => {
                let how = Split { stratified: *stratified, ..Split::seeded(seeds.of_split()) };
                let (left, held) = train.split(1.0 - share, how)?;
                *train = left;
                return Ok(Some(held.undrawn()));
            }
            Some(HeldOut::Source(source)) => return shown(open(source, registry)?.0),
            Some(HeldOut::Rows(rows)) => *rows,
            Some(HeldOut::Share(share)) => (train.len() as f64 * share).round() as usize,
        };
        let mut f = Faults::default();
        let problem = format!("{rows} of {} training rows are held out", train.len());
        f.check(rows > 0 && rows < train.len(), key, problem, "hold out at least 1 row, and leave at least 1 to train on");
        f.finish()?;
        let (left, held) = train.split_at(train.len() - rows)?;
        *train = left;
        Ok(Some(held.undrawn()))
    }

    pub(super) fn check(&self, f: &mut Faults) {
        f.check(!self.source.is_empty(), "data.source", "it is empty", "name a source: `mnist`, `synthetic`, a folder");
        self.pipeline.iter().enumerate().for_each(|(i, op)| op.check(f, &format!("data.pipeline[{i}]")));
        let augments = self.pipeline.iter().filter(|op| matches!(op, DataOp::Augment(_))).count();
        let help = "put all transforms into one; an arm of a study sets `data.pipeline` where the recipe has one already";
        f.check(
            augments < 2,
            "data.pipeline",
            format!("`augment` stands in it {augments} times, and the last would replace the others"),
            help,
        );
        for (key, held) in [("data.validation", &self.validation), ("data.test", &self.test)] {
            if let Some(HeldOut::Share(share) | HeldOut::Split { share, .. }) = held {
                f.check(*share > 0.0 && *share < 1.0, key, share, "give a part above 0 and below 1, as 0.1");
            }
            f.check(*held != Some(HeldOut::Rows(0)), key, "0 rows", "hold out at least 1 row, or leave it out");
        }
    }
}

/// Where rows that are held out may come from, beside the training set.
struct Elsewhere<'a> {
    test: Option<&'a Dataset>,
    registry: &'a Registry,
    seeds: &'a Seeds,
}

impl Registry {
    /// Opens a source now and keeps it under its own name: whatever recipe names it shares its rows, and none reads it again. One that is there already
    /// stays.
    ///
    /// Fails as [`DataSpec::load`] does where there is no such source, or it cannot be read.
    ///
    /// ```
    /// use gradus::train::{DataSpec, Registry};
    /// let registry = Registry::new().with_source("synthetic:200:50")?;
    /// let spec = DataSpec::new("synthetic:200:50");
    /// assert_eq!(spec.load(&registry)?, spec.load(&registry)?); // the same rows of the same values
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn with_source(self, source: &str) -> Result<Self> {
        if self.data(source).is_some() {
            return Ok(self);
        }
        let (train, test) = open(source, &self)?;
        Ok(self.with_data(source, &train, test.as_ref()))
    }
}

/// The training set of a source, and its test set if it has one.
fn open(source: &str, registry: &Registry) -> Result<(Dataset, Option<Dataset>)> {
    if let Some((train, test)) = registry.data(source) {
        return Ok((train.clone(), test.clone()));
    }
    let both = |(train, test)| (train, Some(test));
    match source {
        "mnist" => return data::mnist().map(both),
        "fashion-mnist" => return data::fashion_mnist().map(both),
        "cifar10" => return data::cifar10().map(both),
        "cifar100" => return data::cifar100().map(both),
        _ => {}
    }
    if let Some((train, test)) = synthetic(source) {
        return data::synthetic_digits(0, train, test).map(both);
    }
    let path = Path::new(source);
    if path.is_dir() {
        return data::idx_folder(path).map(both);
    }
    if path.extension().is_some_and(|e| e == "safetensors") {
        return data::open_safetensors(path).map(|set| (set, None));
    }
    if path.extension().is_some_and(|e| e == "npz") {
        return data::npz(path).map(|set| (set, None));
    }
    let known = registry.data_names().map(|n| format!("`{n}`")).chain(KNOWN.map(|n| format!("`{n}`")));
    let known = known.collect::<Vec<_>>().join(", ");
    Err(Error::DataNotFound {
        problem: format!("there is no source `{source}`"),
        looked: vec!["the registry".into(), format!("the folder {source}")],
        help: format!(
            "give one of {known}, a folder in MNIST's format or a file `*.safetensors` or `*.npz`; name sets of your own: `Registry::with_data`"
        ),
    })
}

/// How many digits `synthetic` or `synthetic:TRAIN:TEST` asks for.
fn synthetic(source: &str) -> Option<(usize, usize)> {
    let rest = source.strip_prefix("synthetic")?;
    if rest.is_empty() {
        return Some(SYNTHETIC);
    }
    let (train, test) = rest.strip_prefix(':')?.split_once(':')?;
    Some((train.parse().ok()?, test.parse().ok()?))
}
