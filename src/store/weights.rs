//! Weights as a file: written, read, and matched with a model's by their names.

use super::format::{NOT_WEIGHTS, Tensor, bad_file, check_whole, parse, tensor, to_f32};
use super::{atomic, sum};
use crate::error::{Error, Result, WrongShape};
use crate::glob::covers;
use crate::model::core::Core;
use crate::model::parameter_words::ParameterWords;
use crate::model::shared::Model;
use crate::nn::BufferSpec;
use crate::plan::BufferId;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// The help where weights are asked for and the file holds more.
const WHOLE: &str = "this is a whole model or a checkpoint: take its weights alone with \
    `Load::new().ignore(\"optimizer.*\").ignore(\"gradus.*\")`, the model with `Model::load`, or go on from the run with `Fit::resume`";

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

impl Model {
    /// Writes the weights as safetensors, under the names that `torch.nn.Sequential` would give, with a sum in the metadata. Replaces the file
    /// at once or not at all; a link is followed, and the file keeps its mode.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.lock().save_weights(path)
    }

    /// Reads weights. When it fails nothing was changed.
    ///
    /// Fails on a file of gradus that is not as it was written. Takes f32, f16, bf16 and f64 tensors. A PyTorch `.pt` must be converted
    /// first; the error has the line of Python that does it.
    pub fn load_weights(&mut self, path: impl AsRef<Path>, how: Load) -> Result<LoadReport> {
        self.core().load_weights(path, how)
    }

    /// Takes the weights of another model, which may be on another device: parameters and buffers by their full names, under the rules of
    /// [`Model::load_weights`] and without a file. Strict unless `how` says otherwise; when it fails nothing was changed. PyTorch's
    /// `load_state_dict(other.state_dict())`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let net = || Sequential::new().add(Linear::new(8)).add(Relu).add(Linear::new(1));
    /// let settings = |seed| Compile::new(Adam::default(), Mse::new()).input([4]).seed(seed).device(Device::cpu());
    /// let (mut student, teacher) = (net().compile(settings(0))?, net().compile(settings(1))?);
    /// let report = student.copy_weights(&teacher, Load::new().ignore("2.*").allow_missing("2.*"))?;
    /// assert_eq!(report.loaded, ["0.bias", "0.weight"]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "load_state_dict")]
    #[doc(alias = "state_dict")]
    #[doc(alias = "set_weights")]
    pub fn copy_weights(&mut self, from: &Model, how: Load) -> Result<LoadReport> {
        // through the format of a file, so that the rules are those of `load_weights`
        let other = Path::new("the other model");
        let tensors = from.lock().parameter_tensors()?;
        let mut views = Vec::new();
        for (name, shape, data, dtype) in &tensors {
            let v = TensorView::new(*dtype, shape.clone(), data).map_err(|e| bad_file(other, &e.to_string(), name, "report this"))?;
            views.push((name.clone(), v));
        }
        let bytes = safetensors::serialize(views, None).map_err(|e| bad_file(other, &e.to_string(), "its weights", "report this"))?;
        let (words, report) = self.core().match_weights(other, &parse(other, &bytes)?, &how)?;
        self.core().write_parameters(&words)?;
        Ok(report)
    }
}

impl Core {
    pub(crate) fn save_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let tensors = self.parameter_tensors()?;
        write_file(path.as_ref(), &tensors, None)
    }

    pub(crate) fn load_weights(&mut self, path: impl AsRef<Path>, how: Load) -> Result<LoadReport> {
        let path = path.as_ref();
        let bytes = atomic::read(path)?;
        let file = parse(path, &bytes)?;
        check_whole(path, &bytes)?;
        sum::check(path, &bytes, &file)?;
        let (words, report) = self.match_weights(path, &file, &how)?;
        self.write_parameters(&words)?;
        Ok(report)
    }

    /// All parameters and buffers as little-endian bytes.
    pub(crate) fn parameter_tensors(&mut self) -> Result<Vec<Tensor>> {
        let words = self.read_parameters()?;
        let parameters = self.engine.arena.entries.iter().map(|e| tensor(&e.name, e, words.stored(e)));
        let buffers = self.signature.buffers.iter().zip(&self.engine.arena.buffers).map(|(b, e)| buffer_tensor(b, words.buffer(e)));
        Ok(parameters.chain(buffers).collect())
    }

    /// What stands before a parameter's name in a file.
    pub(crate) fn moment_name(&self, moment: usize) -> String {
        if self.engine.average() == Some(BufferId::Moment(moment)) { "optimizer.ema.".into() } else { format!("optimizer.moment{moment}.") }
    }

    /// The words of all parameters with the tensors of the file put in their places.
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
            let (e, b) = (self.engine.arena.find(&name), self.engine.arena.find_buffer(&name));
            let Some(shape) = e.map(|e| &e.shape).or(b.map(|b| &b.shape)) else {
                unexpected.push(name);
                continue;
            };
            if tensor.shape() != shape.dims() {
                wrong_shape.push(WrongShape { name, expected: shape.dims().to_vec(), found: tensor.shape().to_vec() });
                continue;
            }
            match (e, b) {
                (Some(e), _) => words.set(e, &to_f32(path, &name, &tensor)?),
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
            let help = match unexpected.iter().any(|n| NOT_WEIGHTS.iter().any(|p| covers(p, n))) {
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

fn renamed(name: &str, how: &Load) -> String {
    how.rename.iter().fold(name.to_string(), |n, (from, to)| n.replace(from, to))
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

/// Writes the file whole, or not at all.
pub(crate) fn write_file(path: &Path, tensors: &[Tensor], meta: Option<String>) -> Result<()> {
    let mut views = Vec::new();
    for (name, shape, data, dtype) in tensors {
        let v = TensorView::new(*dtype, shape.clone(), data).map_err(|e| bad_file(path, &e.to_string(), name, "report this"))?;
        views.push((name.clone(), v));
    }
    let bytes = sum::summed(views, meta).map_err(|e| bad_file(path, &e.to_string(), "its header", "report this"))?;
    atomic::replace(path, &bytes)
}
