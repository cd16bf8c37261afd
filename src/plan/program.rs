//! A step, compiled: launches over buffers, in phases. Plain data.

use super::limits::{IndexLimit, LabelLimit};
use super::memory::{Arena, BufferId, Layout};
use super::purpose::{Part, Purpose};
use crate::graph::{Class, Field, NodeId, Value};
use crate::kernels::{Kernel, LogShape, RateTable};
use crate::tensor::{DType, Shape};
use std::ops::Range;
use std::sync::Arc;

/// The parts of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Rows of the data set become a batch.
    Batch,
    /// Forward and backward.
    Compute,
    /// What must be known about all gradients before the first parameter is touched.
    Finish,
    /// The optimizer.
    Update,
    /// Counters, cursor, log.
    Tick,
}

impl Phase {
    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Batch => "batch",
            Phase::Compute => "compute",
            Phase::Finish => "finish",
            Phase::Update => "update",
            Phase::Tick => "tick",
        }
    }
}

/// One dispatch.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The kernel with its sizes.
    pub kernel: Kernel,
    /// Its buffers, in binding order.
    pub buffers: Vec<BufferId>,
    /// What it computes, for people.
    pub label: String,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

/// Where an output of a program lies.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The buffer.
    pub buffer: BufferId,
    /// First element.
    pub offset: usize,
    /// Its shape.
    pub shape: Shape,
    /// Its dtype.
    pub dtype: DType,
}

/// A metric's part of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMetric {
    /// Its name.
    pub name: String,
    /// How many values.
    pub columns: usize,
}

/// A step, compiled: launches over buffers, in phases that can be encoded apart.
#[derive(Debug, Clone)]
pub struct Program {
    /// What it is for.
    pub purpose: Purpose,
    /// Which of an update's batches it is for.
    pub part: Part,
    /// Rows of a batch; 0 for an update alone.
    pub batch: usize,
    /// All launches, in order.
    pub launches: Vec<Launch>,
    /// The launches of each phase.
    pub phases: Vec<(Phase, Range<usize>)>,
    /// Bytes of each slot that it needs, the largest first: slots are shared by all programs of a model.
    pub slots: Vec<usize>,
    /// Bytes that all slots would take if everything were stored as f32.
    pub full_slots: usize,
    /// How the launches' results are stored, and why; empty where everything is f32.
    pub stored: Vec<Stored>,
    /// Largest sum of slot bytes that are live at one launch: the least that any plan needs.
    pub live_bytes: usize,
    /// The largest values that slots hold, by the launch that makes them, with their bytes.
    pub largest: Vec<(String, usize)>,
    /// Elements of the largest value of the graph, in a slot or not.
    pub elements: usize,
    /// The parameters.
    pub arena: Arena,
    /// Moments that the optimizer keeps, an average of the weights among them; none where no update is applied.
    pub moments: usize,
    /// What the rates' buffer holds.
    pub rates: RateTable,
    /// Words that its kernels look up and nobody writes, as the addresses of patches of images.
    pub tables: Arc<[u32]>,
    /// The fields of the data set that it reads.
    pub fields: Vec<Field>,
    /// Class labels that its kernels tell apart: what the data must be checked for.
    pub label_limits: Vec<LabelLimit>,
    /// The metrics of a log line, in order.
    pub metrics: Vec<LogMetric>,
    /// The last of them is what the batch's loss is a mean over; else it is one over the batch's rows.
    pub weighed: bool,
    /// What `predict` reads.
    pub outputs: Vec<Output>,
    /// What the integers of its fields must be below.
    pub index_limits: Vec<IndexLimit>,
    /// Which launches make which values of the simplified graph, in launch order.
    pub units: Vec<Unit>,
}

/// How a launch's result is stored, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The launch.
    pub launch: usize,
    /// f16 or f32.
    pub dtype: DType,
    /// The class of the value.
    pub class: Class,
}

/// A value of the simplified graph and where a program leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The value.
    pub value: Value,
    /// The buffer.
    pub buffer: BufferId,
    /// Its first element.
    pub offset: usize,
}

/// Launches that make some nodes' values between them: one in most cases, two where a long sum is cut in pieces. Nothing between the
/// launches of a unit is a value of the graph, so a step can be cut only between units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The nodes, those fused away included; none for a copy.
    pub nodes: Vec<NodeId>,
    /// The launches.
    pub launches: Range<usize>,
    /// What they leave in buffers.
    pub made: Vec<Made>,
}

impl Program {
    /// The launches of a phase.
    pub fn phase(&self, phase: Phase) -> &[Launch] {
        let range = self.phases.iter().find(|(p, _)| *p == phase).map_or(0..0, |(_, r)| r.clone());
        &self.launches[range]
    }

    /// The phase that a launch belongs to.
    pub(crate) fn phase_of(&self, launch: usize) -> Phase {
        self.phases.iter().find(|(_, r)| r.contains(&launch)).map_or(Phase::Compute, |(p, _)| *p)
    }

    /// What it is about, for messages.
    pub(crate) fn whose(&self) -> String {
        if self.batch > 0 { format!("a batch of {}", self.batch) } else { "an update alone".into() }
    }

    /// Where its log lines lie.
    pub fn log(&self) -> LogShape {
        LogShape::of(self.metrics.iter().map(|m| m.columns).sum())
    }

    /// Whether it sums gradients of several batches: a session makes room for them when it is prepared.
    pub fn accumulates(&self) -> bool {
        self.part.sums()
    }

    /// The buffers of a session that is made for it.
    pub fn layout(&self) -> Layout {
        Layout { rates: self.rates, ..Layout::of(&self.arena, self.moments) }
    }

    /// The buffers that a session has once this program is ready: as [`Program::layout`], with room for its log and its sums.
    pub fn needs(&self) -> Layout {
        let mut needs = self.layout();
        needs.logs[self.purpose.state_set() as usize] = self.log().words();
        needs.sums = if self.accumulates() { self.arena.size } else { 0 };
        needs
    }

    /// The distinct pipelines, as source texts.
    pub fn pipelines(&self) -> Vec<String> {
        let mut all: Vec<String> = self.launches.iter().map(|l| l.kernel.source()).collect();
        all.sort();
        all.dedup();
        all
    }
}
