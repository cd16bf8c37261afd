//! What stands in the place of a session whose device is gone.

use crate::error::{Error, Result};
use crate::plan::{BufferId, Clock, DataId, Handle, LogLine, PendingRead, Program, Session, StateSet, Submit, Ticket, Timing};
use std::sync::Arc;

/// In place of a session whose device is gone.
pub(super) struct Gone {
    pub device: String,
    pub reason: String,
}

impl Gone {
    fn lost<T>(&self) -> Result<T> {
        Err(Error::DeviceLost { device: self.device.clone(), reason: self.reason.clone() })
    }
}

impl Session for Gone {
    fn new_data(&mut self, _: usize) -> Result<DataId> {
        self.lost()
    }
    fn write_data(&mut self, _: DataId, _: usize, _: &[u32]) -> Result<()> {
        self.lost()
    }
    fn drop_data(&mut self, _: DataId) {}
    fn prepare(&mut self, _: &Arc<Program>, _: &[DataId]) -> Result<Handle> {
        self.lost()
    }
    fn write(&mut self, _: BufferId, _: usize, _: &[u32]) -> Result<()> {
        self.lost()
    }
    fn start_read(&mut self, _: BufferId, _: usize, _: usize) -> Result<PendingRead> {
        self.lost()
    }
    fn take_read(&mut self, _: &PendingRead) -> Result<Option<Vec<u32>>> {
        self.lost()
    }
    fn submit(&mut self, _: Submit<'_>) -> Result<Ticket> {
        self.lost()
    }
    fn take_log(&mut self, _: Ticket) -> Result<Option<Vec<LogLine>>> {
        self.lost()
    }
    fn oldest(&self, _: StateSet) -> Option<Ticket> {
        None
    }
    fn forget(&mut self, _: StateSet) {}
    fn progress(&mut self) -> Result<()> {
        self.lost()
    }
    fn wait(&mut self) -> Result<()> {
        self.lost()
    }
    fn profile(&mut self, _: Handle, _: Option<Clock>) -> Result<Timing> {
        self.lost()
    }
    fn in_flight(&self) -> usize {
        0
    }
    fn bytes(&self) -> u64 {
        0
    }
}
