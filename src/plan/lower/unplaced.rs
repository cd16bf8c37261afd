//! A program whose values have no slot yet.

use crate::graph::{Field, Graph, NodeId, Type, Value};
use crate::kernels::{Access, Kernel, shared};
use crate::plan::memory::BufferId;
use crate::plan::program::{LogMetric, Made, Phase, Unit};
use std::collections::HashMap;
use std::ops::Range;

/// A buffer of a launch: a fixed one, or a value that gets a slot later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symbol {
    Fixed(BufferId),
    Virtual(usize),
}

/// What kernels look up and nobody writes.
pub const TABLES: Symbol = Symbol::Fixed(BufferId::Tables);

/// A launch over symbols.
#[derive(Debug)]
pub struct DraftLaunch {
    pub kernel: Kernel,
    pub buffers: Vec<Symbol>,
    pub label: String,
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
    /// Words that kernels look up and nobody writes.
    pub tables: Vec<u32>,
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

/// A unit over symbols.
#[derive(Debug)]
pub struct DraftUnit {
    pub nodes: Vec<NodeId>,
    pub launches: Range<usize>,
    pub made: Vec<(Value, Place)>,
}

impl DraftUnit {
    pub fn settle(self, id: impl Fn(Symbol) -> BufferId) -> Unit {
        let made = self.made.into_iter().map(|(value, (s, offset))| Made { value, buffer: id(s), offset }).collect();
        Unit { nodes: self.nodes, launches: self.launches, made }
    }
}

impl Draft {
    /// The launches from `first` on make these nodes' values.
    pub fn unit(&mut self, first: usize, g: &Graph, nodes: impl Iterator<Item = NodeId>, places: &HashMap<Value, Place>) {
        let launches = first..self.launches.len();
        if launches.is_empty() {
            return;
        }
        let nodes: Vec<NodeId> = nodes.collect();
        let written = |s: Symbol| {
            let writes = |l: &DraftLaunch| l.buffers.iter().zip(l.kernel.accesses()).any(|(&b, access)| b == s && access == Access::Write);
            self.launches[launches.clone()].iter().any(writes)
        };
        let outputs = nodes.iter().flat_map(|&node| (0..g.nodes[node].outputs.len()).map(move |output| Value { node, output }));
        // what nobody reads has a place and no writer
        let made = outputs.filter_map(|v| places.get(&v).map(|p| (v, *p))).filter(|(_, p)| written(p.0)).collect();
        self.units.push(DraftUnit { nodes, launches, made });
    }

    /// The last launch copied a value.
    pub fn copied(&mut self, v: Value, to: Place) {
        let end = self.launches.len();
        self.units.push(DraftUnit { nodes: vec![], launches: end.saturating_sub(1)..end, made: vec![(v, to)] });
    }
}
