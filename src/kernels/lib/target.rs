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

impl Target {
    /// Lanes that work together on one sum.
    pub(crate) fn group(self) -> usize {
        match self {
            Target::Gpu => 256,
            Target::Software | Target::Lanes8 => 1,
        }
    }
}
