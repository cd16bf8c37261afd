use crate::data::{Dataset, Limit};
use crate::device::Device;
use crate::error::{Faults, Result};
use crate::graph::Field;
use crate::kernels::Kernel;
use crate::model::accumulation::Accumulation;
use crate::model::build::{Built, build, build_with, input_fields};
use crate::model::compile::Compile;
use crate::model::describe::{Describe, Supervised};
use crate::model::feed::{Place, Resident};
use crate::model::inputs::{check_batch_size, in_call};
use crate::model::loss_scale::Scaler;
use crate::model::pace::Pace;
use crate::model::probe::Probed;
use crate::model::recover::Recovery;
use crate::model::shared::Model;
use crate::model::shared::made;
use crate::model::signature::{Measure, Signature};
use crate::model::values::ParameterWords;
use crate::nn::{LayerRow, Module, ParameterSpec, Penalized};
use crate::optim::Group;
use crate::plan::{
    Arena, ArenaEntry, DataId, Handle, Lane, Layout, Part, Program, Purpose, Request, Rule, Session, Traffic, human_count, plan,
};
use crate::tensor::{DType, Shape};
use std::collections::HashMap;
use std::fmt::Write;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Programs that stay ready at a time, of all data sets.
const MOST_READY: usize = 64;

/// Whether files hold something else under this name, or below it.
fn is_taken_in_files(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    ["optimizer", "gradus", "__metadata__"].contains(&first)
}

/// `net.compile(settings)`, for every [`Module`].
pub trait ModuleExt: Module + Sized {
    /// Makes a model: checks it, draws its initial weights, and puts them on the device.
    #[track_caller]
    fn compile(self, settings: Compile) -> Result<Model> {
        made(Core::new(Arc::new(Supervised(Arc::new(self), Some(Location::caller()))), settings))
    }
}
impl<M: Module> ModuleExt for M {}

/// What a [`Model`] has behind its lock: parameters, optimizer state, and the programs made so far.
pub(crate) struct Core {
    /// Of this process' models, this one.
    pub(crate) number: u64,
    pub(crate) module: Arc<dyn Describe>,
    pub(crate) settings: Compile,
    pub(crate) device: Device,
    pub(crate) arena: Arena,
    pub(crate) signature: Signature,
    pub(crate) rule: Rule,
    pub(crate) session: Box<dyn Session>,
    /// Updates applied, batches begun, epochs ended, since the weights were drawn.
    pub(crate) updates: u64,
    pub(crate) batches: u64,
    pub(crate) epochs: u64,
    /// Batches of evaluation and inference begun.
    pub(crate) looked: u32,
    /// A training step has run: the gradient arena holds something.
    pub(crate) has_gradients: bool,
    /// The loss scale, if there is one.
    pub(crate) scaler: Option<Scaler>,
    pub(crate) recovery: Recovery,
    /// The average of the weights stands in their place.
    pub(crate) swapped: bool,
    layers: Vec<LayerRow>,
    programs: HashMap<String, Arc<Program>>,
    /// Steps that an evaluation's submit carries, from one evaluation to the next.
    pub(crate) look_pace: Pace,
    /// Programs made ready, by their key and their data's, and when each was used last.
    pub(crate) handles: HashMap<(String, usize), (Handle, u64)>,
    uses: u64,
    /// The latest used last.
    pub(crate) resident: Vec<Resident>,
    pub(crate) next_resident: usize,
    /// Counts the loops that have set the state of training: who finds another's sets its own again.
    pub(crate) turn: u64,
    /// Most words of a field that the device takes in one buffer.
    pub(crate) data_limit: usize,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({} parameters on {})", self.arena.count(), self.device)
    }
}

impl Model {
    /// Plans training on this data now, which is otherwise done on first use: memory errors and [`Program::explain`] come from here. All
    /// memory that training will need is taken now; when it is not there nothing changes, and a smaller batch can be tried.
    pub fn prepare(&self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.lock().prepare(data, batch_size)
    }

    /// As [`Model::prepare`], for `evaluate` on this data.
    pub fn prepare_evaluation(&self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.lock().prepare_evaluation(data, batch_size)
    }

    /// The training step on this data as Graphviz DOT.
    pub fn to_dot(&self, data: &Dataset, batch_size: usize) -> Result<String> {
        self.lock().to_dot(data, batch_size)
    }

    /// Bytes of all its buffers on the device, data sets included.
    pub fn device_bytes(&self) -> u64 {
        self.lock().device_bytes()
    }

    /// What went between host and device since it was opened.
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic()
    }

    /// How many parameters it has, the frozen ones too.
    pub fn parameter_count(&self) -> usize {
        self.lock().parameter_count()
    }

    /// How many of them training leaves as they are.
    pub fn frozen_count(&self) -> usize {
        self.lock().frozen_count()
    }

    /// Programs and distinct pipelines made so far.
    pub fn program_counts(&self) -> (usize, usize) {
        self.lock().program_counts()
    }

    /// The layers with their output shapes and parameters, and whether these are trained (`yes`, `no`, `part`), the input first.
    pub fn summary(&self) -> String {
        self.lock().summary()
    }
}

impl Core {
    pub(crate) fn new(module: Arc<dyn Describe>, settings: Compile) -> Result<Self> {
        settings.check(module.refuses(&settings))?;
        let device = match &settings.device {
            Some(d) => d.reopened()?, // the handle may be older than a loss
            None => Device::best()?,
        };
        settings.check_precision(&device)?;
        let Built { layers, signature, .. } = build(&*module, &settings, Purpose::Predict, 2, &input_fields(&settings))?;
        let mut faults = Faults::default();
        let names = signature.parameters.iter().map(|p| p.name.as_str()).chain(signature.buffers.iter().map(|b| b.name.as_str()));
        Group::check(settings.optimizer.groups(), &names.clone().collect::<Vec<_>>(), &mut faults);
        let trained: Vec<&str> = signature.parameters.iter().map(|p| p.name.as_str()).collect();
        Penalized::check_names(&settings.penalties, &trained, &mut faults);
        let rows = layers.iter().map(|l| l.name.as_str());
        settings.precision.check(names.clone().chain(rows), &mut faults);
        for name in names.filter(|n| is_taken_in_files(n)) {
            let help = "give it another name: files hold the optimizer's state and the run under `optimizer` and `gradus`";
            faults.check(false, name, "no file could give this parameter back: the name is taken in files", help);
        }
        faults.finish()?;
        let frozen = |p: &ParameterSpec| settings.optimizer.freezes(&p.name);
        let arena = Arena::with_frozen(signature.parameters.iter().map(|p| (p.name.clone(), p.shape.clone(), frozen(p))))
            .with_buffers(signature.buffers.iter().map(|b| (b.name.clone(), b.shape.clone())));
        let arena = if settings.precision.is_mixed() { arena.with_working() } else { arena };
        let rule = settings.rule();
        let names = || arena.largest(5);
        let session = device.session(Layout::under(&arena, &rule)).map_err(|e| e.with_biggest(names))?;
        let recovery = Recovery::new(device.kind() != "cpu");
        let data_limit = session.data_limit();
        let scaler = settings.scaling().map(Scaler::new);
        static MADE: AtomicU64 = AtomicU64::new(0);
        let mut model = Core {
            number: MADE.fetch_add(1, Ordering::Relaxed),
            module,
            settings,
            device,
            arena,
            signature,
            rule,
            session,
            updates: 0,
            batches: 0,
            epochs: 0,
            looked: 0,
            has_gradients: false,
            scaler,
            recovery,
            swapped: false,
            layers,
            programs: HashMap::new(),
            look_pace: Pace::default(),
            handles: HashMap::new(),
            uses: 0,
            resident: Vec::new(),
            next_resident: 0,
            turn: 0,
            data_limit,
        };
        let seed = model.settings.seed;
        let mut drawn = ParameterWords::zeros(&model.arena);
        for (p, e) in model.signature.parameters.iter().zip(&model.arena.entries) {
            drawn.set(e, p.init.draw(seed, &p.name, &p.shape));
        }
        for (b, e) in model.signature.buffers.iter().zip(&model.arena.buffers) {
            drawn.set_buffer(e, b.values.as_ref().map_or_else(|| b.init.draw(seed, &b.name, &b.shape), |v| v.to_vec()));
        }
        model.write_rate_table()?;
        model.write_parameters(&drawn)?;
        model.begin_moments()?;
        Ok(model)
    }

    /// Forgets what lay on the device.
    pub(crate) fn forget_device(&mut self) {
        self.handles.clear();
        self.resident.clear();
        // the device that comes back may have no cooperative matrices
        self.programs.retain(|_, p| p.launches.iter().all(|l| !matches!(l.kernel, Kernel::GemmCoop(_))));
    }

    pub(crate) fn prepare(&mut self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.prepared(data, Purpose::Train, batch_size).map_err(in_call("prepare"))
    }

    pub(crate) fn prepare_evaluation(&mut self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.prepared(data, Purpose::Evaluate, batch_size).map_err(in_call("prepare_evaluation"))
    }

    /// The program of full batches; that of the ragged one is made ready too.
    pub(crate) fn prepared(&mut self, data: &Dataset, purpose: Purpose, batch_size: usize) -> Result<Arc<Program>> {
        check_batch_size(batch_size)?;
        let (n, batch) = (data.len(), batch_size.min(data.len()));
        for rows in [batch, n % batch].into_iter().filter(|r| *r > 0) {
            self.healed(|m| m.handle(data, purpose, rows))?;
        }
        self.program(data, purpose, batch)
    }

    pub(crate) fn to_dot(&self, data: &Dataset, batch_size: usize) -> Result<String> {
        let built = build(&*self.module, &self.settings, Purpose::Train, batch_size, &self.fields_of(data, Purpose::Train))?;
        Ok(built.step.simplified()?.graph.to_dot())
    }

    pub(crate) fn device_bytes(&self) -> u64 {
        self.session.bytes()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.session.traffic()
    }

    pub(crate) fn parameter_count(&self) -> usize {
        self.arena.count()
    }

    pub(crate) fn frozen_count(&self) -> usize {
        self.arena.frozen_count()
    }

    pub(crate) fn program_counts(&self) -> (usize, usize) {
        let mut pipelines: Vec<String> = self.programs.values().flat_map(|p| p.pipelines()).collect();
        pipelines.sort();
        pipelines.dedup();
        (self.programs.len(), pipelines.len())
    }

    pub(crate) fn summary(&self) -> String {
        let batch = |s: &Shape| {
            let rest: Vec<String> = s.dims().iter().skip(1).map(|d| d.to_string()).collect();
            format!("[batch, {}]", rest.join(", "))
        };
        let mut out = format!("{:<24} {:<14} {:<22} {:>12}  trained\n", "layer", "kind", "output", "parameters");
        let line = |out: &mut String, name: &str, kind: &str, shape: String, n: usize| {
            let trained = if n == 0 { "" } else { self.trained(name) };
            let text = format!("{name:<24} {kind:<14} {shape:<22} {:>12}  {trained}", human_count(n as u64));
            let _ = writeln!(out, "{}", text.trim_end());
        };
        for (name, row, _) in self.settings.all_inputs() {
            line(&mut out, if name == "x" { "input" } else { name }, "", batch(&row.batched(1)), 0);
        }
        for l in &self.layers {
            line(&mut out, &l.name, l.kind, batch(&l.output), l.parameters);
        }
        if self.layers.is_empty() {
            let output = self.signature.outputs.first().map_or(Shape::default(), |(_, s)| s.clone());
            line(&mut out, "output", self.module.name(), batch(&output.batched(1)), self.arena.count());
        }
        let count = |n: usize| human_count(n as u64);
        let _ = write!(out, "{} parameters", count(self.arena.count()));
        if self.arena.frozen > 0 {
            let _ = write!(out, " ({} trainable, {} frozen)", count(self.arena.trainable_count()), count(self.arena.frozen_count()));
        }
        if !self.arena.buffers.is_empty() {
            let _ = write!(out, ", {} values that are not trained", count(self.arena.buffer_count()));
        }
        let _ = write!(out, ", {} KiB", self.arena.count() * 4 / 1024);
        out
    }

    /// Whether the parameters of this layer, and of those within it, are trained: `yes`, `no` or `part`.
    fn trained(&self, layer: &str) -> &'static str {
        let within = |e: &&ArenaEntry| self.layers.is_empty() || e.name.strip_prefix(layer).is_some_and(|n| n.starts_with('.'));
        let frozen: Vec<bool> = self.arena.entries.iter().filter(within).map(|e| e.frozen).collect();
        match (frozen.contains(&false), frozen.contains(&true)) {
            (true, false) => "yes",
            (false, true) => "no",
            (true, true) => "part",
            (false, false) => "",
        }
    }

    /// The program for a purpose over data of this layout; planned on first use.
    pub(crate) fn program(&mut self, data: &Dataset, purpose: Purpose, batch: usize) -> Result<Arc<Program>> {
        self.program_part(data, purpose, Part::Whole, batch)
    }

    /// As [`Model::program`], for this part of an update.
    pub(crate) fn program_part(&mut self, data: &Dataset, purpose: Purpose, part: Part, batch: usize) -> Result<Arc<Program>> {
        data.check()?;
        let fields = self.fields_of(data, purpose);
        let key = program_key(&fields, purpose, part, batch);
        if let Some(p) = self.programs.get(&key) {
            return Ok(p.clone());
        }
        self.check_data(data, purpose)?;
        let built = build(&*self.module, &self.settings, purpose, batch, &fields)?;
        let program = self.planned(built, purpose, part, batch)?;
        if self.programs.len() >= 2 * MOST_READY {
            let handles = &self.handles;
            self.programs.retain(|key, _| handles.keys().any(|(k, _)| k == key));
        }
        self.programs.insert(key, program.clone());
        Ok(program)
    }

    fn planned(&mut self, built: Built, purpose: Purpose, part: Part, batch: usize) -> Result<Arc<Program>> {
        self.signature.check_same(built.signature, || format!("built for {purpose:?} with a batch of {batch}"))?;
        let request = Request {
            step: &built.step,
            purpose,
            part,
            batch,
            arena: &self.arena,
            rule: &self.rule,
            target: self.device.target(),
            coop: self.device.coop_for(&built.step),
        };
        let program = Arc::new(plan(&request)?);
        tracing::debug!(?purpose, batch, launches = program.launches.len(), "planned a step");
        Ok(program)
    }

    /// A training program that looks at the layers too, made ready over a data set that the usual one is ready for.
    pub(crate) fn probe_handle(&mut self, data: &Dataset, part: Part, batch: usize) -> Result<(Handle, Vec<Probed>)> {
        let fields = self.fields_of(data, Purpose::Train);
        let built = build_with(&*self.module, &self.settings, Purpose::Train, batch, &fields, true)?;
        let probed = built.probed.clone();
        let program = self.planned(built, Purpose::Train, part, batch)?;
        let resident = self.make_resident(self.place(data, Lane::Train), data, batch)?;
        let handle = self.ready(data, &program, resident)?;
        let key = (format!("probe {}", program_key(&fields, Purpose::Train, part, batch)), self.resident[resident].key);
        // the last run's goes; one of a loop around this one stays
        if self.resident[resident].free()
            && let Some((old, _)) = self.handles.remove(&key)
        {
            self.session.drop_program(old);
        }
        self.keep(key, handle);
        Ok((handle, probed))
    }

    /// The program made ready over this very data set, whole on the device or in blocks.
    pub(crate) fn handle(&mut self, data: &Dataset, purpose: Purpose, batch: usize) -> Result<Handle> {
        self.handle_in(data, purpose, Part::Whole, batch, self.place(data, purpose.lane()))
    }

    /// The training program for this part of an update, made ready.
    pub(crate) fn handle_part(&mut self, data: &Dataset, (part, batch): (Part, usize)) -> Result<Handle> {
        self.handle_in(data, Purpose::Train, part, batch, self.place(data, Purpose::Train.lane()))
    }

    /// The programs of a loop over this data, made ready.
    pub(crate) fn loop_handles(&mut self, data: &Dataset, windows: &Accumulation) -> Result<Vec<((Part, usize), Handle)>> {
        let mut programs = windows.programs();
        // the largest first: room for its rows is room for all
        programs.sort_by_key(|p| std::cmp::Reverse(p.1));
        programs.into_iter().map(|p| self.handle_part(data, p).map(|h| (p, h))).collect()
    }

    /// As [`Model::handle`], with the rows in this place.
    pub(crate) fn handle_in(&mut self, data: &Dataset, purpose: Purpose, part: Part, batch: usize, place: Place) -> Result<Handle> {
        let program = self.program_part(data, purpose, part, batch)?;
        let resident = self.make_resident(place, data, batch)?;
        let key = (program_key(&self.fields_of(data, purpose), purpose, part, batch), self.resident[resident].key);
        self.uses += 1;
        if let Some((h, used)) = self.handles.get_mut(&key) {
            *used = self.uses;
            return Ok(*h);
        }
        if place == Place::Whole {
            self.check_limits(data, &program)?;
        }
        let handle = self.ready(data, &program, resident)?;
        self.keep(key, handle);
        Ok(handle)
    }

    /// Remembers a program made ready, in the place of those not used for longest: each batch size has some, and a life may see thousands. Those of
    /// data that a loop runs over stay: the loop holds their handles.
    fn keep(&mut self, key: (String, usize), handle: Handle) {
        while self.handles.len() >= MOST_READY {
            let free = |key: usize| self.resident.iter().find(|r| r.key == key).is_none_or(Resident::free);
            let idle = self.handles.iter().filter(|((_, data), _)| free(*data));
            let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else { break };
            if let Some((old, _)) = self.handles.remove(&oldest) {
                self.session.drop_program(old);
            }
            if !self.handles.keys().any(|(program, _)| *program == oldest.0) {
                self.programs.remove(&oldest.0);
            }
        }
        self.uses += 1;
        self.handles.insert(key, (handle, self.uses));
    }

    fn ready(&mut self, data: &Dataset, program: &Arc<Program>, resident: usize) -> Result<Handle> {
        let names: Vec<String> = data.fields().into_iter().map(|f| f.name).collect();
        let all = &self.resident[resident].ids;
        let ids: Vec<DataId> =
            program.fields.iter().filter_map(|f| names.iter().position(|n| *n == f.name).and_then(|i| all.get(i)).copied()).collect();
        self.session.prepare(program, &ids).map_err(|e| e.with_biggest(|| program.biggest()))
    }

    /// What the program needs the integers of the data to be below: class labels, indices.
    pub(crate) fn limits(&self, data: &Dataset, program: &Program) -> Vec<Limit> {
        let names: Vec<String> = data.fields().into_iter().map(|f| f.name).collect();
        let integers = |name: &str| names.iter().position(|n| n == name).filter(|&i| data.holds_integers(i));
        let labels =
            program.label_limits.iter().filter_map(|l| integers(&l.field).map(|field| Limit { field, below: l.classes, table: None }));
        let indices = program
            .index_limits
            .iter()
            .filter_map(|l| integers(&l.field).map(|field| Limit { field, below: l.rows, table: Some(l.at.clone()) }));
        // beside sample weights a row of weight 0 may have any label
        let reads = program.fields.iter().any(|f| f.name == "y" && f.stored == DType::F32) && !names.iter().any(|n| n == "weight");
        let checked = reads && self.settings.loss.as_ref().is_some_and(|l| l.takes_parts());
        let y = names.iter().position(|n| checked && n == "y");
        let parts = y.map(|field| Limit { field, below: 0, table: None });
        labels.chain(indices).chain(parts).collect()
    }

    /// Fails if an integer of the data is out of its range.
    pub(crate) fn check_limits(&self, data: &Dataset, program: &Program) -> Result<()> {
        self.limits(data, program).iter().try_for_each(|l| data.check_limit(l))
    }

    /// The metrics, once a program for training or evaluation was planned.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        self.signature.metrics.clone().unwrap_or_default()
    }
}

fn program_key(fields: &[Field], purpose: Purpose, part: Part, batch: usize) -> String {
    format!("{purpose:?} {part:?} {batch} {fields:?}")
}

#[cfg(test)]
mod tests;
