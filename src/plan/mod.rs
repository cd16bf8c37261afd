//! HOW to compute it: from a graph to a [`Program`], a list of kernel launches over a few buffers. Pure: knows no wgpu.
//!
//! [`plan`] fuses maps into the kernels around them (`fuse`), turns each group into launches (`lower`), and colours what they
//! make into reusable slots (`memory`). The result is data: it can be printed, counted and tested without a device.

mod alone;
mod arena;
mod draft;
mod ending;
mod explain;
mod fuse;
mod ledger;
mod limits;
mod long;
mod lower;
mod memory;
mod metrics;
mod profile;
mod rates;
mod session;
mod slots;
mod stored;
mod units;
mod updates;
mod view;

pub use crate::optim::Rule;
pub use arena::{ALIGN, Arena, ArenaEntry, BufferEntry};
pub(crate) use explain::bytes as human_bytes;
pub(crate) use explain::group as human_count;
pub(crate) use ledger::{Ledger, dims as program_dims};
pub use limits::{IndexLimit, LabelLimit};
#[cfg(feature = "gpu")]
pub(crate) use memory::STAGED;
pub use profile::{Clock, Timing};
pub use session::{DataId, Handle, Layout, LogLine, Session, Traffic};
pub use stored::Stored;
pub use units::{Made, Unit, Window};

use crate::error::{Error, Result};
use crate::graph::{Field, Graph, Precision, Value};
use crate::kernels::{CoopCaps, Kernel, LogShape, RateTable, Target};
use crate::tensor::{DType, Shape};
use std::ops::Range;

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Forward, backward, update.
    Train,
    /// Loss and metrics.
    Evaluate,
    /// The outputs.
    Predict,
}

/// Which of an update's batches a training program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Part {
    /// The only one.
    #[default]
    Whole,
    /// One of several that is not the last: its gradient is added to a sum, and nothing is updated.
    Inner,
    /// The last of several.
    Last,
}

/// A state and its log: one for training, one for everything else, so that a validation leaves the order of training alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Training.
    Train,
    /// Evaluation and inference.
    Look,
}

impl Purpose {
    /// What such a program does, in a word.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Purpose::Train => "training",
            Purpose::Evaluate => "evaluation",
            Purpose::Predict => "prediction",
        }
    }

    /// The state that programs of this purpose move.
    pub fn lane(self) -> Lane {
        if self == Purpose::Train { Lane::Train } else { Lane::Look }
    }
}

/// A buffer of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BufferId {
    /// A reusable buffer for values that live within a step; shared by all programs of a model.
    Slot(usize),
    /// All trainable parameters.
    Parameters,
    /// All frozen parameters: read by launches, written by none.
    Frozen,
    /// State that is not trained: written at the end of a training step's forward and backward, and by nothing else.
    Buffers,
    /// The f16 copies of the parameters that products read, two to a word: the trainable ones at the same offsets, behind them the frozen
    /// ones. The optimizer writes them with the parameters, the host with whatever else sets those. Only where precision is mixed.
    Working,
    /// The gradients of the trainable ones, at the same offsets.
    Gradients,
    /// A moment of the optimizer, at the same offsets.
    Moment(usize),
    /// Sums of the gradients of an update's batches, at the same offsets. Made with the first program that uses it; empty between updates.
    Sums,
    /// Counters, cursor, halt.
    State(Lane),
    /// Losses and metrics of the latest steps.
    Log(Lane),
    /// Learning rates and corrections of the next updates.
    Rates,
    /// Partial sums of the gradient's squares.
    Partials,
    /// A field of the data set that the program runs over.
    Data(usize),
}

/// The parts of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Rows of a batch.
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
    /// Moments that the optimizer keeps, an average of the weights among them.
    pub moments: usize,
    /// What the rates' buffer holds.
    pub rates: RateTable,
    /// The fields of the data set that it reads.
    pub fields: Vec<Field>,
    /// Class labels that its kernels tell apart: what the data must be checked for.
    pub label_limits: Vec<LabelLimit>,
    /// The metrics of a log line, in order.
    pub metrics: Vec<LogMetric>,
    /// The last of them is what the batch's loss is a mean over.
    pub weighed: bool,
    /// What `predict` reads.
    pub outputs: Vec<Output>,
    /// What the integers of its fields must be below.
    pub index_limits: Vec<IndexLimit>,
    /// Which launches make which values of the simplified graph, in launch order.
    pub units: Vec<Unit>,
}

/// A step as a graph, with what is wanted of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// The graph, backward included.
    pub graph: Graph,
    /// The loss, one element.
    pub loss: Option<Value>,
    /// The gradient of each parameter that has one, by name.
    pub gradients: Vec<(String, Value)>,
    /// What the loss is a mean over, one element, where that is not the rows of the batch: where several batches make an update their
    /// gradients are weighed by it.
    pub weight: Option<Value>,
    /// Of any size, f32: the columns of a log line.
    pub metrics: Vec<(String, Value)>,
    /// What `predict` returns.
    pub outputs: Vec<(String, Value)>,
    /// New values of state that is not trained, by name: the only side effect that a graph has.
    pub updates: Vec<(String, Value)>,
    /// In which precision it is to be computed.
    pub precision: Precision,
}

impl Step {
    /// Every value that must be computed.
    pub fn roots(&self) -> Vec<Value> {
        let named = self.gradients.iter().chain(&self.metrics).chain(&self.outputs).chain(&self.updates).map(|(_, v)| *v);
        self.loss.into_iter().chain(named).collect()
    }

    /// The same step over the simplified graph, its values in the dtypes that they are stored in.
    pub fn simplified(&self) -> Result<Step> {
        let mut step = self.rewritten()?;
        step.store()?;
        Ok(step)
    }

    /// The same step over the simplified graph, all in f32.
    pub(crate) fn rewritten(&self) -> Result<Step> {
        let (graph, roots) = crate::graph::simplify(&self.graph, &self.roots())?;
        let mut roots = roots.into_iter();
        let rename = |list: &[(String, Value)], next: &mut dyn Iterator<Item = Value>| -> Vec<(String, Value)> {
            list.iter().zip(next).map(|((n, _), v)| (n.clone(), v)).collect()
        };
        let loss = self.loss.and_then(|_| roots.next());
        let gradients = rename(&self.gradients, &mut roots.by_ref().take(self.gradients.len()));
        let metrics = rename(&self.metrics, &mut roots.by_ref().take(self.metrics.len()));
        let outputs = rename(&self.outputs, &mut roots.by_ref().take(self.outputs.len()));
        let updates = rename(&self.updates, &mut roots);
        Ok(Step { graph, loss, gradients, weight: None, metrics, outputs, updates, precision: self.precision.clone() })
    }
}

/// What to plan.
#[derive(Debug)]
pub struct Request<'a> {
    /// The step.
    pub step: &'a Step,
    /// What it is for.
    pub purpose: Purpose,
    /// Which of an update's batches, in training.
    pub part: Part,
    /// Rows of a batch.
    pub batch: usize,
    /// Where the parameters lie.
    pub arena: &'a Arena,
    /// The optimizer, in training.
    pub rule: &'a Rule,
    /// The kind of machine.
    pub target: Target,
    /// Its cooperative matrices, where products of f16 shall use them.
    pub coop: Option<CoopCaps>,
}

/// Plans a step.
pub fn plan(r: &Request<'_>) -> Result<Program> {
    let weighed = r.step.weight.filter(|_| r.part != Part::Whole);
    let step = match weighed {
        // the host weighs the losses by it, too
        Some(weight) => {
            let mut step = r.step.clone();
            step.metrics.push(("weight".into(), weight));
            step.simplified()?
        }
        None => r.step.simplified()?,
    };
    let groups = fuse::fuse(&step)?;
    let draft = lower::lower(r, &step, &groups)?;
    let mut program = memory::colour(r, draft);
    program.weighed = weighed.is_some();
    program.stored = stored::explain(&step, &program.units, &program.launches);
    program.elements = largest(&step);
    program.index_limits = limits::index_limits(&step.graph);
    program.label_limits = limits::label_limits(&step.graph);
    if let Some(l) = program.launches.iter().find(|l| l.kernel.dims().len() > crate::kernels::DIMS) {
        return Err(Error::Unsupported {
            what: format!("the launch {} {}", l.kernel.name(), l.label),
            at: format!("a batch of {}", r.batch),
            help: "its tensors have too many axes for one launch: merge some of them (`reshape`)".into(),
        });
    }
    Ok(program)
}

fn largest(step: &Step) -> usize {
    let g = &step.graph;
    let live = g.live(&step.roots());
    let sizes = g.nodes.iter().zip(live).filter(|(_, live)| *live).flat_map(|(n, _)| n.outputs.iter().map(|t| t.shape.size()));
    sizes.max().unwrap_or(0)
}

impl Program {
    /// Fails where kernels, which count elements in 32 bits, would lose count. Sessions ask after they have taken the memory: what does not
    /// fit is told as such.
    pub fn countable(&self) -> Result<()> {
        if self.elements > u32::MAX as usize {
            return Err(self.too_large(format!("a tensor of {} elements", self.elements), "2^32 - 1 elements"));
        }
        // the bits of a link tell more than its place
        let indices = |l: &Launch| if let Kernel::ScatterLinks(k) = &l.kernel { k.count } else { 0 };
        match self.launches.iter().find(|l| indices(l) > crate::kernels::LAST as usize) {
            Some(l) => Err(self.too_large(format!("{} indices of the launch {}", indices(l), l.label), "2^31 - 1 indices")),
            None => Ok(()),
        }
    }

    /// Fails where a shader could not tell a size, an offset, an element of an arena or a thread's number, whatever the memory. The CPU counts on.
    pub fn addressable(&self) -> Result<()> {
        let (a, most) = (&self.arena, u32::MAX as usize);
        if let Some(n) = [a.size, a.frozen, a.buffered, a.working].into_iter().find(|&n| n > most) {
            return Err(self.too_large(
                format!("a model whose parameters or buffers have {n} elements"),
                "2^32 - 1 elements, and so has a model on a GPU",
            ));
        }
        let beyond = self.launches.iter().find(|l| !l.kernel.counts());
        beyond.map_or(Ok(()), |l| {
            Err(self.too_large(
                format!("the launch {} {}", l.kernel.name(), l.label),
                "2^30 elements (2^32 - 1 where they are read by fours) or 2^24 rows",
            ))
        })
    }

    fn too_large(&self, what: String, most: &str) -> Error {
        Error::Unsupported {
            what,
            at: format!("a batch of {}", self.batch),
            help: format!("a tensor has at most {most}: take a smaller batch or a narrower layer"),
        }
    }

    /// Fails where a lane's loops would turn so often that some software Vulkan leaves them early, and says nothing. Sessions on such an
    /// adapter ask.
    #[cfg(feature = "gpu")]
    pub(crate) fn turns_end(&self) -> Result<()> {
        let most = crate::kernels::MOST_TURNS;
        let Some((l, turns)) = self.launches.iter().map(|l| (l, l.kernel.turns())).find(|(_, turns)| *turns > most) else { return Ok(()) };
        Err(Error::Unsupported {
            what: format!("the launch {} {} on a software GPU: a lane of it would turn {turns} times, and {most} are safe there", l.kernel.name(), l.label),
            at: format!("a batch of {}", self.batch),
            help: "run it on the CPU (`--device cpu`, `Device::cpu()`), which is faster than a GPU in software anyway, or take a smaller batch or a \
                   narrower layer"
                .into(),
        })
    }

    /// The launches of a phase.
    pub fn phase(&self, phase: Phase) -> &[Launch] {
        let range = self.phases.iter().find(|(p, _)| *p == phase).map_or(0..0, |(_, r)| r.clone());
        &self.launches[range]
    }

    /// Where its log lines lie.
    pub fn log(&self) -> LogShape {
        LogShape::of(self.metrics.iter().map(|m| m.columns).sum())
    }

    /// Whether it sums gradients of several batches: a session makes room for them when it is prepared.
    pub fn accumulates(&self) -> bool {
        self.part != Part::Whole
    }

    /// The arenas that a session needs for it.
    pub fn layout(&self) -> Layout {
        Layout { rates: self.rates, ..Layout::of(&self.arena, self.moments) }
    }

    /// The distinct pipelines, as source texts.
    pub fn pipelines(&self) -> Vec<String> {
        let mut all: Vec<String> = self.launches.iter().map(|l| l.kernel.source()).collect();
        all.sort();
        all.dedup();
        all
    }
}
