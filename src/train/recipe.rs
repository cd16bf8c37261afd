//! A whole training run as one value that files can hold.

use super::Fit;
use crate::device::Device;
use crate::error::{Error, Faults, Result};
use crate::graph::Precision;
use crate::model::compile::Compile;
use crate::model::make::ModuleExt;
use crate::model::shared::Model;
use crate::nn::{Layer, Loss, Metric, Penalized, Sequential};
use crate::optim::{LossScale, Optimizer};
use crate::tensor::{DType, Shape};
use serde::{Deserialize, Serialize};

/// The recipe format that this version writes, and the newest that it reads.
pub const RECIPE_VERSION: u32 = 1;

const SEE: &str = "`--print-recipe` shows every key with its default";

/// Where a recipe's data comes from, and what is made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DataSource {
    /// `mnist`, `synthetic`, or a folder in MNIST's format.
    pub source: String,
    /// Multiplies every feature.
    pub scale: f32,
}

impl DataSource {
    /// This source; bytes become 0 to 1.
    pub fn new(source: &str) -> Self {
        DataSource { source: source.into(), scale: 1.0 / 255.0 }
    }
}

/// A whole training run as one value: what `--print-recipe` shows and `--recipe` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recipe {
    /// The format's version.
    pub version: u32,
    /// Of initial weights and order.
    pub seed: u64,
    /// The shape of one row of input.
    pub input: Shape,
    /// What `x` is: f32, or u32 for indices; f32.
    #[serde(default = "crate::model::compile::f32_input")]
    pub input_dtype: DType,
    /// The data.
    pub data: DataSource,
    /// The optimizer with its rates.
    pub optimizer: Optimizer,
    /// The loss.
    pub loss: Loss,
    /// The metrics.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The largest norm of all gradients together; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// The largest size of a gradient's element; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// The decay of an average of the weights; none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// What the loss is multiplied by before its gradients are made; nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// What the size of parameters adds to the loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub penalties: Vec<Penalized>,
    /// In which precision it computes; f32.
    #[serde(default, skip_serializing_if = "crate::model::compile::is_f32")]
    pub precision: Precision,
    /// Epochs, batch size, order.
    pub fit: Fit,
    /// The layers, in order.
    pub layers: Vec<Layer>,
}

impl Recipe {
    /// From its parts. Fails if the model has layers of one's own, which a recipe cannot hold.
    pub fn new(model: &Sequential, compile: &Compile, fit: &Fit, data: DataSource) -> Result<Self> {
        use crate::nn::Module;
        let Some(Layer::Sequential { layers }) = model.config() else {
            return Err(Error::Unsupported {
                what: "a recipe of a model with layers of one's own".into(),
                at: format!("{model:?}"),
                help: "use gradus' layers, or keep the settings without the model".into(),
            });
        };
        // field by field: one that `Compile` gains must be thought of here. The device is where it runs and no part of it.
        let Compile {
            optimizer,
            loss,
            input,
            input_dtype,
            inputs,
            metrics,
            clip_norm,
            clip_value,
            ema,
            loss_scale,
            penalties,
            precision,
            device: _,
            seed,
        } = compile.clone();
        let Some(loss) = loss.filter(|_| inputs.is_empty()) else {
            return Err(Error::Unsupported {
                what: "a recipe of a general step".into(),
                at: "Compile".into(),
                help: "a recipe holds a `Sequential` of one input and a loss of gradus".into(),
            });
        };
        if fit.readable() != *fit {
            return Err(Error::Unsupported {
                what: "a recipe with a path that is no text".into(),
                at: "Fit".into(),
                help: "a recipe is text: name its files in UTF-8".into(),
            });
        }
        Ok(Recipe {
            version: RECIPE_VERSION,
            seed,
            input,
            input_dtype,
            data,
            optimizer,
            loss,
            metrics,
            clip_norm,
            clip_value,
            ema,
            loss_scale,
            penalties,
            precision,
            fit: fit.clone(),
            layers,
        })
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
    /// use gradus::train::{DataSource, Recipe};
    /// use gradus::prelude::*;
    /// let (net, settings) = (Sequential::new().add(Linear::new(1)), Compile::new(Sgd::new(0.1), Mse::new()).input([2]));
    /// let fit = Fit::new().checkpoint(Checkpoint::new("/home/me/run.gradus"));
    /// let recipe = Recipe::new(&net, &settings, &fit, DataSource::new("mnist"))?;
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
        if self.version > RECIPE_VERSION {
            return Err(Error::BadRecipe {
                problem: format!("version {}, this gradus reads {RECIPE_VERSION}", self.version),
                at: "version".into(),
                help: "use a newer gradus".into(),
            });
        }
        let mut f = Faults::default();
        self.compile_settings().faults(&mut f, None);
        self.fit.faults(&mut f);
        f.check(self.data.scale.is_finite(), "data.scale", self.data.scale, "give a finite number");
        f.finish()?;
        Ok(self)
    }

    fn compile_settings(&self) -> Compile {
        let r = self.clone();
        Compile {
            optimizer: r.optimizer,
            loss: Some(r.loss),
            input: r.input,
            input_dtype: r.input_dtype,
            inputs: vec![],
            metrics: r.metrics,
            clip_norm: r.clip_norm,
            clip_value: r.clip_value,
            ema: r.ema,
            loss_scale: r.loss_scale,
            penalties: r.penalties,
            precision: r.precision,
            device: None,
            seed: r.seed,
        }
    }

    /// The model, on this device.
    pub fn compile(&self, device: Device) -> Result<Model> {
        Sequential::from_layers(&self.layers).compile(self.compile_settings().device(device))
    }
}
