//! Where a model runs: choosing a machine, listing what there is, limiting its memory. A [`Device`] opens the session that holds a model's
//! buffers and runs its programs.

mod choice;
mod choose;
mod limit;
mod list;
mod machine;

pub use choice::DeviceChoice;
pub use machine::Device;
