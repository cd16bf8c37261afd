//! What a compiled model is and holds: its description, its programs, what lies on the device, where it stands. No loop: those are in
//! [`train`](crate::train).

pub(crate) mod accumulation;
pub(crate) mod adapt;
pub(crate) mod build;
pub(crate) mod compile;
pub(crate) mod core;
pub(crate) mod describe;
pub(crate) mod feed;
pub(crate) mod half_copy;
pub(crate) mod inputs;
pub(crate) mod loss_scale;
pub(crate) mod pace;
pub(crate) mod probe;
pub(crate) mod rate;
pub(crate) mod recompile;
pub(crate) mod recover;
pub(crate) mod shared;
pub(crate) mod signature;
#[cfg(test)]
pub(crate) mod slot_tests;
pub(crate) mod update;
pub(crate) mod values;
