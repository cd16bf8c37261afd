//! A recipe that is run.

use super::Recipe;
use super::data_spec::Sets;
use super::registry::Registry;
use crate::data::Dataset;
use crate::device::Device;
use crate::error::Result;
use crate::model::core::Core;
use crate::model::shared::{Model, made};
use crate::train::evaluation::Evaluation;
use crate::train::history::History;

/// Rows of a batch of the test, at least: as in the validation of `fit`.
const TEST_BATCH: usize = 256;

/// What came of a recipe.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The model, as `fit` has left it.
    pub model: Model,
    /// What was seen while it trained.
    pub history: History,
    /// What the test set says of it, if there is one.
    pub test: Option<Evaluation>,
}

impl Recipe {
    /// The model on this device, before any training.
    pub fn compile(&self, registry: &Registry, device: &Device) -> Result<Model> {
        let settings = self.settings().device(device.clone());
        made(registry.make(&self.model, &settings).and_then(|model| Core::new(model, settings)))
    }

    /// The whole run: loads the data, makes the model, trains it, and evaluates it on the test set. The bits are those of the same calls in a
    /// program.
    ///
    /// With [`Compile::ema`](crate::train::Compile::ema) the test is of the weights themselves; `outcome.model.swap_ema()` puts the average in their
    /// place.
    ///
    /// Fails as [`DataSpec::load`](super::DataSpec::load), `compile`, `fit` and `evaluate` do.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::train::{DataSpec, HeldOut, Recipe, Registry};
    /// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(10)).add(Softmax);
    /// let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new());
    /// let data = DataSpec::new("synthetic:300:100").flatten().scale(1.0 / 255.0).validation(HeldOut::Share(0.1)).test(HeldOut::Test);
    /// let recipe = Recipe::new(&net, &settings, &Fit::new().epochs(2).verbose(0), data)?;
    /// let outcome = recipe.run(&Registry::new(), &Device::cpu())?;
    /// assert_eq!(outcome.history["val_accuracy"].len(), 2);
    /// assert!(outcome.test.unwrap()["accuracy"] > 0.0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn run(&self, registry: &Registry, device: &Device) -> Result<Outcome> {
        self.clone().checked()?;
        let sets = self.data.load_seeded(registry, &self.seeds)?;
        let mut outcome = self.train(registry, device, &sets)?;
        outcome.test = sets.test.map(|set| outcome.evaluate(&set, self)).transpose()?;
        Ok(outcome)
    }

    /// The run without its test: makes the model and trains it on sets that are loaded.
    ///
    /// Fails as `compile` and `fit` do.
    pub fn train(&self, registry: &Registry, device: &Device, sets: &Sets) -> Result<Outcome> {
        let mut model = self.compile(registry, device)?;
        let mut fit = self.fit.clone();
        fit.validation = sets.validation.clone();
        let history = model.fit(&sets.train, fit)?;
        Ok(Outcome { model, history, test: None })
    }
}

impl Outcome {
    /// What a set says of the model, in batches of the recipe's size, or of 256 rows where those are smaller: as [`Recipe::run`] tests it.
    pub fn evaluate(&mut self, set: &Dataset, recipe: &Recipe) -> Result<Evaluation> {
        let batch = recipe.fit.batch_size.max(TEST_BATCH);
        self.model.evaluate(set, batch.min(set.len()))
    }
}
