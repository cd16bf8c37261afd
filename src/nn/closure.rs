//! A loss or a metric that is a closure.

use crate::error::{Error, place};
use crate::graph::Var;
use crate::tensor::DType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

type Formula = dyn Fn(&Var, &Var) -> Var + Send + Sync;

/// A loss or metric of the user's: a name and a closure of (output, labels). Files hold the name alone: reading one is an error that asks
/// for the closure. Two are equal if they have the same name and are the very same closure.
#[derive(Clone)]
pub struct Custom {
    name: String,
    formula: Arc<Formula>,
    /// Where the user made it.
    at: &'static Location<'static>,
}

impl Custom {
    #[track_caller]
    pub(super) fn new(name: impl Into<String>, formula: impl Fn(&Var, &Var) -> Var + Send + Sync + 'static) -> Self {
        Custom { name: name.into(), formula: Arc::new(formula), at: Location::caller() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the closure gives; more or less than one element is a mistake that `compile` or `fit` reports.
    pub(super) fn build(&self, what: &str, output: &Var, labels: &Var) -> Var {
        let v = (self.formula)(output, &alike(output, labels));
        if v.value().is_some() && v.shape().size() != 1 {
            v.builder().fail(Error::ShapeMismatch {
                op: self.name.clone(),
                problem: format!("a {what} has one element, this one has the shape {}", v.shape()),
                at: format!("the {what} `{}`, {}", self.name, place(self.at)),
                help: "end it with `.mean()` or `.sum()`".into(),
            });
            return v.builder().poisoned();
        }
        v
    }
}

/// `[batch]` labels against `[batch, 1]` outputs mean the same numbers; broadcasting them would not.
#[track_caller]
pub(super) fn alike(output: &Var, labels: &Var) -> Var {
    let (o, l) = (output.shape(), labels.shape());
    if labels.dtype() == DType::F32 && o != l && o.size() == l.size() { labels.reshape(o) } else { labels.clone() }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({:?})", self.name)
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.formula, &other.formula)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    custom: String,
}

impl Serialize for Custom {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Name { custom: self.name.clone() }.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Custom {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = Name::deserialize(d)?.custom;
        Err(serde::de::Error::custom(format!(
            "`{name}` is a closure, which no file holds: it must be given again, by `custom(\"{name}\", ..)`"
        )))
    }
}
