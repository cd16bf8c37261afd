//! What a study varies: axes of arms.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One thing that a study varies: its name, and the arms that it takes.
///
/// In files: `[[axis]]` with a `name` and tables `[[axis.arm]]`; or, for the values of one setting, `path` and `values`, whose name is the path unless
/// one is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
#[non_exhaustive]
#[must_use]
pub struct Axis {
    /// Its name: a column of the table.
    pub name: String,
    /// What it takes, the one that others are held against first.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
}

/// One arm: a name, and what it changes in the recipe. Without changes it is the recipe itself.
///
/// ```
/// use gradus::study::Arm;
/// let decay = Arm::new("weight decay").set("compile.optimizer.name", "adamw").set("compile.optimizer.weight_decay", 0.01).seeds(5);
/// assert_eq!(decay.set.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Arm {
    /// Its name in the table.
    pub name: String,
    /// Paths in the recipe's text and what stands there instead: see the page of [`study`](crate::study).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// Only the study's first seeds, so many of them; all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// Only together with these arms of other axes; with all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}

impl Axis {
    /// An axis of these arms.
    pub fn new(name: impl Into<String>, arms: impl IntoIterator<Item = Arm>) -> Self {
        Axis { name: name.into(), arms: arms.into_iter().collect() }
    }

    /// An axis of the values of one setting.
    pub fn of_values<V: Serialize>(path: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        let path = path.into();
        let arms = values.into_iter().map(|v| Arm::of_value(&path, serde_json::to_value(v).unwrap_or(Value::Null))).collect();
        Axis { name: path, arms }
    }
}

impl Arm {
    /// An arm that changes nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Arm { name: name.into(), set: BTreeMap::new(), seeds: None, only: vec![] }
    }
    /// Sets the value at a path. One that no text can hold becomes null, which the recipe refuses.
    pub fn set(mut self, path: impl Into<String>, value: impl Serialize) -> Self {
        self.set.insert(path.into(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }
    /// Only the study's first seeds, so many of them.
    pub fn seeds(mut self, seeds: usize) -> Self {
        self.seeds = Some(seeds);
        self
    }
    /// Only together with these arms of other axes.
    pub fn only<S: Into<String>>(mut self, arms: impl IntoIterator<Item = S>) -> Self {
        self.only = arms.into_iter().map(Into::into).collect();
        self
    }

    fn of_value(path: &str, value: Value) -> Self {
        let name = value.as_str().map_or_else(|| value.to_string(), String::from);
        Arm::new(name).set(path, value)
    }
}

/// An axis as files have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    arm: Option<Vec<Arm>>,
    path: Option<String>,
    values: Option<Vec<Value>>,
}

impl TryFrom<Written> for Axis {
    type Error = String;
    fn try_from(axis: Written) -> Result<Self, String> {
        match axis {
            Written { name: Some(name), arm: Some(arms), path: None, values: None } => Ok(Axis { name, arms }),
            Written { name, arm: None, path: Some(path), values: Some(values) } => {
                let axis = Axis::of_values(path, values);
                Ok(Axis { name: name.unwrap_or(axis.name), ..axis })
            }
            _ => Err("an axis has a `name` and `arm`s, or a `path` and `values`".into()),
        }
    }
}
