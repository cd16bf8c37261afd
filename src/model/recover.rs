//! Recovery from a lost device: a new device gets the last copy of the model, and the steps in the journal are done again. The same steps on the
//! same bits give the same bits.

use super::accumulation::{Accumulation, Order};
use super::core::Core;
use super::feed::RowFeed;
use super::gone::Gone;
use super::journal::{Event, SNAPSHOT_EVERY, Steps};
use super::pace::{self, Pace};
use super::rate::Rate;
use super::shared::Model;
use crate::clock;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::plan::{Blocking, BufferId, Layout, Purpose, StateSet, Submit};

/// How often the device may be lost under one piece of work that makes no progress.
pub(crate) const LOSSES: usize = 3;
/// Seconds to wait before each try to open the device again: the reset of a driver takes a while.
const PAUSES: [f64; 4] = [0.0, 0.5, 2.0, 5.0];
/// Bytes of batches by hand that the journal may hold.
const BY_HAND: u64 = 64 << 20;

impl Model {
    /// How often the device was lost and the model made again on a new one.
    pub fn recoveries(&self) -> usize {
        self.lock().recoveries()
    }
}

impl Core {
    pub(crate) fn recoveries(&self) -> usize {
        self.recovery.rebuilt
    }

    /// Notes the batch of the next update, which only the user has; makes a copy of the model where the journal holds many.
    pub(crate) fn remember_by_hand(&mut self, data: Dataset, applied: bool) -> Result<()> {
        let r = &mut self.recovery;
        if r.kept.is_none() {
            return Ok(());
        }
        r.taken = r.taken.or_else(clock::now);
        let rows = data.len();
        r.by_hand += rows as u64 * (0..data.fields().len()).map(|i| 4 * data.row_words(i) as u64).sum::<u64>();
        let (accumulation, rate) = (Accumulation::single(rows), Rate::default());
        let updates = usize::from(applied);
        r.trained(Steps {
            data,
            accumulation,
            steps: 1,
            updates,
            update: self.progress.updates,
            batch: self.progress.batches,
            rate,
            order: None,
        });
        if r.by_hand > BY_HAND || self.copy_due(SNAPSHOT_EVERY) {
            return self.with_recovery(Self::copy);
        }
        Ok(())
    }

    /// Does work that can be done again from its start. When the device is lost meanwhile, the model is made again and the work is done again.
    pub(crate) fn with_recovery<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let mut losses = 0;
        loop {
            let done = work(self);
            if let Some(done) = self.survived(&mut losses, done)? {
                return Ok(done);
            }
        }
    }

    /// What a piece of work has come to that can be done again from its start; `None` where the device was lost meanwhile and the model was
    /// made again: then it must be.
    pub(crate) fn survived<T>(&mut self, losses: &mut usize, done: Result<T>) -> Result<Option<T>> {
        match done {
            Err(lost @ Error::DeviceLost { .. }) if *losses < LOSSES => {
                *losses += 1;
                self.recover(lost)?;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Does work that leaves the model as it was, so that the journal need not hold it.
    pub(crate) fn without_journal<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let memory = (self.recovery.kept.take(), std::mem::take(&mut self.recovery.journal));
        let out = work(self);
        (self.recovery.kept, self.recovery.journal) = memory;
        out
    }

    /// Makes the model again on a new device of the same adapter: its arenas, its state, and the steps since the last copy. Programs, data
    /// sets and pipelines follow when they are used. `lost` is the error of the loss; it is returned where there is no copy or no device.
    pub(crate) fn recover(&mut self, lost: Error) -> Result<()> {
        self.take_back_queued();
        self.recovery.copying = None;
        let (Error::DeviceLost { device, reason }, true) = (&lost, self.recovery.kept.is_some()) else { return Err(lost) };
        crate::terminal::warn!(device, reason, "the device was lost; the model is made again");
        let mut last = None;
        for pause in PAUSES {
            clock::pause(pause);
            // the old session frees what it has before the new device is opened
            self.engine.session = Box::new(Gone { device: device.clone(), reason: reason.clone() });
            match self.rebuild() {
                Ok(steps) => {
                    crate::terminal::warn!(steps, "the model is on the device again");
                    return Ok(());
                }
                Err(e) => {
                    crate::terminal::warn!("no luck: {e}");
                    last = Some(e);
                }
            }
        }
        self.engine.session = Box::new(Gone { device: device.clone(), reason: reason.clone() });
        let why = last.map(|e| e.to_string().lines().next().unwrap_or_default().to_string()).unwrap_or_default();
        Err(Error::DeviceLost { device: device.clone(), reason: format!("{reason}; and it did not come back: {why}") })
    }

    /// Tries once to make the model again. Gives the number of steps that were done again.
    fn rebuild(&mut self) -> Result<usize> {
        self.forget_device();
        self.recovery.rebuilt += 1;
        self.engine.device = self.engine.device.reopened()?;
        self.engine.session = self.engine.device.session(Layout::under(&self.engine.arena, &self.engine.rule))?;
        self.write_rate_table()?;
        // not in its place while it is written: a write is noted in it
        let kept = self.recovery.kept.take();
        let written = kept.iter().flatten().try_for_each(|(id, words)| self.engine.write_with_half_copy(*id, 0, words));
        self.recovery.kept = kept;
        written?;
        let journal = std::mem::take(&mut self.recovery.journal);
        let done = journal.iter().map(|e| self.again(e)).sum::<Result<usize>>();
        self.recovery.journal = journal;
        self.engine.has_gradients &= matches!(done, Ok(1..)); // no copy holds them
        done
    }

    /// Does what the journal says again. Gives the number of steps.
    fn again(&mut self, event: &Event) -> Result<usize> {
        let s = match event {
            Event::State(words) => return self.engine.session.write(BufferId::State(StateSet::Train), 0, words).map(|()| 0),
            Event::Steps(s) => s,
        };
        let w = s.accumulation;
        let (part, rows) = w.program(0);
        let work = self.program_part(&s.data, Purpose::Train, part, rows)?.work();
        let (handles, mut feed, mut at) = match s.order {
            None => (vec![(w.program(0), self.handle_by_hand(&s.data, Purpose::Train)?)], None, 0),
            Some(order) => {
                // before the feed, which holds the buffers of the rows
                let handles = self.loop_handles(&s.data, &w)?;
                let program = self.program_part(&s.data, Purpose::Train, part, rows)?;
                let feed = RowFeed::start(self, &s.data, &program, rows, Order { epochs: usize::MAX, ..order })?;
                (handles, Some(feed), order.row / w.batch)
            }
        };
        let (mut done, mut update, mut pace) = (0, s.update, Pace::default());
        while done < s.steps {
            at = if at >= w.batches() { 0 } else { at };
            let mut now = (s.steps - done).min(pace.steps()).min(pace::STEPS).min(w.batches() - at);
            if let Some(feed) = &mut feed {
                now = feed.ready(self, 0, now)?;
                feed.used(now);
            }
            let runs = w.runs_of(&handles, at, now);
            self.upload_rates(update, w.touched(at, now), s.rate)?;
            let queued = clock::now();
            let (first_batch, pieces) = ((s.batch + done as u64) as u32, pace.pieces(work));
            self.engine.session.submit(Submit { runs: &runs, first_batch, pieces })?;
            pace.queued(now, queued);
            let lines = self.engine.session.next_log(StateSet::Train)?.unwrap_or_default();
            pace.ended();
            if lines.len() != now || lines.iter().any(|l| l.halted) {
                return Err(Error::DeviceFault {
                    what: "steps that it had done before".into(),
                    problem: format!("{} of {now} went well", lines.iter().filter(|l| !l.halted).count()),
                    device: self.engine.device.name(),
                });
            }
            update += (w.ended(at, now) - lines.iter().filter(|l| l.skipped).count()) as u64;
            (done, at) = (done + now, at + now);
        }
        Ok(done)
    }
}
