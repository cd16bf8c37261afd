//! Models and data sets that a program makes and recipes name.

use super::model_spec::ModelSpec;
use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::model::build::{build, input_fields};
use crate::model::compile::Compile;
use crate::model::describe::{Batch, Describe, StepFn, StepOut, Supervised};
use crate::nn::{Module, Scope, Sequential};
use crate::plan::Purpose;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

type Make = dyn Fn(&Value) -> Result<Arc<dyn Describe>> + Send + Sync;

/// What a program adds to recipes: models that no file holds, and data sets that lie in no file, by their names.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::train::{DataSpec, Recipe, Registry};
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Config { width: usize }
/// let registry = Registry::new().with("twins", |c: Config| {
///     module(move |s, x| {
///         let h = s.at("left").call(&Linear::new(c.width), x).relu() + s.at("right").call(&Linear::new(c.width), x).tanh();
///         s.at("out").call(&Linear::new(1), &h)
///     })
/// });
/// let settings = Compile::new(Adam::default(), Mse::new()).input([4]);
/// let recipe = Recipe::named("twins", Config { width: 8 }, &registry, &settings, &Fit::new(), DataSpec::new("table"))?;
/// let model = Recipe::from_json(&recipe.to_json())?.compile(&registry, &Device::cpu())?;
/// assert_eq!(model.parameter_count(), 2 * (4 * 8 + 8) + 8 + 1);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Registry {
    models: BTreeMap<String, Arc<Make>>,
    data: BTreeMap<String, (Dataset, Option<Dataset>)>,
}

impl Registry {
    /// With nothing of the program's own: for recipes of gradus' layers and sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model under a name. The closure is given the recipe's `config`, as any type that serde reads: `()` where there is none.
    pub fn with<C, M>(mut self, name: impl Into<String>, make: impl Fn(C) -> M + Send + Sync + 'static) -> Self
    where
        C: DeserializeOwned,
        M: Module,
    {
        let make = move |c: &Value| Ok(Arc::new(Supervised(Arc::new(make(config(c)?)), None)) as Arc<dyn Describe>);
        self.models.insert(name.into(), Arc::new(make));
        self
    }

    /// Adds a general [`step`](crate::train::step) under a name, as [`Registry::with`] does a module.
    pub fn with_step<C, F>(mut self, name: impl Into<String>, make: impl Fn(C) -> StepFn<F> + Send + Sync + 'static) -> Self
    where
        C: DeserializeOwned,
        F: Fn(&Scope, &Batch) -> StepOut + Send + Sync + 'static,
    {
        let make = move |c: &Value| Ok(Arc::new(make(config(c)?)) as Arc<dyn Describe>);
        self.models.insert(name.into(), Arc::new(make));
        self
    }

    /// Adds a training set, and its test set if there is one, under a name that [`DataSpec::source`](super::DataSpec::source) may be.
    pub fn with_data(mut self, name: impl Into<String>, train: &Dataset, test: Option<&Dataset>) -> Self {
        self.data.insert(name.into(), (train.clone(), test.cloned()));
        self
    }

    /// The names of its models.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    pub(super) fn data(&self, name: &str) -> Option<&(Dataset, Option<Dataset>)> {
        self.data.get(name)
    }

    pub(super) fn data_names(&self) -> impl Iterator<Item = &str> {
        self.data.keys().map(String::as_str)
    }

    /// The model of a recipe. Fails where its name is not known, and where it has another structure than the recipe says.
    pub(super) fn make(&self, spec: &ModelSpec, settings: &Compile) -> Result<Arc<dyn Describe>> {
        let (name, config, wanted) = match spec {
            ModelSpec::Layers(layers) => return Ok(Arc::new(Supervised(Arc::new(Sequential::from_layers(layers)), None))),
            ModelSpec::Named { name, config, structure } => (name, config, structure),
        };
        let Some(make) = self.models.get(name) else {
            let mut known: Vec<String> = self.models().map(|n| format!("`{n}`")).collect();
            if known.is_empty() {
                known.push("none: this program registers no model".into());
            }
            return Err(Error::NotFound { what: "model".into(), name: name.clone(), at: "the registry, for model.named".into(), known });
        };
        let model = make(config)?;
        if let Some(wanted) = wanted {
            let (parameters, found) = structure(&*model, settings)?;
            let known = self.models().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
            let problem = format!("the recipe was made with a `{name}` of structure {wanted}, here it is {found}: {parameters}");
            let help = format!("register it as it was, name another ({known}), or leave the structure out to take this one");
            let mut f = Faults::default();
            f.check(*wanted == found, "model.named.structure", problem, &help);
            f.finish()?;
        }
        Ok(model)
    }

    /// The hash of the structure that a named model has with these settings.
    pub(super) fn structure_of(&self, spec: &ModelSpec, settings: &Compile) -> Result<String> {
        Ok(structure(&*self.make(spec, settings)?, settings)?.1)
    }
}

/// The recipe's settings of a named model, as the type that its closure takes.
fn config<C: DeserializeOwned>(value: &Value) -> Result<C> {
    C::deserialize(value).map_err(|e| Error::BadRecipe {
        problem: e.to_string(),
        at: "model.named.config".into(),
        help: "give the settings that the registry's closure takes".into(),
    })
}

/// The names and shapes of a model's parameters and buffers, and a hash of them: 16 hexadecimal digits.
fn structure(model: &dyn Describe, settings: &Compile) -> Result<(String, String)> {
    let signature = build(model, settings, Purpose::Predict, 2, &input_fields(settings))?.signature;
    let parameters = signature.parameters.iter().map(|p| format!("{} {}", p.name, p.shape));
    let buffers = signature.buffers.iter().map(|b| format!("{} {}", b.name, b.shape));
    let text = parameters.chain(buffers).collect::<Vec<_>>().join(", ");
    // FNV-1a
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    Ok((text, format!("{hash:016x}")))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.models().collect();
        f.debug_struct("Registry").field("models", &names).field("data", &self.data).finish()
    }
}
