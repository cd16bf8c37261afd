//! What a launch hands to the loop that runs it.

use super::fork::Writes;
use super::pieces::Piece;
use crate::error::Result;
use crate::expr::Evaluator;

/// Buffers that a launch can read.
pub(crate) const READS: usize = 16;

/// One run of a kernel.
pub(crate) struct Call<'a> {
    /// Threads that work is shared out to.
    pub threads: usize,
    /// The kernel's formula, or its formulas in their order, once for each thread that evaluating them is worth.
    pub workers: &'a mut [Evaluator],
    /// The operands, in the order of the kernel's bindings: whole buffers.
    pub reads: &'a [&'a [u32]],
    /// The results, in the same order: of each what the kernel touches.
    pub writes: Writes<'a>,
    /// What a product needs that reads or stores f16.
    pub beside: Beside<'a>,
}

/// A product's pieces, and room for f16 operands and results as f32.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    pub pieces: &'a [Piece],
    pub reads: &'a mut [Vec<u32>],
    pub writes: &'a mut [Vec<u32>],
}

/// A kernel on the CPU: the twin of its shader.
pub(crate) trait Twin {
    /// Does what the shader does.
    fn run(&self, call: Call<'_>) -> Result<()>;

    /// Nanoseconds that it takes beside evaluating its formula, by a guess: what decides how many threads it is worth. Where that is little, what it
    /// moves decides.
    fn work(&self) -> f64 {
        0.0
    }

    /// Whether it reads and writes f16 as they are stored. Else it finds f32 in their place.
    fn takes_halves(&self) -> bool {
        false
    }

    /// Whether an input of a formula, both by their numbers, is one number for all of a chunk.
    fn alike(&self, _formula: usize, _input: usize) -> bool {
        false
    }

    /// The parts of a product that reads or stores f16.
    fn pieces(&self) -> Vec<Piece> {
        vec![]
    }
}
