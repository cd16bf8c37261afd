//! The grid of a study: each combination of arms with the recipe that it runs, checked before anything runs.

use super::axis::Arm;
use super::path;
use super::settings::Study;
use crate::error::{Error, Faults, Result};
use crate::rng::fnv1a;
use crate::train::{HeldOut, Recipe, Resume};
use serde_json::Value;
use std::collections::BTreeSet;

/// Callbacks that write no file: runs beside each other would write over one another's.
const QUIET_CALLBACKS: [&str; 4] = ["early_stopping", "reduce_lr_on_plateau", "learning_rate_scheduler", "terminate_on_nan"];

/// One arm of each axis: a row of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    /// The place of its arm in each axis.
    pub at: Vec<usize>,
    /// The arms' names.
    pub names: Vec<String>,
    /// What it runs.
    pub recipe: Recipe,
    /// The seeds that it runs with.
    pub seeds: Vec<u64>,
}

impl Study {
    /// All combinations of arms that belong together, in order. Fails on every fault of the study and of its recipes.
    pub(super) fn cells(&self) -> Result<Vec<Cell>> {
        let mut f = Faults::default();
        self.faults(&mut f);
        f.finish()?;
        let base = serde_json::to_value(&self.base).map_err(|e| unreadable(&e.to_string(), "base"))?;
        let mut all = vec![];
        let count = self.axes.iter().try_fold(1usize, |n, a| n.checked_mul(a.arms.len())).unwrap_or(usize::MAX);
        let mut f = Faults::default();
        f.check(count <= MOST, "axis", format!("{count} combinations of arms"), "a grid of 10,000 is the largest: leave axes out");
        f.finish()?;
        for number in 0..count {
            let at = self.places(number);
            let arms: Vec<&Arm> = self.axes.iter().zip(&at).map(|(axis, i)| &axis.arms[*i]).collect();
            let together = |a: &Arm| a.only.is_empty() || arms.iter().any(|b| a.only.contains(&b.name));
            if arms.iter().all(|a| together(a)) {
                all.push(self.cell(&base, at, &arms)?);
            }
        }
        let mut f = Faults::default();
        f.check(!all.is_empty(), "axis", "`only` leaves no combination of arms", "name arms that there are together");
        f.finish()?;
        Ok(all)
    }

    /// The arms of a combination: the last axis goes round first.
    fn places(&self, number: usize) -> Vec<usize> {
        let (mut left, mut at) = (number, vec![0; self.axes.len()]);
        for (place, axis) in at.iter_mut().zip(&self.axes).rev() {
            (*place, left) = (left % axis.arms.len(), left / axis.arms.len());
        }
        at
    }

    fn cell(&self, base: &Value, at: Vec<usize>, arms: &[&Arm]) -> Result<Cell> {
        let names: Vec<String> = match arms {
            [] => vec!["base".into()],
            _ => arms.iter().map(|a| a.name.clone()).collect(),
        };
        let place = format!("the arm {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "));
        let mut text = base.clone();
        if !self.budget.is_empty() {
            let budget = serde_json::to_value(self.budget).map_err(|e| unreadable(&e.to_string(), "budget"))?;
            path::set(&mut text, "fit.budget", &budget).map_err(|e| unreadable(&e, "budget"))?;
        }
        let sets = arms.iter().flat_map(|a| &a.set).chain(&self.set);
        for (path, value) in sets.clone() {
            path::set(&mut text, path, value).map_err(|e| unreadable(&e, &format!("{place}, `{path}`")))?;
        }
        let written = sets.map(|(path, _)| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        let at_all = if written.is_empty() { place.clone() } else { format!("{place}, which sets {written}") };
        let recipe: Recipe = serde_json::from_value(text).map_err(|e| unreadable(&e.to_string(), &at_all))?;
        let recipe = recipe.checked()?.inside()?;
        self.fits(&recipe, &place)?;
        let most = arms.iter().filter_map(|a| a.seeds).min().unwrap_or(usize::MAX);
        Ok(Cell { at, names, recipe, seeds: self.seeds.iter().copied().take(most).collect() })
    }

    /// Fails on a recipe that a study cannot run, or that looks at the test set before its end.
    fn fits(&self, r: &Recipe, place: &str) -> Result<()> {
        let mut f = Faults::default();
        let key = |name: &str| format!("{place}, {name}");
        let outside = |h: &Option<HeldOut>| matches!(h, Some(HeldOut::Test | HeldOut::Source(_)));
        let leaks = r.data.validation == Some(HeldOut::Test) || outside(&r.data.validation) && r.data.validation == r.data.test;
        let help = "the test set is touched once, at the end; hold training rows out for validation: `{ split = { share = 0.2 } }`";
        f.check(!leaks, &key("data.validation"), "it is the test set", help);
        f.check(
            r.seeds.all == self.base.seeds.all,
            &key("seeds.all"),
            "each run has a seed of the study",
            "give `seeds` of the study; `seeds.init` and its like may be set",
        );
        let tested = self.tests.is_empty() || r.data.test.is_some();
        f.check(
            tested,
            &key("data.test"),
            "the study shows the test set in other ways, and there is none",
            "say what is tested on: `test = \"test\"`",
        );
        let chosen = self.select.is_none() || r.data.validation.is_some();
        f.check(
            chosen,
            &key("data.validation"),
            "the study chooses by it, and there is none",
            "hold training rows out: `{ split = { share = 0.2 } }`",
        );
        let help = "a study has its own journal, from which it goes on";
        f.check(r.fit.checkpoint.is_none() && r.fit.resume == Resume::Never, &key("fit.checkpoint"), "a run of a study writes none", help);
        let loud = r.fit.callbacks.iter().find(|c| !QUIET_CALLBACKS.contains(&c.name()));
        let help = format!("runs would write over each other's; a study takes {}", QUIET_CALLBACKS.join(", "));
        f.check(loud.is_none(), &key("fit.callbacks"), format!("`{}` writes a file", loud.map_or("", |c| c.name())), &help);
        let timed = r.fit.budget.seconds.is_none() || self.time;
        f.check(
            timed,
            &key("fit.budget.seconds"),
            "runs share the processor",
            "bound runs by epochs or updates, or say `time = true`: then each has it alone",
        );
        f.finish()
    }
}

/// Combinations of arms that a study may have.
const MOST: usize = 10_000;

/// What tells this study from others in its journal: all that decides what a run comes to, but its seed. Seconds that runs took beside each other are not
/// compared with those of runs that went one after another.
pub(super) fn fingerprint(study: &Study, cells: &[Cell]) -> String {
    let cells: Vec<(&Vec<String>, &Recipe)> = cells.iter().map(|c| (&c.names, &c.recipe)).collect();
    let text = serde_json::to_string(&(env!("CARGO_PKG_VERSION"), cells, &study.tests, &study.select, study.time)).unwrap_or_default();
    format!("{:016x}", fnv1a(text.as_bytes()))
}

/// The sources that the cells read.
pub(super) fn sources(cells: &[Cell]) -> BTreeSet<String> {
    let held = |h: &Option<HeldOut>| if let Some(HeldOut::Source(s)) = h { Some(s.clone()) } else { None };
    let of = |c: &Cell| {
        let d = &c.recipe.data;
        [Some(d.source.clone()), held(&d.validation), held(&d.test)]
    };
    cells.iter().flat_map(of).flatten().collect()
}

fn unreadable(problem: &str, at: &str) -> Error {
    Error::BadRecipe {
        problem: problem.into(),
        at: at.into(),
        help: "a path is a key of the recipe's text, as `compile.optimizer.lr` or `model.layers.0`; docs/recipes.md lists them".into(),
    }
}
