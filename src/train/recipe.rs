//! A whole training run as one value that files can hold.

mod data_op;
mod data_spec;
mod model_spec;
mod registry;
mod run;
mod seeds;
mod unwritable;
mod written;

pub use data_op::DataOp;
pub use data_spec::{DataSpec, HeldOut, Sets};
pub use model_spec::ModelSpec;
pub use registry::Registry;
pub use run::Outcome;
pub use seeds::Seeds;

use super::settings::Fit;
use crate::error::{Error, Faults, Result};
use crate::model::compile::Compile;
use crate::nn::{Layer, Module, Sequential};
use serde::{Deserialize, Serialize};
use written::{Parts, Written};

/// The recipe format that this version writes, and the newest that it reads.
pub const RECIPE_VERSION: u32 = 2;

const SEE: &str = "`--print-recipe` shows every key with its default";

/// A whole training run as one value: what `--print-recipe` shows and `--recipe` reads.
///
#[doc = include_str!("../../docs/recipes.md")]
///
/// ## Versions
///
/// It holds the settings themselves, [`Compile`] and [`Fit`], and so every one of them, but for three that stand elsewhere: the device, on which a recipe is
/// run and which is no part of it; the seeds ([`Recipe::seeds`]); the validation set ([`DataSpec::validation`]).
///
/// Files of version 1 are read and mean what the example `mnist` made of them: their data is flattened, scaled and made one-hot, and the test set is
/// looked at after every epoch. They are written as version 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
#[non_exhaustive]
pub struct Recipe {
    /// The format's version.
    pub version: u32,
    /// Where its random numbers come from.
    pub seeds: Seeds,
    /// The data.
    pub data: DataSpec,
    /// The model.
    pub model: ModelSpec,
    /// Optimizer, loss, input, metrics: all but the device and the seeds.
    pub compile: Compile,
    /// Epochs, batch size, callbacks: all but the validation set.
    pub fit: Fit,
}

impl TryFrom<Written> for Recipe {
    type Error = String;
    fn try_from(text: Written) -> Result<Self, String> {
        let Parts { version, seeds, data, model, compile, fit } = text.parts()?;
        Ok(Recipe { version, seeds, data, model, compile, fit })
    }
}

impl Recipe {
    /// From its parts. The seeds are those of `compile`; its device is left out.
    ///
    /// Fails on what no text holds, and names it: layers of one's own (a model that has some can be [named](Recipe::named)), closures as losses,
    /// metrics, schedules or callbacks, a validation set (say where it comes from: [`DataSpec::validation`]), a path that is no text.
    pub fn new(model: &Sequential, compile: &Compile, fit: &Fit, data: DataSpec) -> Result<Self> {
        let Some(Layer::Sequential { layers }) = model.config() else {
            return Err(Error::Unsupported {
                what: "a recipe of a model with layers of one's own".into(),
                at: format!("{model:?}"),
                help: "use gradus' layers, or put the model into a `Registry` and name it: `Recipe::named`".into(),
            });
        };
        if compile.loss.is_none() || !compile.inputs.is_empty() {
            return Err(Error::Unsupported {
                what: "a recipe of a general step".into(),
                at: "Compile".into(),
                help: "a `Sequential` has one input and a loss of gradus; put a step into a `Registry` and name it: `Recipe::named`".into(),
            });
        }
        Self::of(ModelSpec::Layers(layers), compile, fit, data)
    }

    /// As [`Recipe::new`], of a model that the program makes: its name in the registry, and the settings that its closure takes (`()` for none). Notes
    /// the model's structure, so that a program in which the name means another model refuses the recipe.
    pub fn named(
        name: impl Into<String>,
        config: impl Serialize,
        registry: &Registry,
        compile: &Compile,
        fit: &Fit,
        data: DataSpec,
    ) -> Result<Self> {
        let config = serde_json::to_value(config).map_err(|e| Error::Unsupported {
            what: format!("a recipe of a model with such settings ({e})"),
            at: "Recipe::named, config".into(),
            help: "give settings that JSON can hold".into(),
        })?;
        let plain = ModelSpec::Named { name: name.into(), config, structure: None };
        let mut recipe = Self::of(plain, compile, fit, data)?;
        let found = registry.structure_of(&recipe.model, &recipe.settings())?;
        if let ModelSpec::Named { structure, .. } = &mut recipe.model {
            *structure = Some(found);
        }
        Ok(recipe)
    }

    fn of(model: ModelSpec, compile: &Compile, fit: &Fit, data: DataSpec) -> Result<Self> {
        let seeds = Seeds { order: compile.order_seed, ..Seeds::new(compile.seed) };
        let compile = Compile { device: None, seed: 0, order_seed: None, ..compile.clone() };
        unwritable::check(&compile, fit)?;
        Ok(Recipe { version: RECIPE_VERSION, seeds, data, model, compile, fit: fit.clone() })
    }

    /// The settings to compile with: those of the recipe with its seeds, and without a device.
    pub fn settings(&self) -> Compile {
        let (init, order) = (self.seeds.of_init(), self.seeds.of_order());
        Compile { seed: init, order_seed: (order != init).then_some(order), ..self.compile.clone() }
    }

    /// Reads a recipe in JSON. Unknown keys are refused, as are newer versions, and one that would write outside of the folder that it runs
    /// in: see [`Recipe::inside`].
    pub fn from_json(text: &str) -> Result<Self> {
        Self::from_json_anywhere(text)?.inside()
    }

    /// As [`Recipe::from_json`], for a recipe that is trusted to write wherever it says.
    pub fn from_json_anywhere(text: &str) -> Result<Self> {
        let refused = |e: serde_json::Error| Error::BadRecipe {
            problem: e.to_string(),
            at: format!("line {}, column {}", e.line(), e.column()),
            help: SEE.into(),
        };
        serde_json::from_str(text).map_err(refused).and_then(Self::checked)
    }

    /// The recipe in JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Fails on a recipe that would write outside of the folder that it runs in: to an absolute path, or through `..`. What comes from elsewhere
    /// shall not replace any file of the user's. Nothing in a recipe is executed; what it writes are checkpoints, tables and logs.
    ///
    /// ```
    /// use gradus::train::{DataSpec, Recipe};
    /// use gradus::prelude::*;
    /// let (net, settings) = (Sequential::new().add(Linear::new(1)), Compile::new(Sgd::new(0.1), Mse::new()).input([2]));
    /// let fit = Fit::new().checkpoint(Checkpoint::new("/home/me/run.gradus"));
    /// let recipe = Recipe::new(&net, &settings, &fit, DataSpec::new("mnist"))?;
    /// let e = Recipe::from_json(&recipe.to_json()).unwrap_err();
    /// assert!(e.to_string().contains("fit.checkpoint.path"));
    /// assert_eq!(Recipe::from_json_anywhere(&recipe.to_json())?, recipe);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn inside(self) -> Result<Self> {
        let help = "give a path below the folder that it runs in; if you trust the recipe, read it with `from_json_anywhere` (the example: `--trust-recipe`)";
        let mut f = Faults::default();
        for (key, path) in self.fit.outside() {
            f.check(false, &key, format!("{path:?} leads out of the folder that the recipe runs in"), help);
        }
        f.finish()?;
        Ok(self)
    }

    /// The error for a recipe that a parser refused.
    pub fn unreadable(problem: &str) -> Error {
        Error::BadRecipe { problem: problem.trim().into(), at: "the key or line named above".into(), help: SEE.into() }
    }

    /// The recipe, if this version can run it.
    pub fn checked(self) -> Result<Self> {
        if !(1..=RECIPE_VERSION).contains(&self.version) {
            return Err(Error::BadRecipe {
                problem: format!("version {}, this gradus reads {RECIPE_VERSION}", self.version),
                at: "version".into(),
                help: "use a newer gradus".into(),
            });
        }
        let mut f = Faults::default();
        self.compile.faults(&mut f, None);
        self.fit.faults(&mut f);
        self.data.check(&mut f);
        let seeds = self.compile.seed == 0 && self.compile.order_seed.is_none();
        f.check(seeds, "compile.seed", "a recipe has its seeds in a place of their own", "give them in `seeds`: `all`, `init`, `order`");
        f.check(self.compile.device.is_none(), "compile.device", "a recipe has no device", "give it where the recipe is run");
        f.finish()?;
        Ok(self)
    }
}
