#![doc = include_str!("../docs/errors.md")]

mod culprit;

pub use culprit::{Culprit, OperandRange};

use std::fmt;
use std::panic::Location;
use std::path::PathBuf;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A fault in a setting: its key, what is wrong with it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting's path, as in `fit.batch_size`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub help: String,
}

/// A tensor in a weight file whose shape is not the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongShape {
    /// The parameter's full name.
    pub name: String,
    /// The shape in the model.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// Everything that can go wrong in gradus.
///
/// The text of an error has three parts: what happened, where, and what to do. [`Error::code`] is stable across versions.
#[derive(thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields are what the message shows
pub enum Error {
    /// Shapes that do not fit an operation.
    #[error("{op}: {problem}\n  where: {at}\n  help: {help}")]
    ShapeMismatch { op: String, problem: String, at: String, help: String },

    /// An operation got a tensor of a dtype that it cannot take.
    #[error("{op}: {problem}\n  where: {at}\n  help: {help}")]
    DTypeMismatch { op: String, problem: String, at: String, help: String },

    /// A parameter or layer name used twice.
    #[error(
        "the name `{name}` is taken\n  where: first {first}, again {second}\n  help: give one of them another name, or ask for the first with `s.shared(\"{name}\")`"
    )]
    DuplicateName { name: String, first: String, second: String },

    /// A model that gives other names or shapes when it is built again.
    #[error(
        "the model is not the same each time it is built\n  where: {at}; first: {first}; now: {now}\n  help: it must make the same parameters, outputs and metrics for every purpose and batch size"
    )]
    InconsistentModel { at: String, first: String, now: String },

    /// Settings that cannot be used; every fault is listed.
    #[error("{} setting{} cannot be used:{}", faults.len(), if faults.len() == 1 { "" } else { "s" }, list_faults(faults))]
    InvalidConfig { faults: Vec<Fault> },

    /// A word that is not one of the choices.
    #[error("unknown {what} `{given}`\n  where: {at}\n  help: choose one of {}", choices.join(", "))]
    UnknownChoice { what: String, given: String, at: String, choices: Vec<String> },

    /// A recipe or settings file that cannot be read.
    #[error("the recipe cannot be read: {problem}\n  where: {at}\n  help: {help}")]
    BadRecipe { problem: String, at: String, help: String },

    /// A data file that is not what its format says.
    #[error("{}: {problem}\n  where: byte {offset}\n  help: {help}", path.display())]
    BadData { path: PathBuf, offset: u64, problem: String, help: String },

    /// Data that was looked for and not found.
    #[error("no data: {problem}\n  where: looked in {}\n  help: {help}", looked.join(", "))]
    DataNotFound { problem: String, looked: Vec<String>, help: String },

    /// A source of rows (a [`Source`](crate::data::Source) of the user's) that failed or panicked.
    #[error(
        "the source of the field `{field}` failed: {problem}\n  where: {at}\n  help: this comes from the data's own source; mend it there, or look whether what it reads from is still there"
    )]
    DataSource { field: String, problem: String, at: String },

    /// A class label that the model has no output for; or, with 0 classes, a real label of two classes that is not from 0 to 1.
    #[error("label {label} of row {row} is out of range\n  where: {at}\n  help: {}", labels_run(*classes))]
    LabelOutOfRange { label: f64, row: usize, classes: usize, at: String },

    /// An index in the data that a table has no row for.
    #[error("index {index} of row {row} is out of range\n  where: {at}\n  help: the table has {size} rows, so indices run from 0 to {}; check the data or make the table larger", size.saturating_sub(1))]
    IndexOutOfRange { index: u64, row: usize, size: usize, at: String },

    /// Weights that do not fit the model; nothing was changed.
    #[error("the weights do not fit the model; nothing was changed\n  where: {}{}\n  help: {help}", path.display(), list_weights(missing, unexpected, wrong_shape))]
    WeightMismatch { path: PathBuf, missing: Vec<String>, unexpected: Vec<String>, wrong_shape: Vec<WrongShape>, help: String },

    /// A weight or model file that cannot be read.
    #[error("{}: {problem}\n  where: {at}\n  help: {help}", path.display())]
    BadFile { path: PathBuf, problem: String, at: String, help: String },

    /// The operating system refused a file operation.
    #[error("could not {action} {}: {source}\n  where: {}\n  help: check that the path exists, that you may use it and that the disk is not full", path.display(), path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },

    /// No mirror gave the file.
    #[error("the download failed: {problem}\n  where: {}\n  help: {help}", tried.join("; "))]
    Download { problem: String, tried: Vec<String>, help: String },

    /// No device answers to the choice.
    #[error("no device for `{wanted}`: {problem}\n  where: {}\n  help: {help}", if tried.is_empty() { "no adapter was found".to_string() } else { tried.join("; ") })]
    NoDevice { wanted: String, problem: String, tried: Vec<String>, help: String },

    /// Mixed precision on a GPU whose shaders have no f16.
    #[error("mixed precision needs f16 in shaders (SHADER_F16), which {device} does not have\n  where: compile.precision\n  help: {help}")]
    NoF16 { device: String, help: String },

    /// The device went away.
    #[error(
        "the device was lost: {reason}\n  where: {device}\n  help: a driver reset, sleep or unplugging does this; with `Fit::snapshot_every` above 0 a run goes on by itself once the device is back; else make the model again and load the last weights"
    )]
    DeviceLost { device: String, reason: String },

    /// The plan does not fit the device's memory or limits.
    #[error("{what} needs {needed} bytes and {}\n  where: {}\n  help: {help}", gives(*available), if biggest.is_empty() { "the device's buffers".to_string() } else { format!("the biggest: {}", biggest.join(", ")) })]
    OutOfMemory { what: String, needed: u64, available: u64, biggest: Vec<String>, help: String },

    /// The driver or wgpu refused a kernel or a command: a fault of gradus or of the driver.
    #[error(
        "the device refused {what}: {problem}\n  where: {device}\n  help: this is a fault of gradus or of the driver; please report it with this text; `--device cpu` goes round it"
    )]
    DeviceFault { what: String, problem: String, device: String },

    /// The WGSL of a custom op does not compile.
    #[error(
        "the kernel of the custom op `{op}` does not compile: {problem}\n  where: {at}\n  help: mend the WGSL that its `kernel` gives; what the header offers stands in the docs of `CustomKernel`"
    )]
    BadShader { op: String, problem: String, at: String },

    /// The loss became NaN or infinite: that step and all later ones changed nothing. Where the loss is scaled many updates were skipped before.
    #[error(
        "the loss is not finite ({loss}) at step {step}{}{}\n  where: epoch {epoch}; the parameters are as they were before that step\n  help: lower the learning rate or check the data for NaN or huge values; `Fit::detect_anomaly` names the operation that it comes from", cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default(), incurable(*scale)
    )]
    NonFiniteLoss { step: u64, epoch: u64, loss: f32, scale: Option<f32>, cause: Option<Box<Culprit>> },

    /// The norm of the gradients became NaN or infinite where it is clipped, or where no loss scale cured that: that step and all later ones
    /// changed nothing.
    #[error(
        "the norm of the gradients is not finite ({norm}) at step {step}, though the loss is{}{}\n  where: the gradient of `{parameter}`, epoch {epoch}; the parameters are as they were before that step\n  help: lower the learning rate, look for divisions by 0 and roots of 0 in the model, or let `Fit::detect_anomaly` name the operation that it comes from", cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default(), incurable(*scale)
    )]
    NonFiniteGradient { step: u64, epoch: u64, norm: f32, parameter: String, scale: Option<f32>, cause: Option<Box<Culprit>> },

    /// Something that was asked for by name and is not there.
    #[error("there is no {what} `{name}`\n  where: {at}\n  help: {}", if known.is_empty() { "nothing of this kind is there; `Model::summary` lists what a model has".to_string() } else { format!("there is {}", known.join(", ")) })]
    NotFound { what: String, name: String, at: String, known: Vec<String> },

    /// A combination that this version cannot do.
    #[error("{what} is not possible here\n  where: {at}\n  help: {help}")]
    Unsupported { what: String, at: String, help: String },
}

/// As the message: `fn main() -> gradus::Result<()>` prints errors this way.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Error {
    /// The same with these names of what is biggest, if memory is short.
    pub(crate) fn with_biggest(mut self, names: impl FnOnce() -> Vec<String>) -> Self {
        if let Error::OutOfMemory { biggest, .. } = &mut self {
            let names = names();
            if !names.is_empty() {
                *biggest = names;
            }
        }
        self
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { action, path: path.into(), source }
    }

    pub(crate) fn unknown_choice(what: &str, given: &str, choices: &[&str]) -> Self {
        Error::UnknownChoice {
            what: what.into(),
            given: given.into(),
            at: format!("the {what}"),
            choices: choices.iter().map(|c| c.to_string()).collect(),
        }
    }
}

macro_rules! codes {
    ($($variant:ident = $code:literal,)*) => {
        impl Error {
            /// Every code that there is.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable code of this error: one of [`Error::CODES`].
            ///
            /// ```
            /// let e = "loud".parse::<gradus::train::DeviceChoice>().unwrap_err();
            /// assert_eq!(e.code(), "unknown-choice");
            /// ```
            pub fn code(&self) -> &'static str {
                match self {
                    $(Error::$variant { .. } => $code,)*
                }
            }
        }
    };
}

codes! {
    ShapeMismatch = "shape-mismatch",
    DTypeMismatch = "dtype-mismatch",
    DuplicateName = "duplicate-name",
    InconsistentModel = "inconsistent-model",
    InvalidConfig = "invalid-config",
    UnknownChoice = "unknown-choice",
    BadRecipe = "bad-recipe",
    BadData = "bad-data",
    DataNotFound = "data-not-found",
    DataSource = "data-source",
    LabelOutOfRange = "label-out-of-range",
    IndexOutOfRange = "index-out-of-range",
    WeightMismatch = "weight-mismatch",
    BadFile = "bad-file",
    Io = "io",
    Download = "download",
    NoDevice = "no-device",
    NoF16 = "no-f16",
    DeviceLost = "device-lost",
    OutOfMemory = "out-of-memory",
    DeviceFault = "device-fault",
    BadShader = "bad-shader",
    NonFiniteLoss = "non-finite-loss",
    NonFiniteGradient = "non-finite-gradient",
    NotFound = "not-found",
    Unsupported = "unsupported",
}

/// Collects the faults of several settings, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn check(&mut self, ok: bool, key: &str, problem: impl fmt::Display, help: &str) {
        if !ok {
            self.0.push(Fault { key: key.into(), problem: problem.to_string(), help: help.into() });
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::InvalidConfig { faults: self.0 }) }
    }
}

/// `file:line:column` of a caller, as errors print it.
pub(crate) fn place(l: &Location<'_>) -> String {
    format!("{}:{}:{}", l.file(), l.line(), l.column())
}

fn gives(available: u64) -> String {
    if available == 0 { "the device gave none".into() } else { format!("the device gives {available}") }
}

fn labels_run(classes: usize) -> String {
    match classes {
        0 => "the loss takes labels from 0 to 1, as 0 for one class and 1 for the other; classes are `CrossEntropy`'s, real values `Mse`'s"
            .into(),
        n => {
            format!("the model has {n} outputs, and classes count from 0: labels run from 0 to {}; check the data or the last layer", n - 1)
        }
    }
}

fn incurable(scale: Option<f32>) -> String {
    let text = |s| format!("; many updates before it were skipped, the last under the loss scale {s:e}: no scale cures that");
    scale.map(text).unwrap_or_default()
}

fn list_faults(faults: &[Fault]) -> String {
    faults.iter().map(|f| format!("\n  where: {}: {}\n  help: {}", f.key, f.problem, f.help)).collect()
}

fn list_weights(missing: &[String], unexpected: &[String], wrong: &[WrongShape]) -> String {
    let mut out = String::new();
    if !missing.is_empty() {
        out += &format!("\n  missing: {}", missing.join(", "));
    }
    if !unexpected.is_empty() {
        out += &format!("\n  unexpected: {}", unexpected.join(", "));
    }
    for w in wrong {
        out += &format!("\n  {}: the model has {:?}, the file {:?}", w.name, w.expected, w.found);
    }
    out
}
