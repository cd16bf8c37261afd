#![doc = include_str!("../docs/errors.md")]

mod culprit;

pub use culprit::{Culprit, OperandRange};

use crate::terminal::plain;
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

/// Declares the enum, and its messages as `thiserror` would, but with all control characters escaped: messages contain names out of files and from the
/// network, and are printed on terminals.
macro_rules! with_texts {
    ($(#[$attribute:meta])* pub enum $name:ident { $(
        $(#[doc = $doc:literal])*
        #[error($($text:tt)*)]
        $variant:ident { $($field:ident: $type:ty),* $(,)? },
    )* }) => {
        $(#[$attribute])*
        pub enum $name { $($(#[doc = $doc])* $variant { $($field: $type),* },)* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($name::$variant { $($field),* } => plain(format_args!($($text)*)).fmt(f),)*
                }
            }
        }
    };
}

with_texts! {
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

    /// A data file whose content does not follow its format.
    #[error("{}: {problem}\n  where: byte {offset}\n  help: {help}", path.display())]
    BadData { path: PathBuf, offset: u64, problem: String, help: String },

    /// Data that was found nowhere.
    #[error("no data: {problem}\n  where: looked in {}\n  help: {help}", looked.join(", "))]
    DataNotFound { problem: String, looked: Vec<String>, help: String },

    /// A source of rows (a [`Source`](crate::data::Source) of the user's) that failed or panicked.
    #[error(
        "the source of the field `{field}` failed: {problem}\n  where: {at}\n  help: this comes from the data's own source; mend it there, or look whether what it reads from is still there"
    )]
    DataSource { field: String, problem: String, at: String },

    /// A callback of the user's that failed by its own account: [`Error::callback`] makes one.
    #[error("the callback `{name}` failed: {problem}\n  where: {at}\n  help: this comes from the callback itself; mend it there, or leave it out of `Fit::callback`")]
    Callback { name: String, problem: String, at: String },

    /// A class label that the model has no output for. With 0 `classes`: a real label, for a loss of two classes, that is not from 0 to 1.
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
    #[error("could not {action}: {source}\n  where: {}\n  help: {}", path.display(), io_help(action))]
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

    /// A custom op whose twin on the CPU failed or panicked, or whose results have other sizes than it announced.
    #[error("the custom op `{op}` failed: {problem}\n  where: {at}\n  help: this comes from the op itself; mend its `reference`, its `cpu` or its `infer`")]
    CustomOp { op: String, problem: String, at: String },

    /// The loss became NaN or infinite: that step and all later ones changed nothing. Where the loss is scaled many updates were skipped before.
    /// `parameter` is the first that was not finite before that step.
    #[error(
        "the loss is not finite ({loss}) at step {step}{}{}\n  where: epoch {epoch}; the parameters are as they were before that step{}\n  help: lower the learning rate or check the data for NaN or huge values; `Fit::detect_anomaly` names the operation that it comes from", cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default(), incurable(*scale), spoilt(parameter.as_deref())
    )]
    NonFiniteLoss { step: u64, epoch: u64, loss: f32, parameter: Option<String>, scale: Option<f32>, cause: Option<Box<Culprit>> },

    /// The gradients of these parameters became NaN or infinite while the loss is finite, and no loss scale cured that: that step and all later
    /// ones changed nothing. `largest` is set where each element is finite and the norm of all is not: the largest of them, of the one
    /// parameter that is named.
    #[error(
        "{}, though the loss is finite, at step {step}{}{}\n  where: {}, epoch {epoch}; the parameters are as they were before that step\n  help: {}", gradients(*norm, *largest), cause.as_ref().map(|c| format!(": {c}")).unwrap_or_default(), incurable(*scale), whose(parameters, *largest), tame(*largest)
    )]
    NonFiniteGradient {
        step: u64,
        epoch: u64,
        norm: f32,
        parameters: Vec<String>,
        largest: Option<f32>,
        scale: Option<f32>,
        cause: Option<Box<Culprit>>,
    },

    /// Something that was asked for by name and is not there.
    #[error("there is no {what} `{name}`\n  where: {at}\n  help: {}", if known.is_empty() { "nothing of this kind is there; `Model::summary` lists what a model has".to_string() } else { format!("there is {}", known.join(", ")) })]
    NotFound { what: String, name: String, at: String, known: Vec<String> },

    /// A distributed run that cannot go on: a worker and a server that do not fit, a worker that does not come, gradients that are not finite.
    #[error("{problem}\n  where: {at}\n  help: {help}")]
    Distributed { problem: String, at: String, help: String },

    /// A combination that this version cannot do.
    #[error("{what} is not possible here\n  where: {at}\n  help: {help}")]
    Unsupported { what: String, at: String, help: String },
}
}

/// As the message: `fn main() -> gradus::Result<()>` prints errors this way.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Error {
    /// The same error; one of too little memory with these names of the biggest tensors.
    pub(crate) fn with_biggest(mut self, names: impl FnOnce() -> Vec<String>) -> Self {
        if let Error::OutOfMemory { biggest, .. } = &mut self {
            let names = names();
            if !names.is_empty() {
                *biggest = names;
            }
        }
        self
    }

    /// The same error with this place where only [`WITHIN`] was known.
    pub(crate) fn or_at(mut self, known: impl FnOnce() -> String) -> Self {
        let mut places: Vec<&mut String> = match &mut self {
            Error::ShapeMismatch { at, .. }
            | Error::DTypeMismatch { at, .. }
            | Error::NotFound { at, .. }
            | Error::Unsupported { at, .. }
            | Error::InconsistentModel { at, .. } => vec![at],
            Error::DuplicateName { first, second, .. } => vec![first, second],
            Error::InvalidConfig { faults } => faults.iter_mut().map(|f| &mut f.key).collect(),
            _ => vec![],
        };
        places.retain(|at| at.contains(WITHIN));
        if !places.is_empty() {
            let known = known();
            places.into_iter().for_each(|at| *at = at.replace(WITHIN, &known));
        }
        self
    }

    /// The same error at this place instead.
    pub(crate) fn instead_at(mut self, place: &str) -> Self {
        if let Error::ShapeMismatch { at, .. } | Error::DTypeMismatch { at, .. } = &mut self {
            *at = place.into();
        }
        self
    }

    /// The error that a callback of yours returns when it fails, in your words. `fit` adds the callback's name, and ends with the error.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::train::callbacks;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// # let mut model = Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()))?;
    /// let note = callbacks::on_epoch_end("note", |_, _| std::fs::write("/no/such/folder/note", "").map_err(gradus::Error::callback));
    /// let e = model.fit(&data, Fit::new().verbose(0).callback(note)).unwrap_err();
    /// assert!(e.to_string().starts_with("the callback `note` failed: "));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn callback(problem: impl fmt::Display) -> Self {
        Error::Callback { name: String::new(), problem: problem.to_string(), at: place(Location::caller()) }
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
    Callback = "callback",
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
    Distributed = "distributed",
    CustomOp = "custom-op",
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

/// `file:line:column` of a caller, as errors print it. For a line of gradus' own, which tells a user nothing, this is [`WITHIN`], until a caller who
/// knows the user's line puts that in its place.
pub(crate) fn place(l: &Location<'_>) -> String {
    if is_own(l) { WITHIN.into() } else { format!("{}:{}:{}", l.file(), l.line(), l.column()) }
}

/// What errors print for a line of this crate.
pub(crate) const WITHIN: &str = "within gradus";

/// Whether it is a line of this crate's source.
pub(crate) fn is_own(l: &Location<'_>) -> bool {
    const THIS: &str = file!();
    let folder = THIS.len() - "error.rs".len();
    // its unit tests are in this folder too, and stand for users
    let test = cfg!(test) && l.file().contains("tests");
    !test && l.file().get(..folder) == Some(&THIS[..folder])
}

/// A layer as messages name it.
pub(crate) fn layer(path: impl std::fmt::Display) -> String {
    format!("the layer `{path}`")
}

/// A place for errors: the layer, if there is one, and the line, if it is not gradus' own.
pub(crate) fn site(layer: &str, l: &Location<'_>) -> String {
    match (layer.is_empty(), is_own(l)) {
        (true, _) => place(l),
        (false, true) => format!("layer `{layer}`"),
        (false, false) => format!("layer `{layer}`, {}", place(l)),
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

fn gives(available: u64) -> String {
    if available == 0 { "the device gave none".into() } else { format!("may have {available}") }
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

fn spoilt(parameter: Option<&str>) -> String {
    parameter.map(|p| format!(", and `{p}` was not finite then: an update before it was too large")).unwrap_or_default()
}

fn gradients(norm: f32, largest: Option<f32>) -> String {
    match largest {
        Some(_) => "the norm of the gradients is beyond f32".into(),
        None => format!("a gradient is not finite (their norm is {norm})"),
    }
}

/// The first three names, and how many more there are.
fn whose(parameters: &[String], largest: Option<f32>) -> String {
    let mut names: Vec<String> = parameters.iter().take(3).map(|p| format!("`{p}`")).collect();
    names.extend((parameters.len() > 3).then(|| format!("{} more", parameters.len() - 3)));
    let names = if names.is_empty() { "all together".into() } else { names.join(", ") };
    match largest {
        Some(g) => format!("the largest element is {g:e}, of the gradient of {names}; none is infinite, the sum of their squares is"),
        None => format!("the gradient of {names}"),
    }
}

fn tame(largest: Option<f32>) -> &'static str {
    match largest {
        Some(_) => "lower the learning rate, or make the loss smaller: divide it, or the labels, by a number",
        None => {
            "lower the learning rate, look for divisions by 0 and roots of 0 in the model, or let `Fit::detect_anomaly` name the operation that it comes from"
        }
    }
}

fn incurable(scale: Option<f32>) -> String {
    let text = |s| format!("; many updates before it were skipped, the last under the loss scale {s:e}: no scale cures that");
    scale.map(text).unwrap_or_default()
}

/// The advice where the system refuses an action on a file.
fn io_help(action: &str) -> &'static str {
    if matches!(action, "read" | "open") {
        "check that the path is right (a relative one counts from the working directory) and that you may read it"
    } else {
        "check that its folder exists, that you may write there and that the disk is not full"
    }
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
