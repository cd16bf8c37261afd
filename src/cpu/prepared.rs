//! A program made ready, and its steps.

use super::launch::Ready;
use super::table::Table;
use crate::error::Result;
use crate::kernels::words::{STATE_BATCH, STATE_HALT};
use crate::plan::{BufferId, DataId, LogLine, Program, StateSet};
use std::sync::Arc;

/// A program with its launches made ready.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) program: Arc<Program>,
    pub(super) data: Vec<DataId>,
    /// The words that its kernels look up.
    pub(super) tables: Option<DataId>,
    pub(super) launches: Vec<Ready>,
}

impl Prepared {
    /// Threads that its largest launch is worth.
    pub(super) fn worth(&self) -> usize {
        self.launches.iter().map(Ready::worth).max().unwrap_or(1)
    }

    /// Runs steps until they are done or the set halts, and adds the lines that they left; `all` is how many steps the submit has.
    pub(super) fn run(
        &mut self,
        table: &mut Table,
        threads: usize,
        steps: usize,
        first_batch: u32,
        all: usize,
        lines: &mut Vec<LogLine>,
    ) -> Result<()> {
        let (set, log) = (self.program.purpose.state_set(), self.program.log());
        for _ in 0..steps {
            if halted(table, set)? {
                break;
            }
            let batch = table.range(BufferId::State(set), STATE_BATCH, 1)?[0];
            for d in self.program.schedule() {
                self.launches[d.launch].run(&self.program.launches[d.launch].kernel, table, threads)?;
            }
            // at once: the ring may come round within a submit. A line that an earlier run left here does not match.
            let line = table.range(BufferId::Log(set), log.line(batch), log.width)?;
            if line[0] == batch && (batch.wrapping_sub(first_batch) as usize) < all {
                lines.push(LogLine::from_words(line, log.columns));
            }
        }
        Ok(())
    }
}

/// Whether the set stands still.
fn halted(table: &mut Table, set: StateSet) -> Result<bool> {
    Ok(table.range(BufferId::State(set), STATE_HALT, 1)?[0] != 0)
}
