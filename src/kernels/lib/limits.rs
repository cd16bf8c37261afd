//! What a kernel must stay below on every machine.

/// Words of one row of the `dims` buffer.
pub const DIMS: usize = 64;
/// Most workgroups along one axis.
pub const MAX_GROUPS: usize = 65_535;
/// Most turns that all loops of a shader take together in one lane on every software Vulkan: lavapipe up to Mesa 25 leaves every loop after so
/// many (`LP_MAX_TGSI_LOOP_ITERATIONS`), without a word.
pub const MOST_TURNS: usize = 65_535;
