//! The kind of machine that kernels are shaped for.

use serde::{Deserialize, Serialize};

/// The kind of machine that kernels are shaped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Many cores, workgroup memory.
    Gpu,
    /// A GPU in software (lavapipe, SwiftShader, WARP), or the CPU device: no barriers, few large pieces of work.
    Software,
    /// As `Software`, with subgroups of eight lanes: lavapipe on AVX2. It loads a vector lane by lane, even where all load the same.
    Lanes8,
}

/// How many registers a thread of a GPU has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registers {
    /// Enough for 64 sums beside their operands.
    #[default]
    Many,
    /// Not enough for those: Intel's threads keep 109 to 186 values of such a tile in memory.
    Few,
}

impl Target {
    /// Lanes that work together on one sum.
    pub(crate) fn group(self) -> usize {
        match self {
            Target::Gpu => 256,
            Target::Software | Target::Lanes8 => 1,
        }
    }
}
