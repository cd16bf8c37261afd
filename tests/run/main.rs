//! Whole models as a user trains them: what each part of a step means, that no bit depends on how a run is cut, and that training learns.

mod api;
mod bits;
mod budget;
mod buffers;
#[path = "../common/mod.rs"]
mod common;
mod deep;
mod dropout;
mod embedding;
mod faces;
mod frozen;
mod ignored;
mod loss_scale;
mod metrics;
mod mixed;
mod robust;
mod rows;
mod shards;
mod step;
mod stream;
mod terminal;
mod training;
mod updates;
