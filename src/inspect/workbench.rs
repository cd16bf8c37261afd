//! What bisection works with: one step of a model in a session of its own, and beside it the values that the reference computes for the
//! same graph.

use super::batch::{Drawn, batches_of};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::expr::Real;
use crate::graph::{Graph, Leaf, NodeId, Op, StateField, Value};
use crate::kernels::words::StateWords;
use crate::model::build::Built;
use crate::model::core::Core;
use crate::model::half_copy::half_copy_of;
use crate::model::inputs::in_call;
use crate::model::parameter_words::ParameterWords;
use crate::plan::{Arena, Blocking, BufferId, DataId, Layout, Part, Program, Purpose, Session, StateSet, Step};
use crate::reference::{Data, draw, evaluate, evaluate_all, rounding};
use crate::tensor::{DType, pack_f16, unpack_f16};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The element of a value that is furthest off.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The value: `loss`, `gradient of fc1.weight`, or the node that makes it.
    pub value: String,
    /// Which element, counted row-major as the device stores it: of a convolution's weights channels last.
    pub element: usize,
    /// What the device gives.
    pub found: f64,
    /// What the reference gives, in f64.
    pub expected: f64,
    /// How far it may be off.
    pub tolerance: f64,
    /// How far it is off, in tolerances: above 1 is wrong.
    pub ratio: f64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { value, element, found, expected, tolerance, .. } = self;
        write!(f, "{value}: element {element} is {found:.9e}, in the reference {expected:.9e} (tolerance {tolerance:.1e})")
    }
}

/// Changes a program before it is run: tests plant errors with it.
pub(crate) type Plant<'a> = &'a dyn Fn(Program) -> Program;

pub(crate) struct Workbench {
    pub program: Program,
    pub graph: Graph,
    /// Names of the results of the step: the loss, gradients, metrics.
    named: HashMap<Value, String>,
    exact: Vec<Option<Vec<Data<f64>>>>,
    /// The tolerances by node, for a run of the whole step.
    tolerance: HashMap<NodeId, Vec<Vec<f64>>>,
    session: Box<dyn Session>,
    /// The buffers of the fields that the program reads.
    data: Vec<DataId>,
    set: StateSet,
}

impl Workbench {
    /// For the step over the first `batch` rows in the order in which they lie.
    pub fn new(model: &mut Core, data: &Dataset, purpose: Purpose, batch: usize, plant: Plant<'_>) -> Result<Self> {
        data.check()?;
        model.check_data(data, purpose).map_err(in_call("bisect"))?;
        let rows = data.clone().take(batch);
        let fields = model.fields_of(&rows, Purpose::Train);
        let Built { step: written, .. } = model.description.build(purpose, batch, &fields)?;
        let step = written.simplified()?;
        let program = plant(model.engine.plan(&written, purpose, Part::Whole, batch)?);

        model.check_limits(&rows, &program)?;

        let words = model.read_parameters()?;
        let stored = (0..fields.len()).map(|i| rows.words(i)).collect::<Result<Vec<_>>>()?;
        let fed = batches_of(&fields, &stored, batch, Drawn { seed: model.description.settings.seed_of_order(), batch: 0, epoch: 0 })?;
        let scale = model.progress.scaler.map_or(1.0, |s| s.scale);
        let leaves = Leaves {
            fields: &fed,
            arena: &model.engine.arena,
            words: &words,
            seed: model.description.settings.seed_of_order(),
            batch: 0,
            scale,
        };
        let feed = |op: &Op| leaves.of(op);
        let exact = evaluate_all::<f64>(&step.graph, &feed, &step.roots())?;
        // the rewriting of the graph is checked before anything is rounded to f16
        let plain = written.rewritten()?;
        let rewritten = evaluate_all::<f64>(&plain.graph, &feed, &plain.roots())?;
        simplified_well(&written, &plain, &rewritten, &evaluate::<f64>(&written.graph, &feed, &written.roots())?)?;
        let all: Vec<NodeId> = (0..step.graph.nodes.len()).collect();
        let tolerance = rounding::tolerances(&step.graph, &exact, &all)?;

        let mut session = model.engine.device.session(Layout::of(&model.engine.arena, 0))?;
        let set = purpose.state_set();
        let state = StateWords { rows: rows.len() as u32, loss_scale: scale.to_bits(), ..StateWords::default() };
        session.write(BufferId::State(set), 0, &state.seed(model.description.settings.seed_of_order()).words())?;
        for e in &model.engine.arena.entries {
            session.write(e.buffer(), e.offset, words.stored(e))?;
            if let Some(first) = half_copy_of(&model.engine.arena, e.buffer()) {
                session.write(BufferId::HalfCopy, (first + e.offset) / 2, &pack_f16(words.stored(e)))?;
            }
        }
        for e in &model.engine.arena.buffers {
            session.write(BufferId::Buffers, e.offset, words.buffer(e))?;
        }
        let mut ids = Vec::new();
        for f in &program.fields {
            let at = fields.iter().position(|own| own.name == f.name).unwrap_or(0);
            ids.push(session.add_data(&rows.words(at)?)?);
        }
        let mut named: HashMap<Value, String> = HashMap::new();
        for (what, list) in [("gradient of ", &step.gradients), ("metric ", &step.metrics), ("output ", &step.outputs)] {
            named.extend(list.iter().map(|(n, v)| (*v, format!("{what}{n}"))));
        }
        named.extend(step.updates.iter().map(|(n, v)| (*v, format!("new value of {n}"))));
        named.extend(step.loss.map(|v| (v, "loss".to_string())));
        Ok(Workbench { program, graph: step.graph, named, exact, tolerance, session, data: ids, set })
    }

    /// Runs these units on the device from the values of the reference. Gives the largest difference, in tolerances, of what they leave.
    pub fn run(&mut self, units: Range<usize>) -> Result<Option<Difference>> {
        let tolerance = std::mem::take(&mut self.tolerance);
        let found = self.compare(units, &tolerance);
        self.tolerance = tolerance;
        found
    }

    /// As [`Workbench::run`] for one unit alone, with tolerances for its own roundings only.
    pub fn run_alone(&mut self, unit: usize) -> Result<Option<Difference>> {
        let mut nodes = self.program.units[unit].nodes.clone();
        // a copy has no node of its own, and may not change a bit
        nodes.retain(|n| self.exact[*n].is_some());
        let tolerance = rounding::tolerances(&self.graph, &self.exact, &nodes)?;
        self.compare(unit..unit + 1, &tolerance)
    }

    fn compare(&mut self, units: Range<usize>, tolerance: &HashMap<NodeId, Vec<Vec<f64>>>) -> Result<Option<Difference>> {
        let part = self.program.sub_program(units)?;
        if part.program.launches.is_empty() {
            return Ok(None);
        }
        let mut fed = Vec::new();
        for v in &part.feeds {
            let mut words = self.words(*v)?;
            if self.is_half(*v) {
                words = pack_f16(&words);
            }
            // kernels read four at a time
            words.resize(words.len().next_multiple_of(64), 0);
            fed.push(self.session.add_data(&words)?);
        }
        let ids: Vec<DataId> = self.data.iter().chain(&fed).copied().collect();
        let ran = self.run_program(&Arc::new(part.program), &ids);
        let mut worst: Option<Difference> = None;
        if ran.is_ok() {
            for m in &part.results {
                let size = self.graph.shape(m.value).size();
                let found = if self.is_half(m.value) {
                    unpack_f16(&self.session.read(m.buffer, m.offset / 2, size.div_ceil(2))?, size)
                } else {
                    self.session.read(m.buffer, m.offset, size)?
                };
                let none = vec![0.0; size];
                let tol = tolerance.get(&m.value.node).and_then(|t| t.get(m.value.output)).unwrap_or(&none);
                let d = self.difference(m.value, &found, tol);
                if d.as_ref().is_some_and(|d| worst.as_ref().is_none_or(|w| d.ratio > w.ratio)) {
                    worst = d;
                }
            }
        }
        fed.into_iter().for_each(|id| self.session.drop_data(id));
        ran.map(|()| worst)
    }

    fn run_program(&mut self, program: &Arc<Program>, ids: &[DataId]) -> Result<()> {
        let handle = self.session.prepare(program, ids)?;
        self.session.queue(handle, 1, 0)?;
        self.session.next_log(self.set).map(drop)
    }

    fn known(&self, v: Value) -> Option<&Data<f64>> {
        self.exact.get(v.node)?.as_ref()?.get(v.output)
    }

    fn is_half(&self, v: Value) -> bool {
        self.graph.ty(v).dtype == DType::F16
    }

    /// The reference's value in f32.
    fn words(&self, v: Value) -> Result<Vec<u32>> {
        match self.known(v) {
            Some(Data::Real(x)) => Ok(x.iter().map(|x| (*x as f32).to_bits()).collect()),
            Some(Data::Integer(x)) => Ok(x.clone()),
            None => Err(Error::NotFound { what: "value".into(), name: format!("%{}", v.node), at: "the reference".into(), known: vec![] }),
        }
    }

    /// The element that is furthest off, by its tolerance.
    fn difference(&self, v: Value, words: &[u32], tolerance: &[f64]) -> Option<Difference> {
        let known = self.known(v)?;
        let integers = known.as_integer().is_some();
        let found = words.iter().map(|w| if integers { f64::from(*w) } else { f64::from(f32::from_bits(*w)) });
        let mut worst: Option<Difference> = None;
        for (element, ((found, expected), tol)) in found.zip(known.to_f64()).zip(tolerance).enumerate() {
            let same = found == expected || (found.is_nan() && expected.is_nan());
            // an exact value is still rounded to f32
            let tolerance = tol + expected.abs() * f64::from(f32::EPSILON) + f64::from(f32::MIN_POSITIVE);
            let ratio = if same { 0.0 } else { (found - expected).abs() / tolerance };
            let ratio = if ratio.is_nan() { f64::INFINITY } else { ratio };
            if worst.as_ref().is_none_or(|w| ratio > w.ratio) {
                worst = Some(Difference { value: String::new(), element, found, expected, tolerance, ratio });
            }
        }
        worst.map(|w| Difference { value: self.name(v), ..w })
    }

    /// How messages call a value.
    pub fn name(&self, v: Value) -> String {
        let own = if v.output == 0 { String::new() } else { format!(".{}", v.output) };
        self.named.get(&v).cloned().unwrap_or_else(|| format!("%{}{own} {}", v.node, self.node(v.node)))
    }

    /// How messages call a node: `matmul in fc1`.
    pub fn node(&self, id: NodeId) -> String {
        self.graph.nodes[id].shown()
    }
}

/// The values of the leaves of a graph: fields, parameters, buffers, random numbers.
pub(crate) struct Leaves<'a, T> {
    pub fields: &'a HashMap<String, Data<T>>,
    pub arena: &'a Arena,
    pub words: &'a ParameterWords,
    /// The seed and the batch by which random numbers are drawn.
    pub seed: u64,
    pub batch: u32,
    /// The loss scale.
    pub scale: f32,
}

impl<T: Real> Leaves<'_, T> {
    pub fn of(&self, op: &Op) -> Option<Data<T>> {
        let reals = |words: &[u32]| Data::Real(words.iter().map(|w| T::from_f64(f32::from_bits(*w).into())).collect());
        match op.leaf()? {
            Leaf::Batch(batch) => self.fields.get(&batch.field.name).cloned(),
            Leaf::Parameter(parameter) => Some(reals(self.words.stored(self.arena.find(&parameter.name)?))),
            Leaf::Buffer(buffer) => Some(reals(self.words.buffer(self.arena.find_buffer(&buffer.name)?))),
            Leaf::State(StateField::LossScale) => Some(Data::Real(vec![T::from_f64(self.scale.into())])),
            Leaf::Random(draws) => Some(draw(draws, self.seed, self.batch)),
        }
    }
}

/// Fails unless the simplified graph has the values of the graph that was written down.
fn simplified_well(written: &Step, step: &Step, exact: &[Option<Vec<Data<f64>>>], truth: &[Data<f64>]) -> Result<()> {
    for ((v, w), truth) in step.roots().iter().zip(written.roots()).zip(truth) {
        let found = exact[v.node].as_ref().and_then(|o| o.get(v.output)).map(Data::to_f64).unwrap_or_default();
        let scale = truth.to_f64().iter().fold(f64::MIN_POSITIVE, |m, t| m.max(t.abs()));
        let off = |(a, b): (&f64, f64)| (a - b).abs() > 1e-6 * scale;
        if found.iter().zip(truth.to_f64()).any(off) {
            let node = &written.graph.nodes[w.node];
            return Err(Error::DeviceFault {
                what: format!("simplifying {} in {}", node.op.name(), crate::error::layer(&node.layer)),
                problem: "the simplified graph gives other values in the reference".into(),
                device: "no device: the graph".into(),
            });
        }
    }
    Ok(())
}
