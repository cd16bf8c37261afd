//! What one run came to: a line of a study's journal.

use super::cells::Cell;
use super::settings::Study;
use crate::error::{Error, Result, panic_text};
use crate::store::json_floats::Exact;
use crate::train::{Device, Evaluation, Outcome, Recipe, Registry};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One run of a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Record {
    /// Its arm of each axis.
    pub arms: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// Whether it is the run of the chosen arm on the test set: see [`Study::select`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tested: bool,
    /// Seconds of training: see [`History::seconds`](crate::train::History::seconds).
    pub seconds: f64,
    /// Why it failed; it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    values: BTreeMap<String, Exact>,
}

impl Record {
    /// A value by its column's name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).map(|v| v.0)
    }

    /// The values with their columns' names.
    pub fn values(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(name, v)| (name.as_str(), v.0))
    }

    /// Whether it is the run of this cell and seed.
    pub(super) fn is_of(&self, cell: &Cell, seed: u64, tested: bool) -> bool {
        self.seed == seed && self.tested == tested && self.arms == cell.names
    }

    pub(super) fn put(&mut self, name: String, value: f64) {
        self.values.insert(name, Exact(value));
    }
}

/// Runs a cell with a seed, on the test set too if it is `tested`. What goes wrong in a run stands in its record; only a device or a file that is gone is an
/// error of the study.
pub(super) fn run(study: &Study, cell: &Cell, seed: u64, tested: bool, registry: &Registry, device: &Device) -> Result<Record> {
    let mut recipe = cell.recipe.clone();
    recipe.seeds.all = seed;
    // the journal keeps what is done, so that Ctrl-C may end the program at once
    recipe.fit = recipe.fit.verbose(0).ctrl_c(false);
    let mut record = Record {
        arms: cell.names.clone(),
        seed,
        tested: tested && study.select.is_some(),
        seconds: 0.0,
        error: None,
        values: BTreeMap::new(),
    };
    let work = || run_into(&mut record, study, &recipe, tested, registry, device);
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Error::Unsupported {
            what: format!("a run that panicked ({})", panic_text(&*panic)),
            at: "the recipe's model or data".into(),
            help: "mend it there".into(),
        })
    });
    match done {
        Err(e @ (Error::DeviceLost { .. } | Error::DeviceFault { .. } | Error::Io { .. } | Error::DataNotFound { .. })) => return Err(e),
        Err(e) => {
            record.error = Some(e.to_string());
            record.values.clear();
        }
        Ok(()) => {}
    }
    Ok(record)
}

fn run_into(record: &mut Record, study: &Study, recipe: &Recipe, tested: bool, registry: &Registry, device: &Device) -> Result<()> {
    let sets = recipe.data.load_seeded(registry, &recipe.seeds)?;
    let mut outcome = recipe.train(registry, device, &sets)?;
    record.seconds = outcome.history.seconds().iter().sum();
    note_history(record, &outcome);
    let Some(test) = sets.test.filter(|_| tested) else { return Ok(()) };
    note(record, "test", &outcome.evaluate(&test, recipe)?);
    for (name, steps) in &study.tests {
        let shown = steps.iter().try_fold(test.clone(), |set, op| op.vary(set, &recipe.seeds))?;
        note(record, &format!("test_{name}"), &outcome.evaluate(&shown, recipe)?);
    }
    Ok(())
}

/// What training saw in the epoch whose weights the model has.
fn note_history(record: &mut Record, outcome: &Outcome) {
    let h = &outcome.history;
    let row = h.restored_epoch().unwrap_or(h.epochs()).saturating_sub(1);
    for name in h.names() {
        if let Some(value) = h.get(name).get(row) {
            record.put(name.into(), *value);
        }
    }
    record.put("epochs".into(), h.epochs() as f64);
}

fn note(record: &mut Record, set: &str, seen: &Evaluation) {
    seen.iter().for_each(|(name, value)| record.put(format!("{set}_{name}"), value));
}
