//! Models, training loops, settings, devices, files.

mod bench;
mod bisect;
mod by_hand;
mod device;
mod device_list;
mod evaluate;
mod feed;
mod general;
mod history;
mod inputs;
mod inspect;
mod model;
mod parameters;
#[cfg(feature = "plot")]
#[cfg_attr(docsrs, doc(cfg(feature = "plot")))]
pub mod plot;
mod profile;
mod progress;
mod recipe;
mod recover;
mod settings;
mod step;
mod trainer;
mod weights;

pub use bisect::{Bisection, CutPoint, Difference, Trial, WrongLaunch};
pub use by_hand::HostBatch;
pub use device::{Device, DeviceChoice};
pub use evaluate::Evaluation;
pub use general::{Batch, StepFn, StepOut, step};
pub use history::History;
pub use inputs::Input;
pub use model::{Model, ModuleExt};
pub use profile::{LaunchTime, StepProfile};
pub use recipe::{DataSource, RECIPE_VERSION, Recipe};
pub use settings::{Compile, Fit};
pub use trainer::{StepReport, Trainer};
pub use weights::{Load, LoadReport};
