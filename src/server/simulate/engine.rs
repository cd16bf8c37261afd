//! The events of a simulated run, one after another.

use super::delay::uniforms;
use super::learner::{Given, Learner, Own};
use super::queue::{Busy, Event, Nanos, Queue, nanos, seconds};
use super::{Simulated, Simulation};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::exchange::{Mode, Push};
use crate::server::clocks::{Asked, Clocks, Pushed};
use crate::server::gathered::Sum;
use crate::server::keeper::Keeper;
use crate::server::snapshot::Snapshot;
use crate::train::{Device, Recipe, Registry};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of the training set that are looked at where there is no validation set.
const LOOKED_AT: usize = 2_000;
/// Bytes that the workers' parameters may take.
const MEMORY: u64 = 4 << 30;

/// A worker.
#[derive(Debug, Default)]
struct Seat {
    incarnation: u64,
    clock: u64,
    given: Option<Arc<Given>>,
    own: Option<Own>,
    computing: Nanos,
    computes_until: Nanos,
    /// How often it has died: another life draws anew.
    life: u64,
}

struct Engine<'a> {
    s: &'a Simulation,
    clocks: Clocks,
    seats: Vec<Seat>,
    keeper: Keeper,
    learner: Learner<'a>,
    now_given: Arc<Given>,
    queue: Queue,
    /// Workers that wait for parameters, by their clock.
    waiting: BTreeMap<u64, Vec<usize>>,
    ingress: Busy,
    egress: Busy,
    processor: Busy,
    /// When the newest parameters are there.
    shown: Nanos,
    sum: Sum,
    /// Running statistics: of rank 0, or where workers train on their own the sum of all.
    buffers: Vec<u32>,
    buffer_sum: Sum,
    looked: Dataset,
    look_batch: usize,
    /// Rows at the next look, and in all.
    next_look: u64,
    rows: u64,
    ages: u64,
    pushes: u64,
    bytes: u64,
    batch: u64,
    out: Simulated,
}

pub(super) fn run(s: &Simulation, recipe: &Recipe, registry: &Registry) -> Result<Simulated> {
    let sets = recipe.data.load_seeded(registry, &recipe.seeds)?;
    let device = Device::cpu_threads(1);
    let (server, mut model) = (recipe.compile(registry, &device)?, recipe.compile(registry, &device)?);
    let batch = recipe.fit.batch_size.min(sets.train.len());
    let rows = s.rows.unwrap_or((recipe.fit.epochs * sets.train.len()) as u64);
    let every = s.mode.every() as u64;
    let clocks_of_all = rows.div_ceil(batch as u64).div_ceil(s.workers as u64);
    let (_, untouched) = model.core().step_over(&sets.train)?;
    let learner = Learner::new(model.core(), &sets.train, batch, recipe.fit.shuffle, s.mode.is_local().then_some(clocks_of_all))?;
    let mut keeper = Keeper::new(server, s.outer, true)?;
    keeper.plan(&untouched)?;
    if !s.mode.is_local() {
        let each = if s.mode.gathers() { 1 } else { s.workers as u64 };
        let per_epoch = (sets.train.len() / batch).max(1) as u64 * each / s.workers as u64;
        keeper.begin(clocks_of_all * each, per_epoch.max(1))?;
    }
    let (size, buffered) = keeper.sizes();
    if recipe.fit.accumulate != 1 || recipe.compile.ema.is_some() && s.mode.is_local() {
        return Err(Error::Unsupported {
            what: "a simulation of accumulation, or in the mode `local` of averages of the weights".into(),
            at: "the recipe".into(),
            help: "leave `accumulate` and `ema` out of it".into(),
        });
    }
    let held = if s.mode == Mode::Sync { 0 } else { s.workers as u64 * 4 * (size + buffered + learner.own_words()) as u64 };
    if held > MEMORY {
        return Err(Error::OutOfMemory {
            what: format!("a simulation of {} workers, each with parameters of its own,", s.workers),
            needed: held,
            available: MEMORY,
            biggest: vec![],
            help: "take a smaller model, fewer workers, or an optimizer with fewer moments".into(),
        });
    }
    let looked = match sets.validation {
        Some(set) => set,
        None => sets.train.undrawn().select(0..LOOKED_AT.min(sets.train.len()))?,
    };
    // running statistics come from one worker alone, but where all are averaged
    let bytes = 4 * (size + if s.mode.is_local() { buffered } else { 0 }) as u64;
    let mut e = Engine {
        s,
        clocks: Clocks::new(s.workers, s.mode),
        seats: (0..s.workers).map(|_| Seat::default()).collect(),
        keeper,
        learner,
        now_given: Arc::default(),
        queue: Queue::default(),
        waiting: BTreeMap::new(),
        ingress: Busy::default(),
        egress: Busy::default(),
        processor: Busy::default(),
        shown: 0,
        sum: Sum::default(),
        buffers: vec![],
        buffer_sum: Sum::default(),
        look_batch: 512.min(looked.len()),
        looked,
        next_look: 0,
        rows,
        ages: 0,
        pushes: 0,
        bytes,
        batch: batch as u64 * every,
        out: Simulated::default(),
    };
    e.show()?;
    e.buffers.clone_from(&e.now_given.buffers);
    e.all()
}

impl Engine<'_> {
    fn all(mut self) -> Result<Simulated> {
        (0..self.s.workers).for_each(|rank| self.queue.plan(0, rank, Event::Comes));
        let end = self.s.seconds.map_or(Nanos::MAX, nanos);
        self.look(0)?;
        let mut now = 0;
        while let Some((at, rank, event)) = self.queue.next() {
            if at > end {
                now = end;
                break;
            }
            now = at;
            self.happens(now, rank, event)?;
            if self.out.diverged || self.out.rows >= self.rows {
                break;
            }
        }
        // the last update takes its time
        let now = if now == end { now } else { now.max(self.shown) };
        self.look(now)?;
        // what was begun and not ended by then counts as far as it is
        let computing: Nanos = self.seats.iter().map(|s| s.computing - s.computes_until.saturating_sub(now).min(s.computing)).sum();
        let out = &mut self.out;
        out.seconds = seconds(now);
        out.updates = self.clocks.updates();
        out.greatest_staleness = self.clocks.greatest_staleness();
        out.mean_age = self.ages as f64 / self.pushes.max(1) as f64;
        out.link_bytes = (self.pushes * 2 * self.bytes) as f64 / self.s.workers as f64;
        (out.ingress, out.egress, out.processor) = (self.ingress.share(now), self.egress.share(now), self.processor.share(now));
        out.computing = computing as f64 / (now.max(1) as f64 * self.s.workers as f64);
        Ok(self.out)
    }

    fn happens(&mut self, now: Nanos, rank: usize, event: Event) -> Result<()> {
        let (near, far) = (self.s.link, self.s.server_link);
        let latency = nanos(near.latency + far.latency);
        let takes = |bytes: u64, bandwidth: f64| nanos(bytes as f64 / bandwidth);
        match event {
            Event::Comes => {
                let Ok(joined) = self.clocks.join(rank, seconds(now)) else { return Ok(()) };
                let seat = &mut self.seats[rank];
                (seat.clock, seat.incarnation) = (joined.clock, joined.incarnation);
                joined.complete.map_or(Ok(()), |clock| self.gather(now, clock))?;
                self.queue.plan(now + latency, rank, Event::Asks);
                if self.clocks.has_begun() {
                    self.release(now);
                }
            }
            Event::Asks => {
                let seat = &self.seats[rank];
                match self.clocks.pull(rank, seat.incarnation, seat.clock, seconds(now)) {
                    Ok(Asked::Granted) => {
                        // whoever reads waits for the update that is being made
                        let served = self.egress.work(now.max(self.shown), takes(self.bytes, far.bandwidth));
                        self.seats[rank].given = Some(self.now_given.clone());
                        self.queue.plan(served + latency + takes(self.bytes, near.bandwidth), rank, Event::Has);
                    }
                    _ => self.waiting.entry(seat.clock).or_default().push(rank),
                }
            }
            Event::Has => self.computes(now, rank),
            Event::Dies => {
                self.out.crashes += 1;
                let incarnation = self.seats[rank].incarnation;
                let complete = self.clocks.leave(rank, incarnation, false, seconds(now)).unwrap_or(None);
                if let Some(clock) = complete {
                    self.gather(now, clock)?;
                }
                (self.seats[rank].life, self.seats[rank].own) = (self.seats[rank].life + 1, None);
                let again = self.s.crashes.map_or(0.0, |c| c.restart);
                self.queue.plan(now + nanos(again), rank, Event::Comes);
                self.release(now);
            }
            Event::Arrives => {
                let done = self.ingress.work(now, takes(self.bytes, far.bandwidth));
                self.queue.plan(done, rank, Event::Received);
            }
            Event::Received => {
                // gradients that are an update of their own are one piece of work with it
                let update = if self.s.mode.gathers() { 0.0 } else { self.s.server.update };
                let done = self.processor.work(now, nanos(self.s.server.push + update));
                self.queue.plan(done, rank, Event::Read);
            }
            Event::Read => self.read(now, rank, latency)?,
        }
        Ok(())
    }

    /// A worker that has parameters computes, or dies at it.
    fn computes(&mut self, now: Nanos, rank: usize) {
        let (every, near) = (self.s.mode.every() as u64, self.s.link);
        let seat = &mut self.seats[rank];
        let first = seat.clock * every;
        let of = |i| self.s.compute.at(self.s.seed, rank, first + i);
        let takes = nanos((0..every).map(of).sum());
        let [dies, when] = uniforms(self.s.seed, "simulate.crash", rank, seat.clock << 16 | seat.life & 0xffff);
        if self.s.crashes.is_some_and(|c| dies <= c.probability) {
            let until = (takes as f64 * when) as Nanos;
            (seat.computing, seat.computes_until) = (seat.computing + until, now + until);
            return self.queue.plan(now + until, rank, Event::Dies);
        }
        (seat.computing, seat.computes_until) = (seat.computing + takes, now + takes);
        let sent = nanos(near.latency + self.s.server_link.latency + self.bytes as f64 / near.bandwidth);
        self.queue.plan(now + takes + sent, rank, Event::Arrives);
    }

    /// The server has read a push.
    fn read(&mut self, now: Nanos, rank: usize, latency: Nanos) -> Result<()> {
        let seat = &self.seats[rank];
        let update = seat.given.as_ref().map_or(0, |g| g.update);
        let Ok(pushed) = self.clocks.push(rank, seat.incarnation, seat.clock, update, seconds(now)) else { return Ok(()) };
        match pushed {
            Pushed::Complete { clock } => self.gather(now, clock)?,
            Pushed::Alone { age } => self.alone(now, rank, age)?,
            _ => {}
        }
        self.seats[rank].clock += 1;
        // the answer goes to it, and its next wish comes back
        self.queue.plan(now + 2 * latency, rank, Event::Asks);
        self.release(now);
        Ok(())
    }

    /// Those who wait and may go on ask again.
    fn release(&mut self, now: Nanos) {
        let most = self.s.mode.bound().map_or(u64::MAX, |s| self.clocks.least() + s);
        while let Some(entry) = self.waiting.first_entry().filter(|e| *e.key() <= most) {
            entry.remove().into_iter().for_each(|rank| self.queue.plan(now, rank, Event::Asks));
        }
    }

    /// The number of a worker's batch in the order that all share.
    fn number(&self, rank: usize, clock: u64) -> u64 {
        let every = self.s.mode.every() as u64;
        (clock * self.s.workers as u64 + rank as u64) * every
    }

    fn alone(&mut self, now: Nanos, rank: usize, age: u64) -> Result<()> {
        self.shown = now;
        let number = self.number(rank, self.seats[rank].clock);
        let Some(given) = self.seats[rank].given.take() else { return Ok(()) };
        let factor = if self.s.damped { 1.0 / age.max(1) as f32 } else { 1.0 };
        let keeper = &mut self.keeper;
        let (made, scale) = self.learner.gradients(&given, number, (rank == 0).then_some(&mut self.buffers), |push, values| {
            let made = push.finite && keeper.update_by(values, factor, push.scale)?;
            Ok((made, push.scale))
        })?;
        keeper.set_buffers(&self.buffers)?;
        keeper.count(1, 0);
        self.pushes += 1;
        self.ages += age;
        self.out.greatest_age = self.out.greatest_age.max(age);
        self.made(made, scale, self.batch)
    }

    fn gather(&mut self, now: Nanos, clock: u64) -> Result<()> {
        self.shown = self.processor.work(now, nanos(self.s.server.update));
        let (every, local) = (self.s.mode.every() as u64, self.s.mode.is_local());
        self.sum.begin();
        self.buffer_sum.begin();
        let (mut finite, mut scale, mut rows, mut parts) = (true, None, 0, 0);
        for rank in 0..self.s.workers {
            if self.clocks.pushed(rank) <= clock {
                continue; // it has gone, or died
            }
            let number = self.number(rank, clock);
            let Some(given) = self.seats[rank].given.take() else { continue };
            let sum = &mut self.sum;
            let mut add = |push: &Push, values: &[u32]| {
                (finite, scale, rows, parts) = (finite && push.finite, push.scale, rows + push.rows, parts + 1);
                sum.add(push, values);
            };
            if local {
                let buffers = &mut self.buffer_sum;
                self.learner.updates(&given, &mut self.seats[rank].own, number..number + every, |push, values, own| {
                    add(push, values);
                    buffers.add(push, own);
                })?;
            } else {
                self.learner.gradients(&given, number, (rank == 0).then_some(&mut self.buffers), |push, values| {
                    add(push, values);
                    Ok(())
                })?;
            }
        }
        if parts == 0 {
            return Ok(());
        }
        self.keeper.count(parts, 0);
        self.pushes += parts;
        let sum = self.sum.end();
        if finite {
            self.keeper.set_buffers(if local { &self.buffer_sum.end()[..] } else { &self.buffers })?;
        }
        let made = match (finite, local) {
            (false, _) => false,
            (true, true) => self.keeper.go_to(sum)?,
            (true, false) => self.keeper.update_by(sum, 1.0, scale)?,
        };
        self.made(made, scale, rows)
    }

    fn made(&mut self, made: bool, scale: Option<f32>, rows: u64) -> Result<()> {
        if made {
            self.clocks.updated();
        } else if !self.keeper.skip(scale) {
            self.out.diverged = true;
        }
        self.out.rows += rows;
        self.show()?;
        if self.out.rows >= self.next_look {
            self.look(self.shown)?;
        }
        Ok(())
    }

    /// The parameters that workers are given from now on.
    fn show(&mut self) -> Result<()> {
        let mut snapshot = Snapshot::default();
        self.keeper.show(self.clocks.updates(), &mut snapshot)?;
        let Snapshot { update, scale, parameters, buffers } = snapshot;
        self.now_given = Arc::new(Given { update, scale, parameters, buffers });
        Ok(())
    }

    fn look(&mut self, now: Nanos) -> Result<()> {
        let loss = self.keeper.model.evaluate(&self.looked, self.look_batch)?["loss"];
        self.out.curve.push((seconds(now), loss));
        if self.out.reached.is_none() && self.s.target.is_some_and(|t| loss <= t) {
            self.out.reached = Some(seconds(now));
        }
        self.next_look = self.out.rows + self.rows / self.s.looks.max(1) as u64;
        Ok(())
    }
}
