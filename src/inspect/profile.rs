//! Where the time of a training step goes.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::Access;
use crate::kernels::words::STATE_WORDS;
use crate::model::accumulation::{Accumulation, Order};
use crate::model::core::Core;
use crate::model::feed::RowFeed;
use crate::model::inputs::in_call;
use crate::model::rate::Rate;
use crate::model::shared::Model;
use crate::optim::schedule::RunLength;
use crate::plan::{Blocking, BufferId, Clock, Handle, Phase, Program, Purpose, StateSet, human_bytes, human_count};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many steps are timed launch by launch: at most, and at least where steps are slow.
const STEPS: (usize, usize) = (30, 3);
/// After this time the least number of steps is enough.
const LONG: Duration = Duration::from_secs(2);
/// How many runs of steps are timed as training runs them.
const RUNS: usize = 3;

/// One launch of a step and what it costs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LaunchTime {
    /// Its place in the program, from 0.
    pub launch: usize,
    /// The part of the step that it belongs to.
    pub phase: Phase,
    /// The kernel.
    pub kernel: String,
    /// What it computes: shapes, maps that ride on it, the layer.
    pub label: String,
    /// The median over the steps, in seconds.
    pub seconds: f64,
    /// Its part of the sum over all launches, from 0 to 1.
    pub share: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that it must read and write, each value counted once.
    pub bytes: u64,
}

impl LaunchTime {
    /// 10^9 floating-point operations a second; 0 where the clock saw no time.
    pub fn gflops(&self) -> f64 {
        rate(self.flops, self.seconds)
    }

    /// 10^9 bytes a second; 0 where the clock saw no time.
    pub fn gbytes(&self) -> f64 {
        rate(self.bytes, self.seconds)
    }
}

fn rate(n: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { n as f64 / seconds * 1e-9 } else { 0.0 }
}

/// What [`Model::profile`] measured: every launch of a training step. Prints as a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepProfile {
    /// All launches of the step, in order; [`StepProfile::by_share`] sorts them.
    pub launches: Vec<LaunchTime>,
    /// How they were timed.
    pub clock: Clock,
    /// How many steps were timed launch by launch.
    pub steps: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// The device.
    pub device: String,
    /// Seconds of one step as training runs it: many in one submit, by the host's clock, divided by their number.
    pub step_seconds: f64,
    /// Steps of that submit.
    pub submitted: usize,
    /// Seconds of it that the host spends on one step, encoding and submitting; on the CPU, which is the host, nothing.
    pub host_seconds: Option<f64>,
}

impl StepProfile {
    /// The sum over all launches, in seconds.
    pub fn total(&self) -> f64 {
        self.launches.iter().map(|l| l.seconds).sum()
    }

    /// The same with the most expensive launch first.
    #[must_use]
    pub fn by_share(mut self) -> Self {
        self.launches.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        self
    }
}

/// Microseconds below a millisecond, else milliseconds.
fn time(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.1} µs", seconds * 1e6) } else { format!("{:.3} ms", seconds * 1e3) }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.into() } else { text.chars().take(width - 1).chain(['…']).collect() }
}

/// A table of at most 120 columns.
impl fmt::Display for StepProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.steps == 1 { "" } else { "s" };
        writeln!(f, "training, batch {}: {} launches on {}", self.batch, self.launches.len(), self.device)?;
        writeln!(f, "  by {}, the median of {} step{s}", self.clock, self.steps)?;
        writeln!(f, "  {:8} {:15} {:44} {:>11} {:>7} {:>10} {:>9}", "", "kernel", "", "time", "share", "GFLOP/s", "GB/s")?;
        let mut last = None;
        for l in &self.launches {
            let phase = if last == Some(l.phase) { "" } else { l.phase.name() };
            last = Some(l.phase);
            writeln!(
                f,
                "  {phase:8} {:15} {:44} {:>11} {:>5.1} % {:>10.2} {:>9.2}",
                cut(&l.kernel, 15),
                cut(&l.label, 44),
                time(l.seconds),
                100.0 * l.share,
                l.gflops(),
                l.gbytes()
            )?;
        }
        let (flops, bytes) = self.launches.iter().fold((0, 0), |(f, b), l| (f + l.flops, b + l.bytes));
        let total = self.total();
        writeln!(
            f,
            "  {:8} {:15} {:44} {:>11} {:>7} {:>10.2} {:>9.2}",
            "all",
            "",
            format!("{} FLOP, {} moved", human_count(flops), human_bytes(bytes)),
            time(total),
            "",
            rate(flops, total),
            rate(bytes, total)
        )?;
        write!(f, "  a step in training takes {} ({} in one submit)", time(self.step_seconds), self.submitted)?;
        let rest = self.step_seconds - total;
        match self.host_seconds {
            Some(host) => write!(f, ", of which the host encodes and submits for {}", time(host))?,
            None if rest > 0.0 => write!(f, ", {} of it outside the launches", time(rest))?,
            None => {}
        }
        writeln!(f)
    }
}

impl Model {
    /// Times every launch of the training step over this data, in batches of `batch_size` rows (all, if there are fewer).
    ///
    /// Runs some dozens of real steps and puts everything that they change back: parameters, gradients, moments, state and log are
    /// the same bits afterwards, and training goes on as if nothing had been. Fails as `fit` does.
    ///
    /// A GPU is timed by its own timestamps, in the pass that training runs ([`Clock::InsidePass`]); where it has none inside passes,
    /// with one pass a launch; without any, by the host's clock. The table says which. Independent launches may overlap on a GPU: then
    /// the later one seems short, and the sum is right. A GPU in software (lavapipe) reads the host's clock, 1 ns a tick, when its one
    /// queue comes to the timestamp; the work before it has ended then, so these are true times of launches that run one by one.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([64, 8], vec![0.5; 512])?, HostTensor::u8([64], vec![1; 64])?)?;
    /// let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(3));
    /// let mut model = net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([8]).device(Device::cpu()))?;
    /// let profile = model.profile(&data, 32)?;
    /// assert!(profile.total() > 0.0 && profile.launches.iter().any(|l| l.kernel == "optimizer"));
    /// println!("{profile}");             // in order
    /// println!("{}", profile.by_share()); // the most expensive first
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn profile(&self, data: &Dataset, batch_size: usize) -> Result<StepProfile> {
        self.lock().profile(data, batch_size)
    }

    /// As [`Model::profile`], by this clock; `None` for the best. Fails if the device does not have it.
    pub fn profile_by(&self, data: &Dataset, batch_size: usize, clock: Option<Clock>) -> Result<StepProfile> {
        self.lock().profile_by(data, batch_size, clock)
    }
}

impl Core {
    pub(crate) fn profile(&mut self, data: &Dataset, batch_size: usize) -> Result<StepProfile> {
        self.profile_by(data, batch_size, None)
    }

    pub(crate) fn profile_by(&mut self, data: &Dataset, batch_size: usize, clock: Option<Clock>) -> Result<StepProfile> {
        self.settle_now()?;
        self.with_recovery(|m| m.without_journal(|m| m.profile_once(data, batch_size, clock)))
    }

    fn profile_once(&mut self, data: &Dataset, batch_size: usize, clock: Option<Clock>) -> Result<StepProfile> {
        let program = self.prepared(data, Purpose::Train, batch_size).map_err(in_call("profile"))?;
        let mut saved = Vec::new();
        for (id, words) in kept(&program) {
            saved.push((id, self.engine.session.read(id, 0, words)?));
        }
        let found = self.measure(data, &program, clock, &saved);
        let restored = saved.iter().try_for_each(|(id, words)| self.engine.session.write(*id, 0, words));
        found.and_then(|p| restored.map(|()| p))
    }

    fn measure(
        &mut self,
        data: &Dataset,
        program: &Arc<Program>,
        clock: Option<Clock>,
        saved: &[(BufferId, Vec<u32>)],
    ) -> Result<StepProfile> {
        let batch = program.batch;
        let most = (data.len() / batch).clamp(1, crate::model::pace::STEPS);
        let (handle, most) = self.begun(data, batch, most)?;
        let state = self.engine.session.read(BufferId::State(StateSet::Train), 0, STATE_WORDS)?;
        let again = |m: &mut Core| -> Result<()> {
            let own = saved.iter().filter(|(id, _)| !matches!(id, BufferId::State(_) | BufferId::Rates));
            own.into_iter().try_for_each(|(id, words)| m.engine.session.write(*id, 0, words))?;
            m.engine.session.write(BufferId::State(StateSet::Train), 0, &state)
        };
        let mut runs = Vec::new();
        // the first warms the device up
        for _ in 0..=RUNS {
            again(self)?;
            runs.push(self.timed_run(handle, most)?);
        }
        runs.remove(0);
        // the fastest run: other work of the machine is no part of a step
        let least = |pick: fn(&(f64, f64)) -> f64| runs.iter().map(pick).fold(f64::INFINITY, f64::min) / most as f64;
        let (step_seconds, host) = (least(|r| r.0), least(|r| r.1));

        again(self)?;
        let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); program.launches.len()];
        let mut used = clock.unwrap_or(Clock::Host);
        let (mut steps, since) = (0, Instant::now());
        while steps < STEPS.0 && (steps < STEPS.1 || since.elapsed() < LONG) {
            self.engine.session.write(BufferId::State(StateSet::Train), 0, &state)?;
            let t = self.engine.session.profile(handle, clock)?;
            used = t.clock;
            seconds.iter_mut().zip(t.seconds).for_each(|(all, s)| all.push(s));
            steps += 1;
        }
        let medians: Vec<f64> = seconds.into_iter().map(median).collect();
        let total: f64 = medians.iter().sum();
        let trips = program.trips();
        let launch = |(i, (l, seconds)): (usize, (&crate::plan::Launch, f64))| LaunchTime {
            launch: i,
            phase: program.phase_of(i),
            kernel: l.kernel.name(),
            label: l.label.clone(),
            seconds,
            share: if total > 0.0 { seconds / total } else { 0.0 },
            flops: l.flops * trips[i],
            bytes: l.bytes * trips[i],
        };
        Ok(StepProfile {
            launches: program.launches.iter().zip(medians).enumerate().map(launch).collect(),
            clock: used,
            steps,
            batch,
            device: self.engine.device.name(),
            step_seconds,
            submitted: most,
            host_seconds: (self.engine.device.kind() != "cpu").then_some(host),
        })
    }

    /// Begins as a loop over the data would: gives the program of the first batch, and how many steps of it can go into one submit.
    fn begun(&mut self, data: &Dataset, batch: usize, most: usize) -> Result<(Handle, usize)> {
        self.check_trains()?;
        while self.engine.session.next_log(StateSet::Train)?.is_some() {}
        let windows = Accumulation { rows: data.len(), batch, accumulate: 1 };
        let (part, rows) = windows.program(0);
        let program = self.program_part(data, Purpose::Train, part, rows)?;
        self.set_train_state(0, data.len(), true)?;
        let handles = self.loop_handles(data, &windows)?;
        let order = Order { shuffle: true, epoch: self.progress.epochs as u32, row: 0, epochs: 1 };
        let steps = RowFeed::start(self, data, &program, rows, order)?.ready(self, 0, most)?;
        let steps = self.upload_rates_of_an_epoch(steps, windows.rows.div_ceil(batch.max(1)) as u64)?;
        let none = || Error::NotFound { what: "program".into(), name: "training".into(), at: "the profile".into(), known: vec![] };
        handles.first().map(|h| (h.1, steps)).ok_or_else(none)
    }

    /// The rates of these steps, which leave nothing behind: where the schedule is relative to a run and there was none, as in one of an epoch.
    fn upload_rates_of_an_epoch(&mut self, steps: usize, updates: u64) -> Result<usize> {
        let (before, own) = (self.schedule.clone(), self.schedule().clone());
        if before.is_none() && own.is_relative() {
            self.schedule = Some(own.within(RunLength { updates: Some(updates), per_epoch: updates }));
        }
        let steps = self.upload_rates(self.progress.updates, steps, Rate::default());
        self.schedule = before;
        steps
    }

    /// Steps in one submit, as training runs them: seconds until all are done, and until the host had submitted them.
    fn timed_run(&mut self, handle: Handle, steps: usize) -> Result<(f64, f64)> {
        let since = Instant::now();
        self.engine.session.queue(handle, steps, self.progress.batches as u32)?;
        let host = since.elapsed().as_secs_f64();
        let lines = self.engine.session.next_log(StateSet::Train)?.unwrap_or_default();
        let all = since.elapsed().as_secs_f64();
        let bad = lines.iter().find(|l| l.halted);
        if bad.is_some() || lines.len() < steps {
            let step = self.progress.updates + lines.len().max(1) as u64;
            return Err(self.halt_error(bad, step, self.progress.epochs + 1));
        }
        Ok((all, host))
    }
}

/// The buffers that a program changes beside its slots, and the rates that it reads, each with its number of words.
fn kept(program: &Program) -> Vec<(BufferId, usize)> {
    let mut out = vec![(BufferId::Rates, program.rates.words())];
    let buffers = program.needs().buffers();
    for l in &program.launches {
        let bound = l.buffers.iter().zip(l.kernel.accesses()).filter(|(_, access)| *access == Access::Write);
        for (id, _) in bound {
            // slots and data are in no list
            let Some(spec) = buffers.iter().find(|b| b.id == *id) else { continue };
            if !out.contains(&(spec.id, spec.words)) {
                out.push((spec.id, spec.words));
            }
        }
    }
    out
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
