//! A study as a value.

use super::axis::{Arm, Axis};
use crate::error::{Error, Faults, Result};
use crate::train::{Budget, DataOp, Recipe};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Seeds of a study that names none.
const SEEDS: u64 = 5;

/// A study: a recipe, what is varied of it, and by how many seeds. See the page of [`study`](crate::study).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Study {
    /// A heading for its tables; none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The seeds, each of which is the `seeds.all` of a run of every arm; 0 to 4. In files a list, or how many.
    #[serde(default = "usual_seeds", deserialize_with = "seeds")]
    pub seeds: Vec<u64>,
    /// How long each run may be; as the recipe says. An arm may set `fit.budget` on its own.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    /// Whether time is compared: then one run goes after another, with the whole device; it is not.
    #[serde(default)]
    pub time: bool,
    /// The axis whose first arm all others are held against, the other axes being equal; the last axis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// The value of the validation set by which an arm is chosen, as `val_accuracy`. Then only the chosen arm sees the test set; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
    /// The values that tables for people show; all of the test set but losses, else of the validation set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Paths in the recipe's text that are set in every run, after its arms; none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// The test set shown in other ways, beside itself: names, and what is done with it, after the recipe's pipeline.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tests: BTreeMap<String, Vec<DataOp>>,
    /// What changes where the study shall be brief: see [`Study::smaller`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small: Option<Small>,
    /// The recipe.
    pub base: Recipe,
    /// What is varied; several axes make a grid.
    #[serde(default, rename = "axis", skip_serializing_if = "Vec::is_empty")]
    pub axes: Vec<Axis>,
}

/// What changes where a study shall be brief.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Small {
    /// The first seeds alone, so many of them; all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// Of an axis these arms alone; all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub arms: BTreeMap<String, Vec<String>>,
    /// Paths in the recipe's text that are set in every run, after its arms; none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
}

fn usual_seeds() -> Vec<u64> {
    (0..SEEDS).collect()
}

fn seeds<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "how many seeds, or a list of them")]
    enum Written {
        Count(u32),
        List(Vec<u64>),
    }
    Ok(match Written::deserialize(d)? {
        Written::Count(n) => (0..u64::from(n)).collect(),
        Written::List(list) => list,
    })
}

impl Study {
    /// This recipe, by five seeds.
    pub fn new(base: Recipe) -> Self {
        Study {
            name: String::new(),
            base,
            axes: vec![],
            seeds: usual_seeds(),
            budget: Budget::default(),
            time: false,
            against: None,
            select: None,
            columns: vec![],
            set: BTreeMap::new(),
            tests: BTreeMap::new(),
            small: None,
        }
    }
    /// A heading for its tables.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
    /// Adds an axis of the values of one setting: `axis("optimizer.lr", [1e-4, 1e-3])`.
    pub fn axis<V: Serialize>(mut self, path: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        self.axes.push(Axis::of_values(path, values));
        self
    }
    /// Adds an axis of named arms.
    pub fn arms(mut self, name: impl Into<String>, arms: impl IntoIterator<Item = Arm>) -> Self {
        self.axes.push(Axis::new(name, arms));
        self
    }
    /// The seeds.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = u64>) -> Self {
        self.seeds = seeds.into_iter().collect();
        self
    }
    /// How long each run may be.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }
    /// Whether time is compared.
    pub fn time(mut self, compared: bool) -> Self {
        self.time = compared;
        self
    }
    /// The axis whose first arm all others are held against.
    pub fn against(mut self, axis: impl Into<String>) -> Self {
        self.against = Some(axis.into());
        self
    }
    /// The value of the validation set by which an arm is chosen.
    pub fn select(mut self, value: impl Into<String>) -> Self {
        self.select = Some(value.into());
        self
    }
    /// The values that tables for people show.
    pub fn columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.columns = columns.into_iter().map(Into::into).collect();
        self
    }
    /// Sets the value at a path in every run, after its arms.
    pub fn set(mut self, path: impl Into<String>, value: impl Serialize) -> Self {
        self.set.insert(path.into(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }
    /// Adds a way to show the test set: after the recipe's pipeline, these steps.
    pub fn test(mut self, name: impl Into<String>, steps: impl IntoIterator<Item = DataOp>) -> Self {
        self.tests.insert(name.into(), steps.into_iter().collect());
        self
    }
    /// What changes where the study shall be brief.
    pub fn small(mut self, small: Small) -> Self {
        self.small = Some(small);
        self
    }

    /// The study in its brief form. Fails where it has none, and on an axis or arm that it does not have.
    pub fn smaller(mut self) -> Result<Self> {
        let Some(small) = self.small.take() else {
            return Err(Error::NotFound { what: "brief form".into(), name: "small".into(), at: "the study".into(), known: vec![] });
        };
        for (name, kept) in &small.arms {
            let known = self.axes.iter().map(|a| a.name.clone()).collect();
            let Some(axis) = self.axes.iter_mut().find(|a| a.name == *name) else { return Err(missing("axis", name, "small.arms", known)) };
            let known: Vec<String> = axis.arms.iter().map(|a| a.name.clone()).collect();
            if let Some(name) = kept.iter().find(|k| !known.contains(k)) {
                return Err(missing("arm", name, &format!("small.arms.{}", axis.name), known));
            }
            axis.arms.retain(|a| kept.contains(&a.name));
        }
        // what an arm is bound to may be gone, and with all of it the arm
        let left: Vec<String> = self.axes.iter().flat_map(|a| &a.arms).map(|a| a.name.clone()).collect();
        for axis in &mut self.axes {
            axis.arms.retain(|a| a.only.is_empty() || a.only.iter().any(|o| left.contains(o)));
            axis.arms.iter_mut().for_each(|a| a.only.retain(|o| left.contains(o)));
        }
        self.seeds.truncate(small.seeds.unwrap_or(usize::MAX));
        self.set.extend(small.set);
        Ok(self)
    }

    /// The axis whose first arm all others are held against.
    pub(super) fn compared(&self) -> Option<usize> {
        match &self.against {
            Some(name) => self.axes.iter().position(|a| a.name == *name),
            None => self.axes.len().checked_sub(1),
        }
    }

    /// Notes what is wrong with the study itself.
    pub(super) fn faults(&self, f: &mut Faults) {
        let twice = |names: Vec<&String>| names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)).map(|(_, n)| n.to_string());
        f.check(!self.seeds.is_empty(), "seeds", "there is none", "give at least 1; 5 and more show differences");
        let seed = self.seeds.iter().enumerate().find(|(i, s)| self.seeds[..*i].contains(s));
        f.check(seed.is_none(), "seeds", format!("{} stands there twice", seed.map_or(0, |s| *s.1)), "give each once");
        let axis = twice(self.axes.iter().map(|a| &a.name).collect());
        f.check(axis.is_none(), "axis", format!("two are called `{}`", axis.unwrap_or_default()), "give each a `name` of its own");
        let all: Vec<&String> = self.axes.iter().flat_map(|a| &a.arms).map(|a| &a.name).collect();
        for axis in &self.axes {
            let key = format!("axis `{}`", axis.name);
            f.check(!axis.arms.is_empty(), &key, "it has no arms", "give at least one");
            let arm = twice(axis.arms.iter().map(|a| &a.name).collect());
            f.check(arm.is_none(), &key, format!("two arms are called `{}`", arm.unwrap_or_default()), "give each a name of its own");
            for arm in &axis.arms {
                let key = format!("{key}, arm `{}`", arm.name);
                f.check(arm.seeds != Some(0), &key, "it has 0 seeds", "give at least 1, or leave the arm out");
                let strange = arm.only.iter().find(|o| !all.contains(o));
                f.check(
                    strange.is_none(),
                    &key,
                    format!("there is no arm `{}`", strange.map_or("", |s| s)),
                    "name arms of the other axes in `only`",
                );
            }
        }
        let known = self.axes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.against.is_none() || self.compared().is_some();
        f.check(found, "against", format!("there is no axis `{}`", self.against.as_deref().unwrap_or("")), &format!("name one of {known}"));
        if let Some(by) = &self.select {
            let help = "choose on validation data: `val_accuracy`, `val_loss`; the test set is touched once, when all is chosen";
            f.check(by.starts_with("val_"), "select", format!("`{by}` is no value of the validation set"), help);
        }
        for (name, steps) in &self.tests {
            let key = format!("tests.{name}");
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            f.check(plain, &key, "it is the name of columns", "give letters, digits and `_`");
            let shows = steps.iter().all(|op| !op.chooses());
            f.check(
                shows,
                &key,
                "a step chooses rows, which the test set has all",
                "show the test set in another way, as by `scale` and `shift`",
            );
        }
    }
}

fn missing(what: &str, name: &str, at: &str, known: Vec<String>) -> Error {
    Error::NotFound { what: what.into(), name: name.into(), at: at.into(), known }
}
