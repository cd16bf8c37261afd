//! A worker's step by hand: one session leaves its gradients, another applies them, the parameters go back. Against whole steps, to the bit.

use crate::check::{Fail, Found, Ready, Row, Site, load, state};
use crate::counts::Facts;
use crate::make::{Built, Case, Make, Order};
use crate::scaled::SCALE;
use crate::steps::{BATCH, Run, UPDATE, exact};
use gradus::graph::Var;
use gradus::kernels::Scaling;
use gradus::kernels::words::{RATE_ROWS, RATE_WIDTH, STATE_LOSS_SCALE, StateWords};
use gradus::optim::{Adam, AdamW, Group, Lamb, Optimizer, Sgd};
use gradus::plan::{Blocking, BufferId, LogLine, Part, Phase, Program, Rule, StateSet};
use std::sync::Arc;

const STEPS: usize = 5;
/// The fifth step begins the second epoch.
const ROWS: usize = 16;
const ROWS_A_STEP: usize = 4;
/// The learning rate of an update over the optimizer's.
const RATES: [f64; STEPS] = [1.0, 0.5, 2.0, 0.1, 1.5];
/// What stands in the second step's batch, where its loss is to be none.
const BAD: usize = ROWS_A_STEP + 1;

#[derive(Clone)]
struct Entry {
    name: &'static str,
    optimizer: Optimizer,
    rule: fn(Rule) -> Rule,
    /// In mixed precision, with a loss that is scaled.
    scaling: Option<Scaling>,
    /// The second step's loss is no number.
    bad: bool,
    /// The loss is a mean over something else than rows.
    weighed: bool,
}

impl Entry {
    fn rule(&self) -> Rule {
        let rule = (self.rule)(self.optimizer.rule());
        self.scaling.map_or(rule.clone(), |s| rule.scaled(s))
    }

    fn build(&self) -> Result<Built, String> {
        let order = Order { rows: ROWS, shuffle: !self.bad, seed: 77, ..Order::all(ROWS_A_STEP) };
        let case = Case::new(format!("a worker, {}", self.name), net).over(order);
        let case = if self.scaling.is_some() { case.mixed().scaled(SCALE) } else { case };
        let mut built = case.build()?;
        if self.bad {
            built.fields[0].spoil(BAD, f64::NAN);
        }
        if self.weighed {
            built.step.weight = built.step.metrics.first().map(|m| m.1);
        }
        Ok(built)
    }

    /// Steps whose gradients are good: a bad one halts all that follow, or is skipped.
    fn good(&self) -> usize {
        match (self.bad, self.scaling) {
            (false, _) => STEPS,
            (true, Some(_)) => STEPS - 1,
            (true, None) => 1,
        }
    }
}

/// Two layers, a running mean, and a parameter that the loss does not depend on: nothing decays it.
fn net(m: &Make) -> Var {
    let (x, y) = (m.batch([6]), m.classes(3));
    let h = (x.matmul(&m.p([6, 33])) + m.p([33])).tanh();
    m.p([5]);
    let mean = m.buffer([33]);
    m.update(0, &(&mean * 0.9 + h.mean_axes(&[0]) * 0.1));
    m.metric("squares", &x.square().sum());
    h.matmul(&m.p([33, 3])).cross_entropy(&y)
}

fn table() -> Vec<Entry> {
    let entry = |name, optimizer: Optimizer| Entry { name, optimizer, rule: |r| r, scaling: None, bad: false, weighed: false };
    let group = || Group::new().lr_multiplier(0.25).weight_decay(0.05);
    let sgd = || Optimizer::from(Sgd::new(0.1).momentum(0.9).weight_decay(0.1));
    let dynamic = Some(Scaling::Dynamic { growth: 2.0, backoff: 0.5, interval: 2 });
    let adamw = || Optimizer::from(AdamW::new(0.01).weight_decay(0.3).group("p1", group()));
    vec![
        entry("momentum", sgd()),
        entry("adam", Adam::new(0.01).into()),
        entry("lamb", Lamb::new(0.01).into()),
        Entry { rule: |r| r.clip_norm(0.5), ..entry("adam, clipped", Adam::new(0.01).into()) },
        Entry { rule: |r| r.clip_norm(0.5).average(0.9), ..entry("adamw with all", adamw()) },
        Entry { rule: |r| r.clip_norm(0.5).average(0.9), ..entry("lamb with all", Lamb::new(0.01).group("p1", group()).into()) },
        Entry { weighed: true, ..entry("adam, weighed", Adam::new(0.01).into()) },
        Entry { bad: true, ..entry("adam, halted", Adam::new(0.01).into()) },
        Entry { scaling: dynamic, ..entry("momentum, mixed", sgd()) },
        Entry { scaling: dynamic, bad: true, ..entry("adam, mixed, with a skipped step", Adam::new(0.01).into()) },
        Entry { scaling: dynamic, bad: true, rule: |r| r.clip_norm(0.5), ..entry("lamb, mixed, clipped", Lamb::new(0.01).into()) },
        Entry { scaling: Some(Scaling::Fixed), bad: true, ..entry("adamw, mixed, a fixed scale", adamw()) },
    ]
}

/// What must not differ, and between whom.
const ALIKE: [&str; 8] = [
    "lines of the worker",
    "states of the worker",
    "gradients of the worker",
    "running means of the worker",
    "parameters",
    "moments",
    "f16 copies",
    "norms of the server",
];

fn row(entry: Entry) -> Row {
    Row::new(format!("a worker by hand, {}", entry.name), move || {
        let (entry, built) = (entry.clone(), entry.build()?);
        let good = entry.good();
        let server = StateWords { batch: BATCH + good as u32, update: UPDATE + good as u32, ..StateWords::default() };
        let mut truth: Vec<_> = ALIKE.iter().map(|name| exact(name, vec![0.0; STEPS])).collect();
        truth.push(exact("steps that moved parameters", vec![good as f64]));
        truth.push(exact("state of the server", server.words().map(f64::from).to_vec()));
        truth.push(exact("worker's batch, update, skipped", worker_words(&entry).to_vec()));
        let facts = Facts::of("worker", entry.name, "two layers");
        let run = move |site: &Site<'_>| {
            let opened = Hands::open(site, &built, &entry)?;
            Some(opened.and_then(|hands| hands.stepped(&built, &entry).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts })
    })
}

/// The worker's counters at the end: a step that halts moves nothing.
fn worker_words(entry: &Entry) -> [f64; 3] {
    let good = entry.good() as u32;
    let batches = if entry.bad && entry.scaling.is_none() { good } else { STEPS as u32 };
    [BATCH + batches, UPDATE + good, batches - good].map(f64::from)
}

/// The sessions of a row.
struct Hands {
    /// Trains whole.
    whole: Run,
    /// Leaves its gradients. It has no rates.
    worker: Run,
    /// Applies them as they are left.
    server: Run,
    /// Where the loss is scaled: another, to whom the scale is 1.
    unscaled: Option<Run>,
}

/// A program of a session of its own; rates where it has an update.
fn open(site: &Site<'_>, built: &Built, program: &Arc<Program>, state: StateWords, entry: &Entry) -> Option<Result<Run, Fail>> {
    let ready = site.session(program)?.and_then(|mut s| {
        let handle = load(&mut *s, built, program)?;
        s.write(BufferId::State(StateSet::Train), 0, &state.words())?;
        if !program.phase(Phase::Update).is_empty() {
            for (i, rate) in RATES.iter().enumerate() {
                let rates = entry.optimizer.group_rates(i as u64, 0.01 * rate).flat_map(|r| r.map(f32::to_bits));
                let row: Vec<u32> = rates.collect();
                s.write(BufferId::Rates, (UPDATE as usize + i) % RATE_ROWS * row.len(), &row)?;
            }
            let groups = entry.rule().groups;
            s.write(BufferId::Rates, groups * RATE_ROWS * RATE_WIDTH, &entry.optimizer.table(&built.arena))?;
        }
        Ok(Run { session: s, handle, set: StateSet::Train, batch: BATCH, lines: vec![] })
    });
    Some(ready.map_err(Fail::from))
}

impl Hands {
    fn open(site: &Site<'_>, built: &Built, entry: &Entry) -> Option<Result<Hands, Fail>> {
        let rule = entry.rule();
        let programs = [site.part(built, &rule, Part::Whole), site.part(built, &rule, Part::Leave), site.update(built, &rule)];
        let [whole, leave, update] = match programs {
            [Ok(whole), Ok(leave), Ok(update)] => [whole, leave, update],
            [Err(e), ..] | [_, Err(e), _] | [.., Err(e)] => return Some(Err(e)),
        };
        if let Err(e) = same_kernels(&whole, &leave, &update) {
            return Some(Err(Fail::Wrong(e)));
        }
        let at = StateWords { batch: BATCH, update: UPDATE, ..state(built) };
        let server = StateWords { batch: BATCH, update: UPDATE, ..StateWords::default() };
        let one = StateWords { loss_scale: 1f32.to_bits(), ..server };
        let unscaled = match entry.scaling {
            Some(_) => Some(open(site, built, &update, one, entry)?),
            None => None,
        };
        let all =
            (open(site, built, &whole, at, entry)?, open(site, built, &leave, at, entry)?, open(site, built, &update, server, entry)?);
        Some((|| Ok(Hands { whole: all.0?, worker: all.1?, server: all.2?, unscaled: unscaled.transpose()? }))())
    }

    fn stepped(mut self, built: &Built, entry: &Entry) -> gradus::Result<Found> {
        let size = built.arena.size;
        let mut differ = [(); ALIKE.len()].map(|()| vec![]);
        let mut moved = 0.0;
        for _ in 0..STEPS {
            let before = self.whole.session.read(BufferId::Parameters, 0, size)?;
            self.whole.submit(self.whole.handle, 1)?;
            self.worker.submit(self.worker.handle, 1)?;
            let gradients = self.worker.session.read(BufferId::Gradients, 0, size)?;
            let norms = self.exchange(&gradients, built)?;
            let counts = self.differences(&gradients, built, entry)?;
            differ.iter_mut().zip(counts.into_iter().chain([norms])).for_each(|(d, n)| d.push(n));
            moved += f64::from(u8::from(self.whole.session.read(BufferId::Parameters, 0, size)? != before));
        }
        let mut found: Found = ALIKE.iter().zip(differ).map(|(name, d)| (name.to_string(), d)).collect();
        found.push(("steps that moved parameters".into(), vec![moved]));
        let mut server = self.server.state()?;
        // it is what the host has written
        server[STATE_LOSS_SCALE] = 0;
        found.push(("state of the server".into(), server.into_iter().map(f64::from).collect()));
        let worker = StateWords::from_words(&self.worker.state()?);
        let words = [worker.batch, worker.update, worker.skipped].map(f64::from);
        found.push(("worker's batch, update, skipped".into(), words.to_vec()));
        Ok(found)
    }

    /// The servers take the gradients, unless the worker's line says that they are for nobody, and the worker gets the first one's parameters.
    /// Gives how many norms differ.
    fn exchange(&mut self, gradients: &[u32], built: &Built) -> gradus::Result<f64> {
        let Some(line) = self.worker.lines.last().filter(|l| l.batch + 1 == self.worker.batch && !l.halted && !l.skipped) else {
            return Ok(0.0);
        };
        let (scale, norm) = (line.scale, line.grad_norm.to_bits());
        if let Some(scale) = scale {
            self.server.session.write(BufferId::State(StateSet::Train), STATE_LOSS_SCALE, &[scale.to_bits()])?;
        }
        self.server.session.write(BufferId::Gradients, 0, gradients)?;
        self.server.submit(self.server.handle, 1)?;
        if let (Some(server), Some(scale)) = (&mut self.unscaled, scale) {
            let divided: Vec<u32> = gradients.iter().map(|g| (f32::from_bits(*g) / scale).to_bits()).collect();
            server.session.write(BufferId::Gradients, 0, &divided)?;
            server.submit(server.handle, 1)?;
        }
        let copies = built.arena.half_copies / 2;
        for (id, words) in [(BufferId::Parameters, built.arena.size), (BufferId::HalfCopy, copies)].into_iter().filter(|b| b.1 > 0) {
            let new = self.server.session.read(id, 0, words)?;
            self.worker.session.write(id, 0, &new)?;
        }
        let servers = [Some(&self.server), self.unscaled.as_ref()];
        let off = |r: &&Run| r.lines.last().is_none_or(|l| l.grad_norm.to_bits() != norm || l.loss != 0.0 || l.halted);
        Ok(servers.into_iter().flatten().filter(off).count() as f64)
    }

    /// How much differs between whole steps, worker and servers, but for the norms.
    fn differences(&mut self, gradients: &[u32], built: &Built, entry: &Entry) -> gradus::Result<Vec<f64>> {
        let a = &built.arena;
        let lines = |r: &Run, columns: usize| r.lines.iter().map(|l| bits(l, columns)).collect::<Vec<_>>();
        let mut own = lines(&self.worker, 1);
        if entry.weighed {
            // the line ends with the weight, which is the other metric
            let ends = self.worker.lines.iter().filter(|l| l.metrics.len() == 2 && l.metrics[0] == l.metrics[1]);
            own.truncate(ends.count());
        }
        let same_lines = own == lines(&self.whole, 1);
        let mut out = vec![f64::from(u8::from(!same_lines))];
        out.push(changed(&self.worker.state()?, &self.whole.state()?));
        out.push(changed(gradients, &self.whole.session.read(BufferId::Gradients, 0, a.size)?));
        let mut of = |id: BufferId, words: usize, other: &mut Run| -> gradus::Result<f64> {
            Ok(changed(&self.whole.session.read(id, 0, words)?, &other.session.read(id, 0, words)?))
        };
        out.push(of(BufferId::Buffers, a.buffered, &mut self.worker)?);
        let mut servers = vec![&mut self.server];
        servers.extend(&mut self.unscaled);
        let [mut parameters, mut moments, mut copies] = [0.0; 3];
        for server in servers {
            parameters += of(BufferId::Parameters, a.size, server)?;
            for m in 0..entry.rule().moments {
                moments += of(BufferId::Moment(m), a.size, server)?;
            }
            if a.half_copies > 0 {
                copies += of(BufferId::HalfCopy, a.half_copies / 2, server)?;
            }
        }
        out.extend([parameters, moments, copies]);
        Ok(out)
    }
}

fn changed(a: &[u32], b: &[u32]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as f64
}

/// A line with the first of its metrics, to be compared.
fn bits(l: &LogLine, columns: usize) -> (u32, [u32; 2], [bool; 2], Option<u32>, Vec<u32>) {
    let metrics = l.metrics.iter().take(columns).map(|m| m.to_bits()).collect();
    (l.batch, [l.loss, l.grad_norm].map(f32::to_bits), [l.halted, l.skipped], l.scale.map(f32::to_bits), metrics)
}

/// The update's kernels are those of a whole step, and the worker has none of them.
fn same_kernels(whole: &Program, leave: &Program, update: &Program) -> Result<(), String> {
    let of = |p: &Program| p.phase(Phase::Update).iter().map(|l| l.kernel.source()).collect::<Vec<_>>();
    let names = |p: &Program, phase: Phase| p.phase(phase).iter().map(|l| l.kernel.name()).collect::<Vec<_>>();
    let alone = [Phase::Batch, Phase::Compute].iter().all(|p| update.phase(*p).is_empty());
    if of(whole) != of(update) || !of(leave).is_empty() || !alone || names(leave, Phase::Finish) != ["squares"] {
        return Err("other launches than a whole step's".into());
    }
    if leave.moments > 0 || update.batch > 0 || leave.peak_bytes() >= whole.peak_bytes() {
        return Err("a worker that keeps moments, or an update that reads rows".into());
    }
    Ok(())
}

/// A gradient that is not finite should not have come: the server halts, and changes nothing.
fn halts(value: f32) -> Row {
    Row::new(format!("an update alone halts at a gradient of {value}"), move || {
        let entry = table().remove(1);
        let built = entry.build()?;
        let truth = vec![
            exact("lines: batch, halted", vec![f64::from(BATCH), 0.0, f64::from(BATCH + 1), 1.0]),
            exact("words that moved", vec![0.0]),
            exact("batch, update, halt", [BATCH + 1, UPDATE + 1, 1].map(f64::from).to_vec()),
        ];
        let run = move |site: &Site<'_>| {
            let program = match site.update(&built, &entry.rule()) {
                Ok(p) => p,
                Err(e) => return Some(Err(e)),
            };
            let at = StateWords { batch: BATCH, update: UPDATE, ..StateWords::default() };
            let opened = open(site, &built, &program, at, &entry)?;
            Some(opened.and_then(|mut r| halted(&mut r, &built, &entry, value).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("worker", "halts", "two layers") })
    })
}

fn halted(r: &mut Run, built: &Built, entry: &Entry, value: f32) -> gradus::Result<Found> {
    let mut gradients = vec![0.5f32.to_bits(); built.arena.size];
    r.session.write(BufferId::Gradients, 0, &gradients)?;
    r.submit(r.handle, 1)?;
    let before = r.words(built, &entry.rule())?;
    gradients[7] = value.to_bits();
    r.session.write(BufferId::Gradients, 0, &gradients)?;
    r.submit(r.handle, 1)?;
    gradients[7] = 1f32.to_bits();
    r.session.write(BufferId::Gradients, 0, &gradients)?;
    r.submit(r.handle, 1)?;
    let after = r.words(built, &entry.rule())?;
    let s = StateWords::from_words(&r.state()?);
    Ok(vec![
        ("lines: batch, halted".into(), r.lines.iter().flat_map(|l| [l.batch.into(), f64::from(u8::from(l.halted))]).collect()),
        ("words that moved".into(), vec![changed(&before, &after)]),
        ("batch, update, halt".into(), [s.batch, s.update, s.halt].map(f64::from).to_vec()),
    ])
}

pub fn all() -> Vec<Row> {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30];
    table().into_iter().map(row).chain(bad.map(halts)).collect()
}
