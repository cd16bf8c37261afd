//! What a compiled model is and holds: its description, its programs, its memory on the device, its counters. Loops over a model are no part of
//! this room: those of gradus are in [`train`](crate::train). Every method that locks or changes a model goes through [`core::Core`].

pub(crate) mod accumulation;
pub(crate) mod adapt;
pub(crate) mod average;
pub(crate) mod build;
pub(crate) mod compile;
pub(crate) mod core;
pub(crate) mod describe;
pub(crate) mod device_data;
pub(crate) mod engine;
pub(crate) mod face;
pub(crate) mod feed;
pub(crate) mod gone;
pub(crate) mod half_copy;
pub(crate) mod halt;
pub(crate) mod inputs;
pub(crate) mod journal;
pub(crate) mod loss_scale;
pub(crate) mod make;
pub(crate) mod pace;
pub(crate) mod parameter_words;
pub(crate) mod part;
pub(crate) mod probe;
pub(crate) mod programs;
pub(crate) mod progress;
pub(crate) mod queued;
pub(crate) mod rate;
pub(crate) mod rates;
pub(crate) mod ready;
pub(crate) mod recompile;
pub(crate) mod recover;
pub(crate) mod resident;
pub(crate) mod shared;
pub(crate) mod signature;
#[cfg(test)]
mod slot_tests;
pub(crate) mod snapshot;
pub(crate) mod summary;
pub(crate) mod values;
pub(crate) mod words;
