//! A worker: its share of a distributed run.

use super::link::{Exchange, Reply};
use super::message::{Hello, Pulled, Push, Welcome};
use super::shard::Shard;
use super::share::{Batches, Place, Share};
use super::stepper::{Run, Stepper};
use super::top::Top;
use crate::clock;
use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::model::accumulation::Accumulation;
use crate::model::core::Core;
use crate::model::face::wait_for;
use crate::model::shared::Model;
use crate::model::signature::Measure;
use crate::optim::Schedule;
use crate::optim::schedule::RunLength;
use crate::plan::{BufferId, Part, Purpose, StateSet};
use crate::store::checkpoint::{fingerprint, of_graph};
use crate::train::{Fit, History, Mean, Resume};
use serde::{Deserialize, Serialize};

/// Which of how many workers a process is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Worker {
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub world: usize,
    /// Whose the rows are that it is given; those that all workers are given.
    #[serde(default)]
    pub share: Share,
    /// Which part of the gradients it pushes each time; all.
    #[serde(default)]
    pub top: Option<f32>,
}

impl Worker {
    /// Worker `rank` of `world`. All are given the same rows, of which each takes its share.
    pub fn new(rank: usize, world: usize) -> Self {
        Worker { rank, world, share: Share::Common, top: None }
    }
    /// It is given rows that only it has.
    pub fn own_rows(mut self) -> Self {
        self.share = Share::Own;
        self
    }
    /// It pushes the largest gradients alone, such a part of all (0.01: one in a hundred). What is not pushed is kept and added to the next ones
    /// (error feedback, Stich et al. 2018), so that nothing is lost but time; it is lost with the worker. Over the network the others cost no bytes. Not in
    /// [`Mode::Local`](super::Mode::Local).
    pub fn top_k(mut self, part: f32) -> Self {
        self.top = Some(part);
        self
    }
}

/// What a worker has done.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WorkerReport {
    /// The clock at which it began: how often its rank had pushed before.
    pub began_at: u64,
    /// Its pushes, and how many of them the server had already.
    pub pushes: u64,
    /// Those of its pushes that the server had already.
    pub known: u64,
    /// Seconds in steps, and in all that has to do with the server.
    pub computing: f64,
    /// Seconds in which it waited for the server or moved arrays.
    pub exchanging: f64,
    /// Loss and metrics over the rows that it has seen, by epoch, from this one on.
    pub history: History,
    /// The epoch of the first of them, from 0.
    pub first_epoch: u64,
    pub(crate) means: Vec<(u64, Mean)>,
    pub(crate) measures: Vec<Measure>,
    /// Updates that its model had tried before the run.
    tried: Option<u64>,
}

/// A model at work as one of several: [`Model::worker`].
pub struct Working<'m, 'l> {
    model: &'m mut Model,
    link: &'l mut dyn Exchange,
    worker: Worker,
}

impl std::fmt::Debug for Working<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Working({:?} of {:?})", self.worker, self.model)
    }
}

impl Model {
    /// This model as one worker of a distributed run, behind a link to its server. It is compiled with the settings of the run; the optimizer's work
    /// is the server's, but in [`Mode::Local`](super::Mode::Local).
    pub fn worker<'m, 'l>(&'m mut self, link: &'l mut dyn Exchange, worker: Worker) -> Working<'m, 'l> {
        Working { model: self, link, worker }
    }
}

impl Working<'_, '_> {
    /// Its share of the run, from where its rank stands on. Afterwards the model has the run's parameters.
    ///
    /// Of [`Fit`] it takes epochs, batch size (of this worker) and shuffling; validation, callbacks and checkpoints are the server's. Fails as `fit` does, and as
    /// the [`Exchange`] does.
    pub fn run(self, data: &Dataset, fit: &Fit) -> Result<WorkerReport> {
        let Working { model, link, worker } = self;
        check(&worker, fit)?;
        let core = model.core();
        core.check_trains()?;
        core.settle_now()?;
        core.engine.session.forget(StateSet::Train);
        wait_for(core.keep_copies(false))?;
        let mut report = WorkerReport::default();
        let mut go = || -> Result<()> {
            // each time round the server has been restored meanwhile
            while !Turns::new(core, link, worker, data, fit, &mut report)?.all()? {}
            Ok(())
        };
        let done = go();
        if done.is_err() {
            // somebody else may go on; the error is the one that counts
            let _ = link.leave(false);
        }
        done.map(|()| report)
    }
}

fn check(worker: &Worker, fit: &Fit) -> Result<()> {
    let mut f = Faults::default();
    f.check(
        worker.rank < worker.world,
        "rank",
        format!("{} of {} workers", worker.rank, worker.world),
        "give 0 to the number of workers less 1",
    );
    f.check(worker.top.is_none_or(|t| t > 0.0 && t <= 1.0), "top", worker.top.unwrap_or(1.0), "give a part of all: above 0, at most 1");
    let servers = "leave it to the server: it has the parameters, and sees all workers";
    f.check(fit.validation.is_none(), "fit.validation", "a worker does not validate", servers);
    f.check(fit.callbacks.is_empty(), "fit.callbacks", "a worker calls no callbacks", servers);
    f.check(fit.checkpoint.is_none(), "fit.checkpoint", "a worker writes no checkpoint", servers);
    f.check(fit.accumulate == 1, "fit.accumulate", fit.accumulate, "a worker pushes each batch: give larger batches");
    f.check(fit.resume == Resume::Never, "fit.resume", fit.resume, "a worker goes on where the server says: leave it out");
    f.check(!fit.detect_anomaly, "fit.detect_anomaly", "true", "it is for one machine: run the recipe there from the same seeds");
    f.check(fit.diagnostics.is_none(), "fit.diagnostics", "a worker does not look at the layers", "leave it out");
    f.check(fit.budget.is_empty(), "fit.budget", "a worker counts epochs", "give `fit.epochs`");
    f.check(fit.epochs > 0, "fit.epochs", fit.epochs, "give at least 1");
    f.check(fit.batch_size > 0, "fit.batch_size", fit.batch_size, "give at least 1");
    f.finish()
}

/// A worker's way through its clocks.
struct Turns<'a> {
    link: &'a mut dyn Exchange,
    welcome: Welcome,
    steps: Stepper<'a>,
    batches: Batches,
    pulled: Pulled,
    /// Whether it has had parameters: buffers come along with the first.
    begun: bool,
    top: Option<Top>,
    report: &'a mut WorkerReport,
}

impl<'a> Turns<'a> {
    fn new(
        core: &'a mut Core,
        link: &'a mut dyn Exchange,
        worker: Worker,
        data: &Dataset,
        fit: &Fit,
        report: &'a mut WorkerReport,
    ) -> Result<Self> {
        let Worker { rank, world, share, top } = worker;
        let (mine, rows) = (link.mode()?, data.len());
        if mine.is_local() && top.is_some() {
            let mut f = Faults::default();
            f.check(false, "top", format!("with the mode `{mine}`"), "parameters are pushed there, and all of them: leave it out");
            f.finish()?;
        }
        let data = if mine.is_local() && share == Share::Common && world > 1 { shard(data, rank, world)? } else { data.clone() };
        let batch = fit.batch_size.min(data.len());
        let cut = Accumulation { rows: data.len(), batch, accumulate: 1 };
        let part = if mine.is_local() { Part::Whole } else { Part::Leave };
        core.check_data(&data, Purpose::Train)?; // before anybody waits for this worker
        let (step, untouched) = core.step_over(&data)?;
        let hello = Hello {
            rank,
            world,
            version: env!("CARGO_PKG_VERSION").into(),
            model: fingerprint(core)?,
            machine: core.engine.device.machine(),
            step: of_graph(&step.step.graph),
            untouched,
            rows: rows as u64,
            batch_size: fit.batch_size as u64,
            batches: cut.batches() as u64,
            shuffle: fit.shuffle,
            own_rows: share == Share::Own,
            epochs: fit.epochs as u64,
            shard: Shard::default(),
        };
        let welcome = link.join(&hello)?;
        if welcome.mode != mine {
            return Err(Error::Distributed {
                problem: format!("the server's mode was `{mine}` and is `{}`", welcome.mode),
                at: format!("worker {rank} of {world}"),
                help: "start the worker again".into(),
            });
        }
        if let Some(other) = &welcome.other_machine {
            crate::terminal::warn!(
                rank,
                other,
                "this machine may compute other bits than that of the worker that came first: the run may not repeat to the bit"
            );
        }
        if mine.is_local() {
            let per_epoch = cut.batches() as u64;
            // what its rank has done before belongs to the schedule; its optimizer counts on
            let now = core.progress.tried();
            let before = *report.tried.get_or_insert(now);
            core.begin_schedule(RunLength { updates: Some(before + per_epoch * fit.epochs as u64), per_epoch })?;
            let done = before + steps_before(&welcome, per_epoch);
            if done != now {
                let schedule = core.schedule().clone();
                core.schedule = Some(Schedule::custom("going on", move |update| schedule.at((update + done).saturating_sub(now))));
            }
        }
        let share = if mine.is_local() { Share::Own } else { share };
        let batches = Batches { share, rank, world, cut, rounds: welcome.rounds, before: welcome.before };
        let (mut from, in_order) = (place(&batches, &welcome, welcome.clock).at, share == Share::Own || world == 1);
        if from.batch.is_none() {
            // it rests until the epoch's end: its next batch is the first of the next
            from = Place { epoch: from.epoch + 1, batch: Some(0), ..from };
        }
        let steps = Stepper::new(core, &data, cut, part, fit.shuffle, from, in_order)?;
        if report.pushes == 0 {
            report.began_at = welcome.clock;
        }
        // what is done again counts once
        let epoch = welcome.clock / welcome.rounds.max(1);
        report.means.retain(|(e, _)| *e < epoch || report.pushes == 0);
        Ok(Turns { link, welcome, steps, batches, pulled: Pulled::default(), begun: false, top: top.map(Top::new), report })
    }

    /// All clocks that are left, and the parameters at the end; `false` where the server is behind, and all begins again from its clock.
    fn all(&mut self) -> Result<bool> {
        for clock in self.welcome.clock..self.welcome.clocks {
            if self.pull(clock)? == Reply::Rejoin {
                return Ok(false);
            }
            if self.pulled.over {
                break;
            }
            match self.push(clock)? {
                Reply::Rejoin => return Ok(false),
                reply => {
                    self.report.known += u64::from(reply == Reply::Known);
                    self.report.pushes += 1;
                }
            }
        }
        self.begun = false; // the buffers too
        if self.pull(self.welcome.clocks)? == Reply::Rejoin {
            return Ok(false);
        }
        if self.link.leave(true)? == Reply::Rejoin {
            return Ok(false);
        }
        self.finish();
        Ok(true)
    }

    /// Waits for parameters, and takes them.
    fn pull(&mut self, clock: u64) -> Result<Reply> {
        let began = clock::now();
        let reply = self.link.pull(clock, &mut self.pulled)?;
        if reply != Reply::Rejoin {
            let local = self.welcome.mode.is_local();
            let (p, buffers) = (&mut self.pulled, local || !self.begun);
            self.steps.core.give_words(BufferId::Parameters, &mut p.parameters)?;
            self.steps.take(buffers.then_some(&p.buffers[..]), p.scale.filter(|_| !local))?;
            if !local {
                self.steps.core.progress.updates = p.update;
            }
            self.begun = true;
        }
        self.report.exchanging += since(began);
        Ok(reply)
    }

    /// Runs the batches of this clock, and hands in what they came to.
    fn push(&mut self, clock: u64) -> Result<Reply> {
        let began = clock::now();
        let run = place(&self.batches, &self.welcome, clock);
        let (epoch, means) = (run.at.epoch.saturating_sub(self.welcome.before[0]), &mut self.report.means);
        let (_, mut mean) = means.pop_if(|(e, _)| *e == epoch).unwrap_or((epoch, Mean::default()));
        let made = self.steps.run(run, &mut mean)?;
        self.report.means.push((epoch, mean));
        let push = Push { clock, update: self.pulled.update, ..made };
        let between = clock::now();
        self.report.computing += since(began);
        let local = self.welcome.mode.is_local();
        let arena = &self.steps.core.engine.arena;
        let values = if local { BufferId::Parameters } else { BufferId::Gradients };
        let goes = push.rows > 0 && push.finite;
        let buffered = if goes && (local || self.batches.rank == 0) { arena.buffered } else { 0 };
        let sizes = [(values, if goes { arena.size } else { 0 }), (BufferId::Buffers, buffered)];
        let (link, top) = (&mut *self.link, &mut self.top);
        let send = |values: &[u32], buffers: &[u32]| match top {
            Some(top) if goes => link.push(&push, top.of(values, push.scale), buffers),
            _ => link.push(&push, values, buffers),
        };
        let reply = self.steps.with_words(sizes, send)??;
        self.report.exchanging += since(between);
        Ok(reply)
    }

    /// Makes the history of the means.
    fn finish(&mut self) {
        self.report.measures = self.steps.measures.clone();
        self.report.first_epoch = self.report.means.first().map_or(0, |(epoch, _)| *epoch);
        for (_, mean) in &self.report.means {
            let seen = mean.evaluation(&self.report.measures);
            seen.iter().for_each(|(name, value)| self.report.history.push(name, value));
        }
    }
}

/// The batches of a clock.
fn place(b: &Batches, w: &Welcome, clock: u64) -> Run {
    let super::Mode::Local { every } = w.mode else { return Run { at: b.at(clock), batches: 1 } };
    let (epoch, first, own) = (clock / w.rounds.max(1), (clock % w.rounds.max(1)) as usize * every, b.cut.batches());
    // no two workers draw for the same number
    let number = b.rank as u64 * w.clocks * every as u64 + epoch * own as u64 + first as u64;
    let at = Place { epoch, batch: (first < own).then_some(first), number }.after(b.before);
    Run { at, batches: every.min(own.saturating_sub(first)) }
}

/// Updates that a rank has behind it in [`Mode::Local`](super::Mode::Local).
fn steps_before(w: &Welcome, own: u64) -> u64 {
    let (rounds, every) = (w.rounds.max(1), w.mode.every() as u64);
    w.clock / rounds * own + (w.clock % rounds * every).min(own)
}

/// Every `world`-th row, from `rank` on.
fn shard(data: &Dataset, rank: usize, world: usize) -> Result<Dataset> {
    let rows: Vec<usize> = (rank..data.len()).step_by(world).collect();
    if rows.is_empty() {
        let mut f = Faults::default();
        f.check(false, "workers", format!("{world}, and the data set has {} rows", data.len()), "give each worker at least one row");
        f.finish()?;
    }
    data.select(&rows)
}

fn since(began: Option<f64>) -> f64 {
    clock::now().zip(began).map_or(0.0, |(now, began)| now - began)
}
