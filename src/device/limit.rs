//! A limit to the memory of a device: what does not fit is refused before it is taken, on every kind of device alike.

use crate::error::{Error, Result};
use crate::plan::{
    BufferId, Clock, DataId, Handle, Layout, Ledger, LogLine, PendingRead, Program, Session, StateSet, Submit, Ticket, Timing, Traffic,
    program_dims,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// How many bytes are allowed, and how many all sessions of a device hold.
#[derive(Debug, Clone)]
pub(super) struct MemoryLimit {
    pub allowed: u64,
    held: Arc<Mutex<u64>>,
}

impl MemoryLimit {
    /// A limit of so many bytes, of which no session holds any yet.
    pub fn new(allowed: u64) -> Self {
        MemoryLimit { allowed, held: Arc::default() }
    }

    /// A session that stays within the limit, around the one that `open` makes.
    pub fn session(&self, layout: Layout, open: impl FnOnce() -> Result<Box<dyn Session>>) -> Result<Box<dyn Session>> {
        let ledger = Ledger::new(&layout);
        let mut mine = 0;
        self.take(&mut mine, ledger.bytes(), "the model")?;
        match open() {
            Ok(inner) => Ok(Box::new(Limited { inner, limit: self.clone(), ledger, mine })),
            Err(e) => {
                self.give_back(mine);
                Err(e)
            }
        }
    }

    /// Changes the bytes that a session holds, which are `mine`, to `bytes`. Fails where that exceeds the limit.
    fn take(&self, mine: &mut u64, bytes: u64, what: &str) -> Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let others = *held - *mine;
        let needed = others.saturating_add(bytes);
        if bytes > *mine && needed > self.allowed {
            let beside = if others > 0 { format!(", beside {others} bytes of other models,") } else { String::new() };
            return Err(Error::OutOfMemory {
                what: format!("{what} within the device's memory limit{beside}"),
                needed,
                available: self.allowed,
                biggest: vec![],
                help: "take a smaller batch or a narrower model (`Program::explain` lists what is large), or raise \
                       `Device::with_memory_limit`"
                    .into(),
            });
        }
        (*held, *mine) = (needed, bytes);
        Ok(())
    }

    fn give_back(&self, mine: u64) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) -= mine;
    }
}

/// A session that asks the limit before it takes memory.
struct Limited {
    inner: Box<dyn Session>,
    limit: MemoryLimit,
    ledger: Ledger,
    /// The bytes of the ledger that the limit knows of.
    mine: u64,
}

impl Limited {
    fn take(&mut self, bytes: u64, what: &str) -> Result<()> {
        self.limit.take(&mut self.mine, bytes, what)
    }

    /// Tells the limit what the ledger has now: after something was freed, or was not made after all.
    fn settle(&mut self) {
        // memory that is held already is never refused
        let _ = self.take(self.ledger.bytes(), "");
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.limit.give_back(self.mine);
    }
}

impl Session for Limited {
    fn new_data(&mut self, words: usize) -> Result<DataId> {
        let bytes = 4 * words as u64;
        self.take(self.ledger.bytes() + bytes, "a field of a data set")?;
        let made = self.inner.new_data(words);
        if let Ok(id) = &made {
            self.ledger.field(*id, bytes);
        }
        self.settle();
        made
    }
    fn prepare(&mut self, program: &Arc<Program>, data: &[DataId]) -> Result<Handle> {
        let with = self.ledger.with(program);
        let verb = program.purpose.verb();
        let what = if program.batch > 0 { format!("{verb} with a batch of {}", program.batch) } else { verb.to_string() };
        self.take(with.bytes() + program_dims(program), &what)?;
        let made = self.inner.prepare(program, data);
        if let Ok(handle) = made {
            self.ledger = with;
            self.ledger.ready(handle, program, data);
        }
        self.settle();
        made
    }
    fn drop_data(&mut self, id: DataId) {
        self.inner.drop_data(id);
        self.ledger.drop_field(id);
        self.settle();
    }
    fn drop_program(&mut self, handle: Handle) {
        self.inner.drop_program(handle);
        self.ledger.drop_program(handle);
        self.settle();
    }
    fn write_data(&mut self, id: DataId, offset: usize, words: &[u32]) -> Result<()> {
        self.inner.write_data(id, offset, words)
    }
    fn data_limit(&self) -> usize {
        self.inner.data_limit()
    }
    fn write(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.inner.write(buffer, offset, words)
    }
    fn start_read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<PendingRead> {
        self.inner.start_read(buffer, offset, len)
    }
    fn take_read(&mut self, read: &PendingRead) -> Result<Option<Vec<u32>>> {
        self.inner.take_read(read)
    }
    fn submit(&mut self, submit: Submit<'_>) -> Result<Ticket> {
        self.inner.submit(submit)
    }
    fn take_log(&mut self, ticket: Ticket) -> Result<Option<Vec<LogLine>>> {
        self.inner.take_log(ticket)
    }
    fn oldest(&self, set: StateSet) -> Option<Ticket> {
        self.inner.oldest(set)
    }
    fn forget(&mut self, set: StateSet) {
        self.inner.forget(set);
    }
    fn progress(&mut self) -> Result<()> {
        self.inner.progress()
    }
    fn wait(&mut self) -> Result<()> {
        self.inner.wait()
    }
    fn wake(&mut self, waker: &Waker) {
        self.inner.wake(waker);
    }
    fn profile(&mut self, handle: Handle, clock: Option<Clock>) -> Result<Timing> {
        self.inner.profile(handle, clock)
    }
    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }
    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }
}
