//! Training: loops over a model, their settings, what they report. What a user needs beside them is handed on from here: models, devices, files,
//! tools that look at a model.

mod advance;
mod budget;
mod by_hand;
pub mod callbacks;
#[cfg(feature = "plot")]
mod curves;
mod evaluate;
mod evaluation;
mod fit;
mod flight;
mod history;
mod interrupt;
mod loop_settings;
mod mean;
mod progress;
mod recipe;
mod record;
mod report;
mod resume;
mod settings;
mod spikes;
mod state;
mod steps;
mod trainer;
mod turn;

pub use crate::device::{Device, DeviceChoice};
pub use crate::inspect::bisect::{Bisection, CutPoint, Trial, WrongLaunch};
pub use crate::inspect::diagnose::{Diagnostics, LayerReport, LayerStats, TensorStats};
#[cfg(feature = "plot")]
#[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
pub use crate::inspect::plot;
pub use crate::inspect::profile::{LaunchTime, StepProfile};
pub use crate::inspect::workbench::Difference;
pub use crate::model::compile::Compile;
pub use crate::model::compile::Input;
pub use crate::model::describe::{Batch, StepFn, StepOut, step};
pub use crate::model::loss_scale::LossScaleState;
pub use crate::model::make::ModuleExt;
pub use crate::model::shared::Model;
pub use crate::store::checkpoint::{Checkpoint, Resume};
pub use crate::store::weights::{Load, LoadReport};
pub use budget::Budget;
pub use by_hand::HostBatch;
pub use evaluation::Evaluation;
pub use history::History;
pub(crate) use interrupt::{Interrupt, asked};
pub(crate) use mean::{Mean, weighed_loss};
pub use recipe::{DataOp, DataSpec, HeldOut, ModelSpec, Outcome, RECIPE_VERSION, Recipe, Registry, Seeds, Sets};
pub use report::StepReport;
pub use settings::Fit;
pub use trainer::Trainer;
pub use turn::Turn;
