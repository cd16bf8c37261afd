//! A program whose values have no slot yet.

use super::units::DraftUnit;
use super::{BufferId, LogMetric, Phase};
use crate::graph::{Field, Type};
use crate::kernels::{Kernel, shared};
use std::ops::Range;

/// A buffer of a launch: a fixed one, or a value that gets a slot later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symbol {
    Fixed(BufferId),
    Virtual(usize),
}

/// A launch over symbols.
#[derive(Debug)]
pub struct DraftLaunch {
    pub kernel: Kernel,
    pub buffers: Vec<Symbol>,
    pub label: String,
    pub flops: u64,
    pub bytes: u64,
}

/// A program over symbols.
#[derive(Debug, Default)]
pub struct Draft {
    pub launches: Vec<DraftLaunch>,
    pub phases: Vec<(Phase, Range<usize>)>,
    /// Bytes of each virtual buffer.
    pub virtuals: Vec<usize>,
    /// The same if all of them were f32.
    pub full: Vec<usize>,
    /// Virtual buffers that must last to the end of the step.
    pub kept: Vec<usize>,
    pub fields: Vec<Field>,
    pub metrics: Vec<LogMetric>,
    /// Name, place and type of what `predict` reads.
    pub outputs: Vec<(String, Place, Type)>,
    pub units: Vec<DraftUnit>,
}

/// Where a value lies: a buffer and its first element.
pub type Place = (Symbol, usize);

/// Appends the buffers of results, each once, and says which result has each one's binding.
pub fn bind(buffers: &mut Vec<Symbol>, results: impl Iterator<Item = Symbol>) -> Vec<usize> {
    let results: Vec<Symbol> = results.collect();
    let via = shared(&results);
    buffers.extend(results.iter().enumerate().filter(|&(i, _)| via[i] == i).map(|(_, s)| *s));
    via
}
