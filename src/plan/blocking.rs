//! The blocking face of a session: what waits until the device has done what was asked.

use super::memory::BufferId;
use super::purpose::StateSet;
use super::session::{Handle, LogLine, Session, Submit, Ticket};
use crate::error::Result;

/// Waits for what a [`Session`] has under way.
pub trait Blocking: Session {
    /// Reads words of a buffer, after all that was queued.
    fn read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>> {
        let read = self.start_read(buffer, offset, len)?;
        loop {
            if let Some(words) = self.take_read(&read)? {
                return Ok(words);
            }
            self.wait()?;
        }
    }

    /// Queues `steps` steps of one program; `first_batch` is the state's batch counter when the first of them starts.
    fn queue(&mut self, handle: Handle, steps: usize, first_batch: u32) -> Result<Ticket> {
        self.submit(Submit { runs: &[(handle, steps)], first_batch, pieces: 1 })
    }

    /// The log lines of a submit.
    fn log(&mut self, ticket: Ticket) -> Result<Vec<LogLine>> {
        loop {
            if let Some(lines) = self.take_log(ticket)? {
                return Ok(lines);
            }
            self.wait()?;
        }
    }

    /// The log lines of the oldest submit that were not yet handed out; `None` where nothing is under way.
    fn next_log(&mut self, set: StateSet) -> Result<Option<Vec<LogLine>>> {
        self.oldest(set).map(|ticket| self.log(ticket)).transpose()
    }
}

impl<S: Session + ?Sized> Blocking for S {}
