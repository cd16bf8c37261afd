//! A whole model as one file: settings, weights, optimizer state.

use super::format::{FORMAT, META, NOT_WEIGHTS, Tensor, bad_file, check_format, check_whole, parse, tensor, to_f32};
use super::weights::{Load, write_file};
use super::{atomic, sum};
use crate::device::Device;
use crate::error::{Error, Result, WrongShape};
use crate::model::build::{build, input_fields};
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::model::describe::{Batch, Describe, StepFn, StepOut, Supervised};
use crate::model::loss_scale::SavedScale;
use crate::model::shared::{Model, made};
use crate::nn::{Layer, Module, Scope};
use crate::plan::{BufferId, Purpose};
use safetensors::tensor::SafeTensors;
use std::path::Path;
use std::sync::Arc;

/// The metadata of the file.
#[derive(serde::Serialize, serde::Deserialize)]
struct Meta {
    format: u32,
    gradus: String,
    model: Option<Layer>,
    compile: Compile,
    updates: u64,
    batches: u64,
    epochs: u64,
    /// Where the loss scale stands, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss_scale: Option<SavedScale>,
    /// Whether the weights and their average have changed places.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    swapped: bool,
}

impl Model {
    /// Writes the whole model: settings, weights, optimizer state. [`Model::load`] reads it in another process.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.lock().save(path)
    }

    /// Reads a model that [`Model::save`] wrote, onto [`Device::best`]. Works for models of gradus' own layers; one with layers of
    /// the user's needs [`Model::load_with`].
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        Self::load_on(path, Device::best()?)
    }

    /// As [`Model::load`], onto this device.
    pub fn load_on(path: impl AsRef<Path>, device: Device) -> Result<Model> {
        made(Core::read(path.as_ref(), None, device))
    }

    /// As [`Model::load_on`], with the module given again.
    pub fn load_with(module: impl Module, path: impl AsRef<Path>, device: Device) -> Result<Model> {
        made(Core::read(path.as_ref(), Some(Arc::new(Supervised(Arc::new(module), None))), device))
    }
}

impl<F: Fn(&Scope, &Batch) -> StepOut + Send + Sync + 'static> StepFn<F> {
    /// Reads a model of this step that [`Model::save`] wrote.
    pub fn load(self, path: impl AsRef<Path>, device: Device) -> Result<Model> {
        made(Core::read(path.as_ref(), Some(Arc::new(self)), device))
    }
}

impl Core {
    pub(crate) fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.settle_now()?; // the counters are those of the weights
        let mut tensors = self.parameter_tensors()?;
        for m in 0..self.engine.rule.moments {
            tensors.extend(self.moment_tensors(m)?);
        }
        let meta = Meta {
            format: FORMAT,
            gradus: env!("CARGO_PKG_VERSION").into(),
            model: self.description.module.config(),
            compile: self.description.settings.clone(),
            updates: self.progress.updates,
            batches: self.progress.batches,
            epochs: self.progress.epochs,
            loss_scale: self.progress.scaler.map(|s| s.saved()),
            swapped: self.progress.swapped,
        };
        let meta = serde_json::to_string(&meta).map_err(|e| bad_file(path.as_ref(), &e.to_string(), "settings", "report this"))?;
        write_file(path.as_ref(), &tensors, Some(meta))
    }

    pub(crate) fn read(path: &Path, module: Option<Arc<dyn Describe>>, device: Device) -> Result<Core> {
        let bytes = atomic::read(path)?;
        let file = parse(path, &bytes)?;
        let text = SafeTensors::read_metadata(&bytes).ok().and_then(|(_, m)| m.metadata().as_ref()?.get(META).cloned());
        let no_model = "it holds weights and no model: build the model and use `load_weights`";
        let text = text.ok_or_else(|| bad_file(path, "not a gradus model", "its metadata", no_model))?;
        let mut value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| bad_file(path, &e.to_string(), "its metadata", no_model))?;
        check_format(path, &value)?;
        check_whole(path, &bytes)?;
        sum::check(path, &bytes, &file)?;
        if let Some(name) = closure(&value) {
            let problem = format!("it was trained with `{name}`, a closure, which no file holds");
            let help = "compile the model again with that loss and metric, then `load_weights(path, Load::new().ignore(\"optimizer.*\"))`";
            return Err(bad_file(path, &problem, "its settings", help));
        }
        // the device is the caller's choice, not the file's: the machine that wrote it may have had another
        if let Some(c) = value.get_mut("compile").and_then(|c| c.as_object_mut()) {
            c.remove("device");
        }
        let meta: Meta = serde_json::from_value(value).map_err(|e| bad_file(path, &e.to_string(), "its metadata", "it was damaged"))?;
        let module: Arc<dyn Describe> = match (module, meta.model) {
            (Some(m), _) => m,
            (None, Some(layer)) => Arc::new(Supervised(layer.build().into(), None)),
            (None, None) => {
                return Err(bad_file(
                    path,
                    "the model has layers of one's own",
                    "its metadata",
                    "use `Model::load_with(module, ..)`, or `step(..).load(..)`",
                ));
            }
        };
        let settings = meta.compile.device(device);
        // before memory is taken for what the settings merely say
        check_shapes(path, &file, &*module, &settings)?;
        let mut model = Core::new(module, settings)?;
        let how = NOT_WEIGHTS.into_iter().fold(Load::new(), Load::ignore);
        let (words, _) = model.match_weights(path, &file, &how)?;
        model.write_parameters(&words)?;
        for m in 0..model.engine.rule.moments {
            let words = model.match_moment(path, &file, &model.moment_name(m))?;
            model.write_words(BufferId::Moment(m), 0, &words)?;
        }
        (model.progress.updates, model.progress.batches, model.progress.epochs) = (meta.updates, meta.batches, meta.epochs);
        if let (Some(s), Some(saved)) = (&mut model.progress.scaler, meta.loss_scale) {
            s.go_on(saved);
        }
        model.progress.swapped = meta.swapped && model.engine.average().is_some();
        Ok(model)
    }

    /// A moment of every parameter that trains.
    fn moment_tensors(&mut self, moment: usize) -> Result<Vec<Tensor>> {
        let words = self.read_words(BufferId::Moment(moment), 0, self.engine.arena.size)?;
        let trained = self.engine.arena.entries.iter().filter(|e| !e.frozen);
        Ok(trained
            .map(|e| tensor(&format!("{}{}", self.moment_name(moment), e.name), e, &words[e.offset..e.offset + e.shape.size()]))
            .collect())
    }

    /// The moment of the optimizer whose tensors have names that begin with `before`.
    fn match_moment(&self, path: &Path, file: &SafeTensors<'_>, before: &str) -> Result<Vec<u32>> {
        let mut words = vec![0u32; self.engine.arena.size];
        for (name, tensor) in file.tensors() {
            let Some(e) = name.strip_prefix(before).and_then(|n| self.engine.arena.find(n)).filter(|e| !e.frozen) else { continue };
            let values = to_f32(path, &name, &tensor)?;
            if values.len() != e.shape.size() {
                return Err(bad_file(
                    path,
                    "an optimizer moment of the wrong size",
                    &name,
                    "it was damaged: train on from the weights alone",
                ));
            }
            words[e.offset..e.offset + values.len()].iter_mut().zip(&*e.store(&values)).for_each(|(w, v)| *w = v.to_bits());
        }
        Ok(words)
    }
}

/// Fails unless the file holds every parameter that the model would make, in its shape.
fn check_shapes(path: &Path, file: &SafeTensors<'_>, module: &dyn Describe, settings: &Compile) -> Result<()> {
    let built = build(module, settings, Purpose::Predict, 2, &input_fields(settings))?;
    let (mut missing, mut wrong_shape) = (Vec::new(), Vec::new());
    let parameters = built.signature.parameters.into_iter().map(|p| (p.name, p.shape));
    for (name, shape) in parameters.chain(built.signature.buffers.into_iter().map(|b| (b.name, b.shape))) {
        match file.tensor(&name) {
            Ok(t) if t.shape() == shape.dims() => {}
            Ok(t) => wrong_shape.push(WrongShape { name, expected: shape.dims().to_vec(), found: t.shape().to_vec() }),
            Err(_) => missing.push(name),
        }
    }
    if missing.is_empty() && wrong_shape.is_empty() {
        return Ok(());
    }
    let help = "its settings and its weights do not belong together: it was damaged, or changed by hand".into();
    Err(Error::WeightMismatch { path: path.into(), missing, unexpected: vec![], wrong_shape, help })
}

/// The name of a loss or metric that the user wrote, among the settings of a file.
fn closure(meta: &serde_json::Value) -> Option<&str> {
    let metrics = meta.pointer("/compile/metrics").and_then(|m| m.as_array()).into_iter().flatten();
    meta.pointer("/compile/loss").into_iter().chain(metrics).find_map(|v| v.get("custom")?.as_str())
}
