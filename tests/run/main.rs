//! Whole models as a user trains them: what each part of a step means, that no bit depends on how a run is cut, and that training learns.

mod api;
mod augment;
mod bits;
mod budget;
mod buffers;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod deep;
mod dropout;
mod embedding;
mod faces;
mod forecast;
mod frozen;
mod ignored;
mod loss_scale;
mod metrics;
mod mixed;
mod models;
mod robust;
mod rows;
mod series;
mod servers;
mod shards;
mod simulation;
mod step;
mod stream;
mod study;
mod terminal;
mod training;
mod updates;
mod workers;
