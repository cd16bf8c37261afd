//! Models, training loops, settings, devices, files.

mod adapt;
mod anomaly;
mod bench;
mod bisect;
mod by_hand;
pub mod callbacks;
mod checkpoint;
mod diagnose;
mod evaluate;
mod exact;
mod feed;
mod file;
mod fitting;
mod general;
mod history;
mod inputs;
mod inspect;
mod interrupt;
mod model;
mod pace;
mod parameters;
#[cfg(feature = "plot")]
#[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
pub mod plot;
mod profile;
mod progress;
mod rate;
mod recipe;
mod recover;
mod run;
mod scaling;
mod settings;
mod shared;
#[cfg(test)]
mod slot_tests;
mod spikes;
mod step;
mod sum;
mod trainer;
mod transfer;
mod update;
mod weights;
mod windows;
mod working;

pub use crate::device::{Device, DeviceChoice};
pub use bisect::{Bisection, CutPoint, Difference, Trial, WrongLaunch};
pub use by_hand::HostBatch;
pub use checkpoint::{Checkpoint, Resume};
pub use diagnose::{Diagnostics, LayerReport, LayerStats, TensorStats};
pub use evaluate::Evaluation;
pub use general::{Batch, StepFn, StepOut, step};
pub use history::History;
pub use inputs::Input;
use model::Core;
pub use model::ModuleExt;
pub use profile::{LaunchTime, StepProfile};
pub use recipe::{DataSource, RECIPE_VERSION, Recipe};
pub use scaling::LossScaleState;
pub use settings::{Compile, Fit};
pub use shared::Model;
pub use trainer::{StepReport, Trainer};
pub use weights::{Load, LoadReport};
