//! What a server holds behind its lock: the clocks, the model, what workers have pushed.

use super::checkpoint::File;
use super::clocks::Clocks;
use super::event::{Event, Flow, Standing};
use super::gathered::{self, Arrays, Part, Sum};
use super::keeper::Keeper;
use super::length::Length;
use super::rules::Rules;
use super::snapshot::Newest;
use crate::error::{Error, Result};
use crate::exchange::{Mode, Push};
use crate::optim::Scaling;
use std::time::Instant;

pub(super) type Watch = Box<dyn FnMut(Event<'_>) -> Result<Flow> + Send>;

pub(super) struct State {
    pub clocks: Clocks,
    /// None once the model was taken.
    pub keeper: Option<Keeper>,
    pub newest: Newest,
    pub parts: Vec<Part>,
    pub run: Option<Length>,
    /// Whether the length of the run is settled: all have come.
    pub settled: bool,
    /// The machine of the worker that came first.
    pub machine: Option<String>,
    /// Epochs and batches of the model before the run.
    pub before: [u64; 2],
    /// When it was last looked whether somebody is late.
    pub looked: f64,
    pub watch: Option<Watch>,
    pub standing: Standing,
    pub epochs: u64,
    /// Where the run is written to.
    pub file: Option<File>,
    /// Why the run has failed.
    pub failed: Option<String>,
}

impl State {
    /// Once all have come the length of the run is known.
    pub fn settle(&mut self, rules: &Rules) -> Result<()> {
        let (Some(run), Some(keeper)) = (&self.run, &mut self.keeper) else { return Ok(()) };
        if self.settled || !self.clocks.has_begun() {
            return Ok(());
        }
        let Some(clocks) = run.clocks(rules) else {
            let problem = "the run has more pushes than can be counted".into();
            return Err(Error::Distributed { problem, at: "the first worker".into(), help: "give fewer epochs".into() });
        };
        keeper.plan(run.untouched())?;
        if !rules.mode.is_local() {
            let (per_epoch, updates) = run.updates(rules);
            keeper.begin(updates, per_epoch)?;
        }
        self.clocks.set_length(clocks);
        self.settled = true;
        Ok(())
    }

    pub fn check_sizes(&mut self, push: &Push, rank: usize, mode: Mode, lengths: [usize; 2]) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Err(closed()) };
        let ((size, buffered), full) = (keeper.sizes(), push.rows > 0 && push.finite);
        let with = full && (mode.is_local() || rank == 0);
        let want = (if full { size } else { 0 }, if with { buffered } else { 0 });
        let numbers = push.counted.is_none_or(|c| c.is_finite() && c >= 0.0) && push.rows <= u32::MAX.into();
        // of another worker's time the scale may differ, but it is one, and it is where the server has one
        let scale = push.scale.map_or(mode.is_local() || !full, |s| Scaling::takes(s.into()));
        let scaled = keeper.scale().is_some();
        if lengths == [want.0, want.1] && numbers && (scale || !scaled) && (push.scale.is_none() || scaled) {
            return Ok(());
        }
        Err(Error::Distributed {
            problem: format!(
                "a push of {} and {} numbers for {} rows; the model has {} and {}",
                lengths[0], lengths[1], push.rows, want.0, want.1
            ),
            at: format!("worker {rank}"),
            help: "the worker is no gradus of this version, or the connection damages what it carries".into(),
        })
    }

    /// One update of the gradients of one worker, which have missed `age` updates.
    pub fn alone(&mut self, rank: usize, push: &Push, arrays: &impl Arrays, age: u64) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Err(closed()) };
        if push.rows == 0 {
            return Ok(());
        }
        keeper.count(1, 0);
        let made = push.finite && keeper.update_by(arrays.values(), 1.0 / age.max(1) as f32, push.scale)?;
        if push.finite {
            keeper.set_buffers(arrays.buffers())?;
        }
        self.made(made, (push.loss, push.rows), &[rank], rank, push.scale)
    }

    /// What a clock has come to that is complete now, and the epochs that have ended.
    pub fn complete(&mut self, clock: Option<u64>, rules: &Rules) -> Result<()> {
        clock.map_or(Ok(()), |clock| self.gather(clock, rules))?;
        self.end_epochs(rules)
    }

    /// The update of all pushes of a clock.
    fn gather(&mut self, clock: u64, rules: &Rules) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Err(closed()) };
        let of = |p: &Part| p.push.filter(|p| p.clock == clock && p.rows > 0);
        let pushes: Vec<(usize, Push)> = self.parts.iter().enumerate().filter_map(|(rank, p)| Some((rank, of(p)?))).collect();
        let (ranks, bad) = (pushes.iter().map(|(r, _)| *r).collect::<Vec<_>>(), pushes.iter().find(|(_, p)| !p.finite).map(|(r, _)| *r));
        let Some((_, Push { scale, .. })) = pushes.first().copied() else { return Ok(()) };
        keeper.count(pushes.len() as u64, 0);
        let of_all = (gathered::loss(pushes.iter().map(|(_, p)| p)), pushes.iter().map(|(_, p)| p.rows).sum::<u64>());
        let mut values: Vec<(Push, &mut Vec<u32>)> = self.parts.iter_mut().filter_map(|p| Some((of(p)?, &mut p.values))).collect();
        let made = match (bad, rules.mode.is_local()) {
            (Some(_), _) => false,
            (None, true) => {
                let made = keeper.average(&mut values)?;
                let mut sum = Sum::default();
                self.parts.iter().filter_map(|p| Some((of(p)?, p))).for_each(|(push, p)| sum.add(&push, &p.buffers));
                keeper.set_buffers(if made { &sum.end()[..] } else { &[] })?;
                made
            }
            (None, false) => {
                let made = keeper.update(&mut values)?;
                // running statistics are those of the first worker
                let zero = self.parts.first().filter(|p| of(p).is_some());
                zero.map_or(Ok(()), |p| keeper.set_buffers(&p.buffers))?;
                made
            }
        };
        self.parts.iter_mut().for_each(|p| p.push = None);
        self.made(made, of_all, &ranks, bad.or(ranks.first().copied()).unwrap_or(0), scale)
    }

    /// Shows the parameters of an update; or says what becomes of one whose gradients are not finite, `culprit`'s or the sum's.
    fn made(&mut self, made: bool, (loss, rows): (f32, u64), ranks: &[usize], culprit: usize, scale: Option<f32>) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Err(closed()) };
        if !made && !keeper.skip(scale) {
            return Err(Error::Distributed {
                problem: format!("loss or gradients of worker {culprit} are not finite (loss {loss}); nothing was changed by them"),
                at: format!("update {}", self.clocks.updates() + 1),
                help: "lower the learning rate, clip the gradients, send them as f32 if they go as f16, look at that worker's rows; `Fit::detect_anomaly` finds the operation on one machine"
                    .into(),
            });
        }
        if made {
            self.clocks.updated();
        }
        let number = self.clocks.updates();
        self.newest.make(|s| keeper.show(number, s))?;
        if made {
            return self.tell(Event::Update { number, loss, rows, ranks });
        }
        self.standing.skipped += 1;
        self.tell(Event::Skipped { rank: culprit })
    }

    /// Tells of the epochs that all workers have ended.
    pub fn end_epochs(&mut self, rules: &Rules) -> Result<()> {
        let Some(rounds) = self.run.as_ref().filter(|_| self.settled).map(|r| r.rounds(rules)).filter(|r| *r > 0) else { return Ok(()) };
        while self.clocks.least() / rounds > self.epochs {
            self.epochs += 1;
            let (Some(keeper), number) = (&mut self.keeper, self.clocks.updates()) else { return Err(closed()) };
            keeper.count(0, 1);
            let Some(watch) = &mut self.watch else { continue };
            let was = keeper.number();
            let began = Instant::now();
            let flow = watch(Event::Epoch { epoch: self.epochs, model: &mut keeper.model });
            // it may have evaluated for long
            self.clocks.excuse(began.elapsed().as_secs_f64());
            let flow = flow?;
            if keeper.number() != was {
                let problem = "another model was put in the place of the server's".into();
                let help = "change its weights instead: `set_parameter`, `load_weights`";
                return Err(Error::Distributed { problem, at: "Server::watch, Event::Epoch".into(), help: help.into() });
            }
            self.standing.over |= flow == Flow::Stop;
            self.newest.make(|s| keeper.show(number, s))?;
        }
        Ok(())
    }

    pub fn tell(&mut self, event: Event<'_>) -> Result<()> {
        if let Some(watch) = &mut self.watch
            && watch(event)? == Flow::Stop
        {
            self.standing.over = true;
        }
        Ok(())
    }
}

pub(super) fn closed() -> Error {
    Error::Distributed {
        problem: "the server is closed".into(),
        at: "the server".into(),
        help: "its model was taken: the run is over".into(),
    }
}
