//! Steps that were queued and whose log lines nobody has seen. A loop that is dropped while some are under way, as a future may be, leaves them
//! behind: the next that asks the model sees to their end.

use super::accumulation::Accumulation;
use super::core::Core;
use super::journal::Queued;
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
    }

    /// Sees to the end of what dropped loops have left under way: the counters say afterwards what was done.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let mut any = false;
        while let Some(q) = self.recovery.queued.front().filter(|q| q.owner.strong_count() == 0) {
            any = true;
            let lines = self.engine.log(q.ticket).await;
            match lines {
                Ok(lines) => self.settled(&lines),
                Err(lost @ Error::DeviceLost { .. }) => return self.recover(lost),
                Err(e) => {
                    self.take_back_queued();
                    return Err(e);
                }
            }
        }
        // the journal does not hold them
        if any && self.recovery.kept.is_some() {
            return self.with_recovery(Self::copy);
        }
        Ok(())
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
            self.take_back_queued();
            self.engine.session.forget(StateSet::Train);
        }
    }

    /// Counts what is under way as not done. A loop that lives takes its own steps back by itself.
    pub(crate) fn take_back_queued(&mut self) {
        for q in std::mem::take(&mut self.recovery.queued) {
            if q.owner.strong_count() == 0 {
                self.progress.batches -= q.batches as u64;
                self.progress.updates -= q.updates() as u64;
            }
        }
    }
}
