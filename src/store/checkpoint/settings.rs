//! Where a run is written to and how often, and whether it goes on from there.

use crate::error::{Error, Faults, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where `fit` writes the run to, and how often: a file that training goes on from at the very step, to the same bits, in another process
/// too. It is written under another name and renamed, so a crash leaves the last whole one. Several processes may write one path: each file is
/// whole, and the last one stays. Weights that are not finite do not replace it: the run ends with an `Err` that names the parameter.
///
/// A sum over all that the file holds is checked when it is read. `fit` tries the path before the first step. On another kind of machine, or
/// over data whose first rows are others, the run goes on with a warning (`tracing`): its bits are not those of one that was not cut.
///
/// It is a safetensors file: parameters under their own names, the optimizer's moments under `optimizer.*`, the rest under `gradus.*`. [`Model::load`](crate::train::Model::load)
/// reads it as a model, [`Model::load_weights`](crate::train::Model::load_weights) its weights if told to `ignore` the two. Writing one waits for the device.
///
/// ```
/// use gradus::prelude::*;
/// # use gradus::tensor::HostTensor;
/// # let folder = tempfile::tempdir().unwrap();
/// # std::env::set_current_dir(&folder).unwrap();
/// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
/// let fit = Fit::new().epochs(3).batch_size(4).verbose(0)
///     .checkpoint(Checkpoint::new("run.gradus").every_steps(5))
///     .resume(Resume::IfPresent);
/// let net = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
/// let whole = net()?.fit(&data, fit.clone())?;
/// // the run is over: it gives what it gave
/// assert_eq!(net()?.fit(&data, fit.clone())?, whole);
/// // and goes on if more epochs are asked for
/// assert_eq!(net()?.fit(&data, fit.epochs(4))?.epochs(), 4);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Checkpoint {
    /// The file. Its folder is made where it is not there; a link is followed.
    pub path: PathBuf,
    /// Steps between two writes, counted from the start of the run; 0, none in mid-epoch.
    #[serde(default)]
    pub every_steps: usize,
    /// Epochs between two writes; 1. 0 writes none at the end of epochs but the last. The end of a run is always written.
    #[serde(default = "one")]
    pub every_epochs: usize,
}

fn one() -> usize {
    1
}

impl Checkpoint {
    /// To this file, at the end of each epoch.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Checkpoint { path: path.into(), every_steps: 0, every_epochs: 1 }
    }
    /// Every so many steps, too.
    pub fn every_steps(mut self, steps: usize) -> Self {
        self.every_steps = steps;
        self
    }
    /// At the end of every so many epochs.
    pub fn every_epochs(mut self, epochs: usize) -> Self {
        self.every_epochs = epochs;
        self
    }

    pub(crate) fn check(&self, f: &mut Faults) {
        f.check(self.path.file_name().is_some(), "fit.checkpoint.path", format!("`{}` names no file", self.path.display()), "name a file");
    }
}

/// Whether `fit` goes on from the file of its [`Checkpoint`].
///
/// What training depends on must be as it was: the model, the optimizer's kind, the loss, the metrics, the seed, the batch size, the order,
/// the number of rows. All that differs is listed in an `Err`. Epochs may be raised, rates, callbacks and how often something is done changed.
///
/// ```
/// use gradus::train::Resume;
/// assert_eq!("if-present".parse::<Resume>()?, Resume::IfPresent);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Resume {
    /// The run starts anew, and writes over the file.
    #[default]
    Never,
    /// It goes on if the file is there, else it starts anew. A file that is damaged or another run's is an `Err`.
    IfPresent,
    /// It goes on; without the file that is an `Err`.
    Required,
}

impl FromStr for Resume {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "never" => Ok(Resume::Never),
            "if-present" => Ok(Resume::IfPresent),
            "required" => Ok(Resume::Required),
            _ => Err(Error::unknown_choice("resume", s, &["never", "if-present", "required"])),
        }
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resume::Never => "never",
            Resume::IfPresent => "if-present",
            Resume::Required => "required",
        })
    }
}
