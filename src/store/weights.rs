use crate::device::Device;
use crate::error::{Error, Result, WrongShape};
use crate::glob::covers;
use crate::model::build::{build, input_fields};
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::model::describe::{Describe, Supervised};
use crate::model::loss_scale::SavedScale;
use crate::model::shared::Model;
use crate::model::shared::made;
use crate::model::values::ParameterWords;
use crate::nn::{BufferSpec, Layer, Module};
use crate::plan::{ArenaEntry, BufferId, Purpose};
use crate::store::sum;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Key of the metadata that holds a whole model's settings.
pub(crate) const META: &str = "gradus";
/// What is written, and the newest that is read: 1 had models, 2 has runs too.
pub(crate) const FORMAT: u32 = 2;

/// What to do where weights are asked for and the file holds more.
const WHOLE: &str = "this is a whole model or a checkpoint: take its weights alone with \
    `Load::new().ignore(\"optimizer.*\").ignore(\"gradus.*\")`, the model with `Model::load`, or go on from the run with `Fit::resume`";

/// Name, shape, little-endian values, their dtype.
pub(crate) type Tensor = (String, Vec<usize>, Vec<u8>, Dtype);

/// How to load weights: strictly, unless told otherwise. Patterns are globs over full names: `*` any text, `?` one character.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Load {
    /// Replacements in the file's names, in order.
    pub rename: Vec<(String, String)>,
    /// Parameters that the file may lack.
    pub allow_missing: Vec<String>,
    /// Tensors of the file to pass over.
    pub ignore: Vec<String>,
}

impl Load {
    /// Strictly: every parameter, and nothing else.
    pub fn new() -> Self {
        Self::default()
    }
    /// Replaces text in the file's names: `.rename("module.", "")`.
    pub fn rename(mut self, from: &str, to: &str) -> Self {
        self.rename.push((from.into(), to.into()));
        self
    }
    /// Parameters of this pattern may be missing; they stay as they are.
    pub fn allow_missing(mut self, pattern: &str) -> Self {
        self.allow_missing.push(pattern.into());
        self
    }
    /// Tensors of this pattern are passed over.
    pub fn ignore(mut self, pattern: &str) -> Self {
        self.ignore.push(pattern.into());
        self
    }
}

/// What loading did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoadReport {
    /// Parameters that were set.
    pub loaded: Vec<String>,
    /// Parameters that stayed as they were.
    pub fresh: Vec<String>,
    /// Tensors of the file that were passed over.
    pub ignored: Vec<String>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |v: &[String]| if v.is_empty() { "0".to_string() } else { v.len().to_string() };
        write!(f, "{} loaded, {} fresh", named(&self.loaded), named(&self.fresh))?;
        if !self.fresh.is_empty() {
            write!(f, " ({})", self.fresh.join(", "))?;
        }
        write!(f, ", {} ignored", named(&self.ignored))
    }
}

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
    /// The average of the weights stands in their place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    swapped: bool,
}

impl Model {
    /// Writes the weights as safetensors, under the names that `torch.nn.Sequential` would give, with a sum in the metadata. Replaces the file
    /// at once or not at all; a link is followed, and the file keeps its mode.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.lock().save_weights(path)
    }

    /// Reads weights. When it fails nothing was changed.
    ///
    /// Fails on a file of gradus that is not as it was written. Takes f32, f16, bf16 and f64 tensors. A PyTorch `.pt` must be converted first; the error has the line of Python that does it.
    pub fn load_weights(&mut self, path: impl AsRef<Path>, how: Load) -> Result<LoadReport> {
        self.core().load_weights(path, how)
    }

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

impl Core {
    pub(crate) fn save_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let tensors = self.parameter_tensors()?;
        write_file(path.as_ref(), &tensors, None)
    }

    pub(crate) fn load_weights(&mut self, path: impl AsRef<Path>, how: Load) -> Result<LoadReport> {
        let path = path.as_ref();
        let bytes = crate::store::atomic::read(path)?;
        let file = parse(path, &bytes)?;
        sum::check(path, &bytes, &file)?;
        let (words, report) = self.match_weights(path, &file, &how)?;
        self.write_parameters(&words)?;
        Ok(report)
    }

    pub(crate) fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let mut tensors = self.parameter_tensors()?;
        for m in 0..self.rule.moments {
            tensors.extend(self.moment_tensors(m)?);
        }
        let meta = Meta {
            format: FORMAT,
            gradus: env!("CARGO_PKG_VERSION").into(),
            model: self.module.config(),
            compile: self.settings.clone(),
            updates: self.updates,
            batches: self.batches,
            epochs: self.epochs,
            loss_scale: self.scaler.map(|s| s.saved()),
            swapped: self.swapped,
        };
        let meta = serde_json::to_string(&meta).map_err(|e| bad_file(path.as_ref(), &e.to_string(), "settings", "report this"))?;
        write_file(path.as_ref(), &tensors, Some(meta))
    }

    pub(crate) fn read(path: &Path, module: Option<Arc<dyn Describe>>, device: Device) -> Result<Core> {
        let bytes = crate::store::atomic::read(path)?;
        let file = parse(path, &bytes)?;
        let text = SafeTensors::read_metadata(&bytes).ok().and_then(|(_, m)| m.metadata().as_ref()?.get(META).cloned());
        let no_model = "it holds weights and no model: build the model and use `load_weights`";
        let text = text.ok_or_else(|| bad_file(path, "not a gradus model", "its metadata", no_model))?;
        let mut value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| bad_file(path, &e.to_string(), "its metadata", no_model))?;
        check_format(path, &value)?;
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
        let how = Self::NOT_WEIGHTS.into_iter().fold(Load::new(), Load::ignore);
        let (words, _) = model.match_weights(path, &file, &how)?;
        model.write_parameters(&words)?;
        for m in 0..model.rule.moments {
            let words = model.match_moment(path, &file, &model.moment_name(m))?;
            model.write_words(BufferId::Moment(m), 0, &words)?;
        }
        (model.updates, model.batches, model.epochs) = (meta.updates, meta.batches, meta.epochs);
        if let (Some(s), Some(saved)) = (&mut model.scaler, meta.loss_scale) {
            s.go_on(saved);
        }
        model.swapped = meta.swapped && model.average().is_some();
        Ok(model)
    }

    /// All parameters and buffers as little-endian bytes.
    pub(crate) fn parameter_tensors(&mut self) -> Result<Vec<Tensor>> {
        let words = self.read_parameters()?;
        let parameters = self.arena.entries.iter().map(|e| tensor(&e.name, e, words.get(e)));
        let buffers = self.face.buffers.iter().zip(&self.arena.buffers).map(|(b, e)| buffer_tensor(b, words.buffer(e)));
        Ok(parameters.chain(buffers).collect())
    }

    /// What stands before a parameter's name in a file.
    pub(crate) fn moment_name(&self, moment: usize) -> String {
        if self.average() == Some(BufferId::Moment(moment)) { "optimizer.ema.".into() } else { format!("optimizer.moment{moment}.") }
    }

    /// A moment of every parameter that trains.
    fn moment_tensors(&mut self, moment: usize) -> Result<Vec<Tensor>> {
        let words = self.read_words(BufferId::Moment(moment), 0, self.arena.size)?;
        let trained = self.arena.entries.iter().filter(|e| !e.frozen);
        Ok(trained
            .map(|e| tensor(&format!("{}{}", self.moment_name(moment), e.name), e, &words[e.offset..e.offset + e.shape.size()]))
            .collect())
    }

    /// The moment whose tensors' names begin so.
    fn match_moment(&self, path: &Path, file: &SafeTensors<'_>, before: &str) -> Result<Vec<u32>> {
        let mut words = vec![0u32; self.arena.size];
        for (name, tensor) in file.tensors() {
            let Some(e) = name.strip_prefix(before).and_then(|n| self.arena.find(n)).filter(|e| !e.frozen) else { continue };
            let values = to_f32(path, &name, &tensor)?;
            if values.len() != e.shape.size() {
                return Err(bad_file(
                    path,
                    "an optimizer moment of the wrong size",
                    &name,
                    "it was damaged: train on from the weights alone",
                ));
            }
            words[e.offset..e.offset + values.len()].iter_mut().zip(values).for_each(|(w, v)| *w = v.to_bits());
        }
        Ok(words)
    }

    /// The parameters with the file's tensors in place.
    pub(crate) fn match_weights(&mut self, path: &Path, file: &SafeTensors<'_>, how: &Load) -> Result<(ParameterWords, LoadReport)> {
        let mut words = self.read_parameters()?;
        let mut report = LoadReport::default();
        let (mut unexpected, mut wrong_shape) = (Vec::new(), Vec::new());
        for (original, tensor) in file.tensors() {
            let name = renamed(&original, how);
            if how.ignore.iter().any(|p| covers(p, &name) || covers(p, &original)) {
                report.ignored.push(name);
                continue;
            }
            let (e, b) = (self.arena.find(&name), self.arena.find_buffer(&name));
            let Some(shape) = e.map(|e| &e.shape).or(b.map(|b| &b.shape)) else {
                unexpected.push(name);
                continue;
            };
            if tensor.shape() != shape.dims() {
                wrong_shape.push(WrongShape { name, expected: shape.dims().to_vec(), found: tensor.shape().to_vec() });
                continue;
            }
            match (e, b) {
                (Some(e), _) => words.set(e, to_f32(path, &name, &tensor)?),
                (None, Some(b)) => words.set_buffer(b, whole_or_f32(path, &name, &tensor)?),
                (None, None) => {}
            }
            report.loaded.push(name);
        }
        let loaded: HashSet<&str> = report.loaded.iter().map(String::as_str).collect();
        let absent: Vec<String> =
            self.parameter_names().chain(self.buffer_names()).filter(|n| !loaded.contains(n)).map(String::from).collect();
        let (fresh, missing): (Vec<_>, Vec<_>) = absent.into_iter().partition(|n| how.allow_missing.iter().any(|p| covers(p, n)));
        let missing: Vec<String> = missing.into_iter().filter(|n| !wrong_shape.iter().any(|w| w.name == *n)).collect();
        if !(missing.is_empty() && unexpected.is_empty() && wrong_shape.is_empty()) {
            unexpected.sort();
            let help = match unexpected.iter().any(|n| Self::NOT_WEIGHTS.iter().any(|p| covers(p, n))) {
                true => WHOLE,
                false => "load the file of this very model, or say `rename`, `allow_missing` or `ignore` in Load",
            };
            let help = help.into();
            return Err(Error::WeightMismatch { path: path.into(), missing, unexpected, wrong_shape, help });
        }
        report.fresh = fresh;
        report.loaded.sort();
        report.ignored.sort();
        Ok((words, report))
    }
}

/// Whether files hold something else under this name, or below it.
pub(crate) fn files_own(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    ["optimizer", "gradus", "__metadata__"].contains(&first)
}

/// Fails on a file of a newer format than this gradus reads.
pub(crate) fn check_format(path: &Path, meta: &serde_json::Value) -> Result<()> {
    let format = meta.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if format <= u64::from(FORMAT) {
        return Ok(());
    }
    let by = meta.get("gradus").and_then(|v| v.as_str()).unwrap_or("?");
    let problem = format!("format {format}, this gradus reads {FORMAT}");
    Err(bad_file(path, &problem, "its metadata", &format!("use gradus {by} or newer")))
}

/// Fails unless the file holds every parameter that the model would make, in its shape.
fn check_shapes(path: &Path, file: &SafeTensors<'_>, module: &dyn Describe, settings: &Compile) -> Result<()> {
    let built = build(module, settings, Purpose::Predict, 2, &input_fields(settings))?;
    let (mut missing, mut wrong_shape) = (Vec::new(), Vec::new());
    let parameters = built.face.parameters.into_iter().map(|p| (p.name, p.shape));
    for (name, shape) in parameters.chain(built.face.buffers.into_iter().map(|b| (b.name, b.shape))) {
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

/// The name of a loss or metric of the user's among a file's settings.
fn closure(meta: &serde_json::Value) -> Option<&str> {
    let metrics = meta.pointer("/compile/metrics").and_then(|m| m.as_array()).into_iter().flatten();
    meta.pointer("/compile/loss").into_iter().chain(metrics).find_map(|v| v.get("custom")?.as_str())
}

fn renamed(name: &str, how: &Load) -> String {
    how.rename.iter().fold(name.to_string(), |n, (from, to)| n.replace(from, to))
}

fn tensor(name: &str, e: &ArenaEntry, words: &[u32]) -> Tensor {
    (name.into(), e.shape.dims().to_vec(), words.iter().flat_map(|w| w.to_le_bytes()).collect(), Dtype::F32)
}

/// A counter is a whole number in PyTorch's state dicts.
fn buffer_tensor(b: &BufferSpec, words: &[u32]) -> Tensor {
    let whole = |w: &u32| (f32::from_bits(*w) as i64).to_le_bytes();
    let (bytes, dtype) = match b.counter {
        true => (words.iter().flat_map(whole).collect(), Dtype::I64),
        false => (words.iter().flat_map(|w| w.to_le_bytes()).collect(), Dtype::F32),
    };
    (b.name.clone(), b.shape.dims().to_vec(), bytes, dtype)
}

/// As [`to_f32`], whole numbers too.
fn whole_or_f32(path: &Path, name: &str, t: &TensorView<'_>) -> Result<Vec<f32>> {
    if t.dtype() != Dtype::I64 {
        return to_f32(path, name, t);
    }
    let whole = |c: &[u8]| i64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]) as f32;
    Ok(t.data().chunks_exact(8).map(whole).collect())
}

pub(crate) fn bad_file(path: &Path, problem: &str, at: &str, help: &str) -> Error {
    Error::BadFile { path: path.into(), problem: problem.into(), at: at.into(), help: help.into() }
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    let pickle =
        bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 0x02]) || path.extension().is_some_and(|e| e == "pt" || e == "pth");
    SafeTensors::deserialize(bytes).map_err(|e| {
        let convert = "convert it: python -c \"import sys,torch; from safetensors.torch import save_file; \
                       save_file(torch.load(sys.argv[1]), sys.argv[2])\" in.pt out.safetensors";
        let help = if pickle { convert } else { "give a safetensors file; it may have been cut short" };
        bad_file(path, &format!("not a safetensors file ({e})"), "its header", help)
    })
}

fn to_f32(path: &Path, name: &str, t: &TensorView<'_>) -> Result<Vec<f32>> {
    let b = t.data();
    Ok(match t.dtype() {
        Dtype::F32 => b.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect(),
        Dtype::F64 => b.chunks_exact(8).map(|c| f64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]) as f32).collect(),
        Dtype::F16 => b.chunks_exact(2).map(|c| half::f16::from_le_bytes([c[0], c[1]]).to_f32()).collect(),
        Dtype::BF16 => b.chunks_exact(2).map(|c| half::bf16::from_le_bytes([c[0], c[1]]).to_f32()).collect(),
        other => return Err(bad_file(path, &format!("dtype {other:?}"), name, "save it as F32, F16, BF16 or F64")),
    })
}

/// Writes the file whole, or not at all.
fn write_file(path: &Path, tensors: &[Tensor], meta: Option<String>) -> Result<()> {
    let mut views = Vec::new();
    for (name, shape, data, dtype) in tensors {
        let v = TensorView::new(*dtype, shape.clone(), data).map_err(|e| bad_file(path, &e.to_string(), name, "report this"))?;
        views.push((name.clone(), v));
    }
    let bytes = sum::summed(views, meta).map_err(|e| bad_file(path, &e.to_string(), "its header", "report this"))?;
    crate::store::atomic::replace(path, &bytes)
}
