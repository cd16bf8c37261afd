//! Steps that were queued and whose log lines nobody has seen. A loop that is dropped while some are under way, as a future may be, leaves them
//! behind: the next that asks the model sees to their end.

use super::accumulation::Accumulation;
use super::core::Core;
use super::face::wait_for;
use super::journal::Queued;
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::plan::{LogLine, StateSet, Ticket};
use std::sync::Arc;

impl Core {
    /// Notes a submit of a loop, and counts its batches and updates as done.
    pub(crate) fn queued(&mut self, ticket: Ticket, accumulation: Accumulation, first: usize, batches: usize, owner: &Arc<()>) {
        let q = Queued { ticket, accumulation, first, batches, owner: Arc::downgrade(owner) };
        self.progress.batches += batches as u64;
        self.progress.updates += q.updates() as u64;
        self.recovery.queued.push_back(q);
        self.recovery.copying = None;
    }

    /// Notes that a loop has seen a submit of its own to its end.
    pub(crate) fn saw(&mut self, ticket: Ticket) {
        self.recovery.queued.retain(|q| q.ticket != ticket);
    }

    /// Sees to the end of what dropped loops have left under way: the counters say afterwards what was done. To be called before the counters are
    /// asked for, and before anything is written.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        while let Some(q) = self.recovery.queued.front().filter(|q| q.owner.strong_count() == 0) {
            let ticket = q.ticket;
            if self.recovery.unsettled.is_none() {
                self.recovery.unsettled = Some(self.before_queued());
            }
            match self.engine.log(ticket).await {
                Ok(lines) => self.settled(&lines),
                Err(e) => return self.unsettled(e),
            }
        }
        if self.recovery.unsettled.is_some() && self.recovery.kept.is_some() {
            // the journal does not hold them
            if let Err(e) = self.copy_async().await {
                return self.unsettled(e);
            }
        }
        self.recovery.unsettled = None;
        Ok(())
    }

    /// As [`Core::settle`], on this thread.
    pub(crate) fn settle_now(&mut self) -> Result<()> {
        wait_for(self.settle())
    }

    /// What dropped loops have left is lost: nothing of it counts.
    fn unsettled(&mut self, e: Error) -> Result<()> {
        if let Error::DeviceLost { .. } = e {
            return self.recover(e);
        }
        self.take_back_queued();
        Err(e)
    }

    /// The counters without what is under way.
    fn before_queued(&self) -> Progress {
        let sum = |of: fn(&Queued) -> usize| self.recovery.queued.iter().map(of).sum::<usize>() as u64;
        let (batches, updates) = (sum(|q| q.batches), sum(Queued::updates));
        let p = &self.progress;
        Progress { batches: p.batches - batches, updates: p.updates - updates, ..p.clone() }
    }

    /// Notes the lines of the oldest submit under way.
    fn settled(&mut self, lines: &[LogLine]) {
        let Some(q) = self.recovery.queued.pop_front() else { return };
        let good = lines.iter().take_while(|l| !l.halted).count();
        for (i, line) in lines.iter().take(good).enumerate() {
            if q.accumulation.begins(q.first + i + 1) {
                self.progress.saw_update(line);
            }
        }
        if good < q.batches {
            // a halt has swallowed the rest, and all that came after it
            self.progress.batches -= (q.batches - good) as u64;
            self.progress.updates -= (q.updates() - q.accumulation.ended(q.first, good)) as u64;
            self.progress = self.before_queued();
            self.recovery.queued.clear();
            self.engine.session.forget(StateSet::Train);
        }
    }

    /// Counts what is under way as not done. A loop that lives knows its own count.
    pub(crate) fn take_back_queued(&mut self) {
        let before = self.recovery.unsettled.take().unwrap_or_else(|| self.before_queued());
        (self.progress.batches, self.progress.updates, self.progress.scaler) = (before.batches, before.updates, before.scaler);
        self.recovery.queued.clear();
    }
}
