//! Runs rows on machines and compares; every comparison is a `Result`, so that a planted error can be asserted.

use crate::common::{self, MACHINES, Machine};
use crate::counts;
use crate::make::{Built, Case, Truth, no_rule};
use crate::planted::Planted;
use crate::tolerance::Known;
use gradus::kernels::Kernel;
use gradus::kernels::Target;
use gradus::kernels::words::StateWords;
use gradus::plan::{Blocking, BufferId, LogLine, Part, Program, Purpose, Rule, Session};
use gradus::tensor::DType;
use std::rc::Rc;
use std::sync::Arc;

/// Both profiles' kernels run on every adapter; those of [`Target::Lanes8`] where it has such lanes.
pub const TARGETS: [Target; 2] = [Target::Software, Target::Gpu];

/// Named results of a run, in the truth's order.
pub type Found = Vec<(String, Vec<f64>)>;

/// Where a row runs: a machine, the kind of its kernels, and the error that is planted in them.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub machine: Machine,
    pub target: Target,
    pub planted: Option<&'a Planted>,
}

impl std::fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?} kernels", self.machine, self.target)
    }
}

impl Site<'_> {
    /// The planned step, with an error in its kernels where one is planted.
    pub fn program(&self, built: &Built, rule: &Rule) -> Result<Arc<Program>, Fail> {
        self.part(built, rule, Part::Whole)
    }

    /// As [`Site::program`], for this part of an update.
    pub fn part(&self, built: &Built, rule: &Rule, part: Part) -> Result<Arc<Program>, Fail> {
        self.planted(built.part(self.target, rule, part))
    }

    /// As [`Site::program`], for the update alone.
    pub fn update(&self, built: &Built, rule: &Rule) -> Result<Arc<Program>, Fail> {
        self.planted(built.update(self.target, rule))
    }

    fn planted(&self, planned: Result<Program, String>) -> Result<Arc<Program>, Fail> {
        let mut program = planned.map_err(Fail::Refused)?;
        if let Some(p) = self.planted {
            program.launches.iter_mut().for_each(|l| p.edit(&mut l.kernel));
            follow(&mut program);
        }
        if self.planted.is_none() {
            counts::program(&program);
        }
        Ok(Arc::new(program))
    }

    /// A session for the program; `None` where there is no adapter.
    pub fn session(&self, program: &Program) -> Option<gradus::Result<Box<dyn Session>>> {
        let layout = program.layout();
        match self.planted.and_then(Planted::rewrite) {
            Some(rewrite) => common::gpu::planted(layout, rewrite),
            None if self.planted.is_some() => common::plain(self.machine, layout),
            None => common::session(self.machine, layout),
        }
    }
}

/// Why a run gave nothing to compare.
#[derive(Debug)]
pub enum Fail {
    /// It ran, and what it did is wrong.
    Wrong(String),
    /// The plan or the session refused it.
    Refused(String),
}

impl std::fmt::Display for Fail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Fail::Wrong(e) | Fail::Refused(e)) = self;
        f.write_str(e)
    }
}

impl From<gradus::Error> for Fail {
    fn from(e: gradus::Error) -> Self {
        Fail::Refused(e.to_string())
    }
}

type Run = dyn Fn(&Site<'_>) -> Option<Result<Found, Fail>>;

/// A row made ready: what must come out, and how it runs somewhere; `None` where there is no adapter.
pub struct Ready {
    pub truth: Truth,
    pub run: Box<Run>,
    pub facts: counts::Facts,
}

type Sites = Rc<dyn Fn(Machine, Target) -> bool>;

/// Where a row runs: on the CPU, and on a GPU once by each kind of kernels. Compiling is nearly all that a row costs: those for GPUs or those for software have
/// the shaders' checks, the others run as users have them. Which, a row's name decides, so that every table has some of each.
pub fn sites(name: &str, lanes: bool) -> Sites {
    let sum: usize = name.bytes().map(usize::from).sum();
    let checks = sum / 2 % 2 == 1;
    Rc::new(move |machine, target| match (machine, target) {
        (_, Target::Lanes8) if !lanes => false,
        (Machine::Cpu, _) => true,
        (Machine::Gpu { checked }, Target::Gpu) => checked == checks,
        (Machine::Gpu { checked }, Target::Lanes8) => checked == (sum / 4 % 2 == 1),
        (Machine::Gpu { checked }, Target::Software) => checked != checks,
    })
}

/// A row of a table.
#[derive(Clone)]
pub struct Row {
    pub name: String,
    /// Which machines run it.
    pub sites: Sites,
    pub make: Rc<dyn Fn() -> Result<Ready, String>>,
}

impl Row {
    pub fn new(name: impl Into<String>, make: impl Fn() -> Result<Ready, String> + 'static) -> Self {
        let name = name.into();
        // the lanes share nothing but in products
        Row { sites: sites(&name, false), name, make: Rc::new(make) }
    }

    pub fn ready(&self) -> Result<Ready, String> {
        (self.make)()
    }
}

impl From<Case> for Row {
    fn from(case: Case) -> Self {
        Row::new(case.name.clone(), move || {
            let built = case.build()?;
            let truth = built.truth()?;
            telling(&truth)?;
            let facts = counts::facts(&built);
            Ok(Ready { truth, run: Box::new(move |site| on(site, &built)), facts })
        })
    }
}

/// What a gather looks up follows its numbers.
fn follow(program: &mut Program) {
    let mut tables = program.tables.to_vec();
    for l in &program.launches {
        if let Kernel::Gather(g) = &l.kernel {
            let table = g.table();
            if let Some(old) = tables.get_mut(g.tables..g.tables + table.len()) {
                old.copy_from_slice(&table);
            }
        }
    }
    program.tables = tables.into();
}

/// The state's words at the start of a case.
pub fn state(built: &Built) -> StateWords {
    let o = &built.order;
    let state = StateWords {
        cursor: o.cursor as u32,
        epoch: o.epoch,
        rows: o.rows as u32,
        loss_scale: built.scale.unwrap_or(0.0).to_bits(),
        shuffle: o.shuffle.into(),
        ..StateWords::default()
    };
    state.seed(o.seed)
}

/// Parameters, data and state on the device; the program ready.
pub fn load(s: &mut dyn Session, built: &Built, program: &Arc<Program>) -> gradus::Result<gradus::plan::Handle> {
    for (leaf, entry) in built.leaves.iter().zip(&built.arena.entries) {
        let words: Vec<u32> = leaf.values.iter().map(|v| v.to_bits()).collect();
        s.write(BufferId::Parameters, entry.offset, &words)?;
        if built.arena.half_copies > 0 {
            s.write(BufferId::HalfCopy, built.arena.half_copy_offset(entry) / 2, &halves(&leaf.values))?;
        }
    }
    for (leaf, entry) in built.buffers.iter().zip(&built.arena.buffers) {
        let words: Vec<u32> = leaf.values.iter().map(|v| v.to_bits()).collect();
        s.write(BufferId::Buffers, entry.offset, &words)?;
    }
    let mut ids = Vec::new();
    for field in &program.fields {
        if let Some(stored) = built.fields.iter().find(|f| f.field.name == field.name) {
            ids.push(s.add_data(&stored.words())?);
        }
    }
    // behind the fields
    ids.extend(built.order.list().map(|list| s.add_data(&list)).transpose()?);
    s.write(BufferId::State(program.purpose.state_set()), 0, &state(built).words())?;
    s.prepare(program, &ids)
}

/// One step, or two alike where the data is one batch in order: then slots are no longer fresh, and the bits must be the same.
fn run(s: &mut dyn Session, built: &Built, program: &Arc<Program>) -> Result<Found, Fail> {
    let handle = load(s, built, program)?;
    let lane = program.purpose.state_set();
    let steps = if built.order.rows == built.order.batch && !built.order.shuffle { 2 } else { 1 };
    s.queue(handle, steps, 0)?;
    let lines = s.next_log(lane)?.unwrap_or_default();
    let Some(line) = lines.last().filter(|_| lines.len() == steps) else {
        return Err(Fail::Wrong(format!("{} log lines for {steps} steps", lines.len())));
    };
    let bits = |l: &LogLine| (l.loss.to_bits(), l.grad_norm.to_bits(), l.metrics.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), l.halted);
    if built.step.loss.is_some() && bits(&lines[0]) != bits(line) {
        return Err(Fail::Wrong(format!("a second step alike differs: {:?}, then {line:?}", lines[0])));
    }
    let mut found = Found::new();
    if built.step.loss.is_some() {
        found.push(("loss".into(), vec![line.loss.into()]));
        if built.purpose == Purpose::Train {
            found.push(("gradient norm".into(), vec![line.grad_norm.into()]));
        }
    }
    let mut columns = line.metrics.iter().map(|&v| f64::from(v));
    found.extend(program.metrics.iter().map(|m| (format!("metric {}", m.name), columns.by_ref().take(m.columns).collect())));
    for (name, _) in &built.step.gradients {
        let e = built.arena.find(name).unwrap_or_else(|| panic!("{name} is in the arena"));
        found.push((format!("gradient of {name}"), floats(s.read(BufferId::Gradients, e.offset, e.shape.size())?)));
    }
    for o in &program.outputs {
        let words = s.read(o.buffer, o.offset, o.shape.size())?;
        let values = if o.dtype == DType::U32 { words.into_iter().map(f64::from).collect() } else { floats(words) };
        found.push((format!("output {}", o.name), values));
    }
    Ok(found)
}

/// Rounded to f16, two to a word.
pub fn halves(values: &[f32]) -> Vec<u32> {
    let half = |v: &f32| u32::from(half::f16::from_f32(*v).to_bits());
    values.chunks(2).map(|two| half(&two[0]) | two.get(1).map_or(0, half) << 16).collect()
}

pub fn floats(words: Vec<u32>) -> Vec<f64> {
    words.into_iter().map(|w| f32::from_bits(w).into()).collect()
}

/// Whether every value is where it should be; the error names the worst.
pub fn compare(want: &Truth, got: &Found, who: &str) -> Result<(), String> {
    let names = |n: Vec<&String>| n.into_iter().cloned().collect::<Vec<_>>().join(", ");
    if want.iter().map(|w| &w.0).ne(got.iter().map(|g| &g.0)) {
        return Err(format!("{who}: {} for {}", names(got.iter().map(|g| &g.0).collect()), names(want.iter().map(|w| &w.0).collect())));
    }
    for ((name, want), (_, got)) in want.iter().zip(got) {
        if want.value.len() != got.len() {
            return Err(format!("{who}: {name}: {} values for {}", got.len(), want.value.len()));
        }
        let off = |i: usize| (got[i] - want.value[i]).abs() / want.tol[i].max(f64::MIN_POSITIVE);
        // in this form a NaN is a mismatch; equal infinities are none
        let good = |i: usize| got[i] == want.value[i] || (got[i] - want.value[i]).abs() <= want.tol[i];
        let bad: Vec<usize> = (0..got.len()).filter(|&i| !good(i)).collect();
        if let Some(&worst) = bad.iter().max_by(|&&a, &&b| off(a).total_cmp(&off(b))) {
            let (first, all) = (bad[0], got.len());
            let at = |i: usize| format!("[{i}] is {} for {} +- {:.1e}", got[i], want.value[i], want.tol[i]);
            return Err(format!("{who}: {name}: {} of {all} differ; first {}, worst {}", bad.len(), at(first), at(worst)));
        }
    }
    Ok(())
}

/// A case must be able to fail: a tolerance above 2 % of a tensor's largest value says nothing. (A loss beside gradients is passed
/// over: as a sum of both signs it may come near 0 by chance.)
pub fn telling(truth: &Truth) -> Result<(), String> {
    let alone = truth.len() == 1;
    for (name, k) in truth.iter().filter(|(n, _)| !n.starts_with("metric") && (alone || n != "loss")) {
        let (value, tol) = (largest(&k.value), largest(&k.tol));
        if !tol.is_finite() || (value != 0.0 && tol > 0.02 * value) {
            return Err(format!("a weak case: {name} is at most {value:.2e} and may be off by {tol:.2e}"));
        }
    }
    Ok(())
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, x| if x.abs() > m || x.is_nan() { x.abs() } else { m })
}

/// What another machine found, in the place of the truth.
fn instead(truth: &Truth, found: &Found) -> Truth {
    truth.iter().zip(found).map(|((n, k), (_, v))| (n.clone(), Known { value: v.clone(), tol: k.tol.clone() })).collect()
}

/// A case's one program on one machine; `None` where there is no adapter.
pub fn on(site: &Site<'_>, built: &Built) -> Option<Result<Found, Fail>> {
    let program = match site.program(built, &no_rule()) {
        Ok(p) => p,
        Err(e) => return Some(Err(e)),
    };
    let session = site.session(&program)?;
    Some(session.map_err(Fail::from).and_then(|mut s| run(&mut *s, built, &program)))
}

/// A row against the truth wherever it runs, and every GPU run against the CPU's by the same kind of kernels.
pub fn parity(row: &Row) -> Result<(), String> {
    let ready = row.ready()?;
    let mut runs = 0;
    let lanes = common::gpu::target() == Some(Target::Lanes8);
    for target in TARGETS.into_iter().chain(lanes.then_some(Target::Lanes8)) {
        let mut first: Option<Found> = None;
        for machine in MACHINES.into_iter().filter(|m| (row.sites)(*m, target)) {
            let site = Site { machine, target, planted: None };
            let Some(found) = (ready.run)(&site) else { continue };
            let found = found.map_err(|e| format!("{site}: {e}"))?;
            compare(&ready.truth, &found, &format!("{site} against the reference"))?;
            match &first {
                Some(cpu) => compare(&instead(&ready.truth, cpu), &found, &format!("{site} against the CPU"))?,
                None => first = Some(found),
            }
            runs += 1;
        }
    }
    counts::row(&ready, runs);
    Ok(())
}
